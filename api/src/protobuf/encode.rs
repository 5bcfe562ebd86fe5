//! Nodes to messages.

use base64::Engine as _;

use super::wire::{write_bytes, write_int, write_key, write_nested};
use crate::json::{parse_duration, parse_time};
use crate::node::{Node, Struct};
use crate::schema::{FieldDef, FieldKind, Type, Wire};

/// The message of a struct, without envelope.
pub fn encode_message(value: &Struct) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write_message(&mut out, value);
    out
}

/// Writes the message of a struct.
pub fn write_message(out: &mut Vec<u8>, value: &Struct) {
    write_fields(out, value.ty(), Some(value), 0);
}

/// Writes the fields of `ty`; its field 0 is field `first` of `value`, which may be an outer struct.
fn write_fields(out: &mut Vec<u8>, ty: Type, value: Option<&Struct>, first: u16) {
    for entry in ty.wire {
        match entry {
            Wire::Inline { tag, first: inner, ty } => {
                write_nested(out, *tag, |out| write_fields(out, ty, value, first + inner));
            }
            Wire::Field { tag, index } => {
                let field = &ty.fields[usize::from(*index)];
                match value.and_then(|value| value.by_index(first + index)) {
                    Some(node) => write_value(out, *tag, &field.kind, node),
                    None => write_absent(out, *tag, field),
                }
            }
        }
    }
}

/// What stands on the wire for an absent field: its zero value, unless it is a pointer, list, map or bytes.
fn write_absent(out: &mut Vec<u8>, tag: u32, field: &FieldDef) {
    if field.pointer {
        return;
    }
    match &field.kind {
        FieldKind::Struct(ty) => write_nested(out, tag, |out| write_fields(out, ty, None, 0)),
        FieldKind::Bytes | FieldKind::List(_) | FieldKind::Map(_) => {}
        kind => write_value(out, tag, kind, &Node::zero(kind)),
    }
}

fn write_value(out: &mut Vec<u8>, tag: u32, kind: &FieldKind, node: &Node) {
    match (kind, node) {
        (FieldKind::Bool, Node::Bool(value)) => write_int(out, tag, i64::from(*value)),
        (FieldKind::Int32 | FieldKind::Int64, Node::Int(value)) => write_int(out, tag, *value),
        (FieldKind::Float, Node::Float(value)) => {
            write_key(out, tag, 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        (FieldKind::OrBool(_), Node::Bool(value)) => {
            write_nested(out, tag, |out| write_int(out, 1, i64::from(*value)));
        }
        // A schema allows what it describes.
        (FieldKind::OrBool(_), Node::Struct(value)) => write_nested(out, tag, |out| {
            write_int(out, 1, 1);
            write_nested(out, 2, |out| write_message(out, value));
        }),
        (FieldKind::OrList(_), Node::Struct(value)) => {
            write_nested(out, tag, |out| write_nested(out, 1, |out| write_message(out, value)));
        }
        (FieldKind::OrList(ty), Node::List(items)) => write_nested(out, tag, |out| {
            items.iter().for_each(|item| write_value(out, 2, &FieldKind::Struct(ty), item));
        }),
        (FieldKind::Struct(_), Node::Struct(value)) => write_nested(out, tag, |out| write_message(out, value)),
        (FieldKind::List(kind), Node::List(items)) => items.iter().for_each(|item| write_value(out, tag, kind, item)),
        (FieldKind::Map(kind), Node::Map(map)) => {
            for (key, value) in map.iter() {
                write_nested(out, tag, |out| {
                    write_bytes(out, 1, key.as_bytes());
                    match (kind, value) {
                        (FieldKind::List(_), _) => write_nested(out, 2, |out| write_value(out, 1, kind, value)),
                        _ => write_value(out, 2, kind, value),
                    }
                });
            }
        }
        (FieldKind::IntOrString, Node::Int(value)) => write_int_or_string(out, tag, 0, *value, ""),
        (FieldKind::IntOrString, Node::Str(text)) => write_int_or_string(out, tag, 1, 0, text),
        (FieldKind::Raw | FieldKind::FieldsV1, Node::Raw(text)) => {
            write_nested(out, tag, |out| write_bytes(out, 1, text.as_bytes()));
        }
        (FieldKind::Raw | FieldKind::FieldsV1 | FieldKind::Struct(_), Node::Null) => write_bytes(out, tag, b""),
        (kind, Node::Str(text)) => write_text(out, tag, kind, text),
        // A list inside a map may be nil in Go: an empty message stands for it already.
        _ => {}
    }
}

fn write_int_or_string(out: &mut Vec<u8>, tag: u32, which: i64, int: i64, text: &str) {
    write_nested(out, tag, |out| {
        write_int(out, 1, which);
        write_int(out, 2, int);
        write_bytes(out, 3, text.as_bytes());
    });
}

fn write_text(out: &mut Vec<u8>, tag: u32, kind: &FieldKind, text: &str) {
    match kind {
        FieldKind::Bytes => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
            write_bytes(out, tag, &bytes);
        }
        FieldKind::Time | FieldKind::MicroTime => match parse_time(text) {
            Ok(time) => write_nested(out, tag, |out| {
                let micro = matches!(kind, FieldKind::MicroTime);
                write_int(out, 1, time.as_second());
                write_int(out, 2, if micro { i64::from(time.subsec_nanosecond()) } else { 0 });
            }),
            // The zero time.
            Err(_) => write_bytes(out, tag, b""),
        },
        FieldKind::Duration => {
            write_nested(out, tag, |out| write_int(out, 1, parse_duration(text).unwrap_or_default()));
        }
        FieldKind::Quantity => write_nested(out, tag, |out| write_bytes(out, 1, text.as_bytes())),
        _ => write_bytes(out, tag, text.as_bytes()),
    }
}
