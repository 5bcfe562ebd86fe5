//! Nodes to JSON text, byte for byte as Go's encoder writes it.

use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::{FieldDef, FieldKind};

/// The canonical text of an object.
pub fn encode(object: &Object) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    write_object(&mut out, object);
    out
}

/// The canonical text of a struct.
pub fn encode_struct(value: &Struct) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_struct(&mut out, value);
    out
}

/// Writes an object with its envelope first; an empty kind or apiVersion is left out.
pub fn write_object(out: &mut Vec<u8>, object: &Object) {
    out.push(b'{');
    if !object.kind.is_empty() {
        out.extend_from_slice(b"\"kind\":");
        write_string(out, &object.kind);
    }
    if !object.api_version.is_empty() {
        separate(out);
        out.extend_from_slice(b"\"apiVersion\":");
        write_string(out, &object.api_version);
    }
    write_fields(out, &object.body);
}

/// Writes a struct.
pub fn write_struct(out: &mut Vec<u8>, value: &Struct) {
    out.push(b'{');
    write_fields(out, value);
}

fn separate(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

fn write_fields(out: &mut Vec<u8>, value: &Struct) {
    let mut present = value.fields().iter().peekable();
    for (index, field) in value.ty().fields.iter().enumerate() {
        match present.next_if(|(at, _)| usize::from(*at) == index) {
            Some((_, node)) if omitted(field, node) => {}
            Some((_, Node::Map(rest))) if field.is_rest() => {
                for (key, value) in rest.iter() {
                    separate(out);
                    write_string(out, key);
                    out.push(b':');
                    write_node(out, &field.kind, value);
                }
            }
            Some((_, node)) => {
                write_name(out, field.name);
                write_node(out, &field.kind, node);
            }
            None if absent_is_omitted(field) => {}
            None => {
                write_name(out, field.name);
                write_absent(out, field);
            }
        }
    }
    out.push(b'}');
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    separate(out);
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Kinds that are structs in Go, on which `omitempty` has no effect.
fn struct_like(kind: &FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::Struct(_)
            | FieldKind::Time
            | FieldKind::MicroTime
            | FieldKind::Duration
            | FieldKind::Quantity
            | FieldKind::IntOrString
            | FieldKind::Raw
    )
}

/// Whether a present value is left out of the text, as if it were absent.
pub(crate) fn omitted(field: &FieldDef, node: &Node) -> bool {
    field.omit_empty && !field.pointer && !struct_like(&field.kind) && node.is_zero()
}

/// Whether an absent field is left out of the text; otherwise its zero value stands there.
pub(crate) fn absent_is_omitted(field: &FieldDef) -> bool {
    field.omit_zero || field.omit_empty && (field.pointer || !struct_like(&field.kind))
}

fn write_absent(out: &mut Vec<u8>, field: &FieldDef) {
    if field.pointer || matches!(field.kind, FieldKind::List(_) | FieldKind::Map(_) | FieldKind::Bytes) {
        out.extend_from_slice(b"null");
        return;
    }
    write_node(out, &field.kind, &Node::zero(&field.kind));
}

/// Writes a value of the given kind.
pub fn write_node(out: &mut Vec<u8>, kind: &FieldKind, node: &Node) {
    match node {
        Node::Null => out.extend_from_slice(b"null"),
        Node::Bool(true) => out.extend_from_slice(b"true"),
        Node::Bool(false) => out.extend_from_slice(b"false"),
        Node::Int(value) => push_int(out, *value),
        Node::Float(value) => write_float(out, *value),
        Node::Str(text) if text.is_empty() && matches!(kind, FieldKind::Time | FieldKind::MicroTime) => {
            out.extend_from_slice(b"null");
        }
        Node::Str(text) => write_string(out, text),
        Node::Raw(text) => out.extend_from_slice(text.as_bytes()),
        Node::Struct(value) => write_struct(out, value),
        Node::List(items) => {
            let element = if let FieldKind::List(element) = kind { element } else { kind };
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_node(out, element, item);
            }
            out.push(b']');
        }
        Node::Map(map) => {
            let element = if let FieldKind::Map(element) = kind { element } else { kind };
            out.push(b'{');
            for (key, value) in map.iter() {
                separate(out);
                write_string(out, key);
                out.push(b':');
                write_node(out, element, value);
            }
            out.push(b'}');
        }
    }
}

/// Writes an integer.
pub(crate) fn push_int(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a float as Go does: plain, but with an exponent below 1e-6 and from 1e21.
fn write_float(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    let text = if size != 0.0 && !(1e-6..1e21).contains(&size) { format!("{value:e}") } else { format!("{value}") };
    // Go writes e+21 where Rust writes e21; both write e-7.
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => {
            out.extend_from_slice(format!("{digits}e+{exponent}").as_bytes());
        }
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

/// Writes text as a JSON string, with the characters escaped that Go escapes.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            b'&' => b"\\u0026",
            0..0x20 => {
                out.extend_from_slice(&bytes[start..index]);
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                start = index + 1;
                continue;
            }
            // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
            0xa8 | 0xa9 if bytes[..index].ends_with(b"\xe2\x80") => {
                out.extend_from_slice(&bytes[start..index - 2]);
                out.extend_from_slice(if *byte == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                start = index + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..index]);
        out.extend_from_slice(escape);
        start = index + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// Compact JSON text indented by two spaces, as the API server answers curl and browsers.
pub fn pretty(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let newline = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + depth * 2, b' ');
    };
    for (index, byte) in compact.iter().enumerate() {
        if quoted {
            quoted = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            out.push(*byte);
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.push(*byte);
                depth += 1;
                if !matches!(compact.get(index + 1), Some(b'}' | b']')) {
                    newline(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if !matches!(out.last(), Some(b'{' | b'[')) {
                    newline(&mut out, depth);
                }
                out.push(*byte);
            }
            b',' => {
                out.push(b',');
                newline(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b'"' => {
                quoted = true;
                out.push(b'"');
            }
            _ => out.push(*byte),
        }
    }
    out
}
