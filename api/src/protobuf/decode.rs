//! Messages to nodes.

use base64::Engine as _;

use super::Error;
use super::wire::{Reader, Value, text};
use crate::json::{Scanner, compact, format_duration, format_time, same_as_absent};
use crate::node::{Map, Node, Struct};
use crate::schema::{FieldKind, Type, Wire};

/// Messages nest at most this deep; the deepest built-in type needs less than 30.
const DEPTH_MAX: usize = 100;

/// Reads a message.
pub(super) fn message(ty: Type, bytes: &[u8]) -> Result<Struct, Error> {
    nested(ty, bytes, 0)
}

fn nested(ty: Type, bytes: &[u8], depth: usize) -> Result<Struct, Error> {
    if depth > DEPTH_MAX {
        return Err(Error::TooDeep);
    }
    let mut fields = Vec::with_capacity(ty.fields.len().min(8));
    collect(ty, 0, bytes, depth, &mut fields)?;
    fields.sort_by_key(|(index, _)| *index);
    fields.retain_mut(|(index, node)| {
        let field = &ty.fields[usize::from(*index)];
        if let Node::Map(map) = node {
            map.settle();
        }
        *node != Node::Null && !same_as_absent(field, node)
    });
    Ok(Struct::from_fields(ty, fields))
}

/// Reads the fields of `ty`, whose field 0 is field `first` of the struct being filled.
fn collect(ty: Type, first: u16, bytes: &[u8], depth: usize, fields: &mut Vec<(u16, Node)>) -> Result<(), Error> {
    let mut reader = Reader::new(bytes);
    while let Some((tag, value)) = reader.next()? {
        let Ok(position) = ty.wire.binary_search_by_key(&tag, Wire::tag) else { continue };
        match (&ty.wire[position], value) {
            (Wire::Inline { first: inner, ty, .. }, Value::Bytes(bytes)) => {
                collect(ty, first + inner, bytes, depth, fields)?;
            }
            (Wire::Inline { ty, .. }, value) => return Err(wrong(&value, ty.name)),
            (Wire::Field { index, .. }, value) => {
                let field = &ty.fields[usize::from(*index)];
                let slot = slot(fields, first + index);
                add(slot, &field.kind, field.name, value, depth)?;
            }
        }
    }
    Ok(())
}

/// The place of a field; fields mostly arrive in order, lists as neighbours.
fn slot(fields: &mut Vec<(u16, Node)>, index: u16) -> &mut Node {
    let position = match fields.iter().rposition(|(present, _)| *present == index) {
        Some(position) => position,
        None => {
            fields.push((index, Node::Null));
            fields.len() - 1
        }
    };
    &mut fields[position].1
}

/// Adds one occurrence of a field: the last scalar wins, lists and maps grow.
fn add(slot: &mut Node, kind: &FieldKind, name: &'static str, value: Value<'_>, depth: usize) -> Result<(), Error> {
    match (kind, value) {
        (FieldKind::List(element), value) => {
            if *slot == Node::Null {
                *slot = Node::List(vec![]);
            }
            let Node::List(items) = slot else { return Ok(()) };
            let packable = matches!(**element, FieldKind::Bool | FieldKind::Int32 | FieldKind::Int64);
            match value {
                Value::Bytes(bytes) if packable => {
                    let mut reader = Reader::new(bytes);
                    while !reader.is_empty() {
                        items.push(single(element, name, Value::Varint(reader.varint()?), depth)?);
                    }
                }
                value => items.push(single(element, name, value, depth)?),
            }
        }
        (FieldKind::Map(element), Value::Bytes(bytes)) => {
            if *slot == Node::Null {
                *slot = Node::Map(Map::default());
            }
            let (key, value) = entry(element, name, bytes, depth)?;
            if let Node::Map(map) = slot {
                map.push(key, value);
            }
        }
        (kind, value) => *slot = single(kind, name, value, depth)?,
    }
    Ok(())
}

fn entry(kind: &FieldKind, name: &'static str, bytes: &[u8], depth: usize) -> Result<(Box<str>, Node), Error> {
    let mut key = Box::default();
    let mut node = Node::zero(kind);
    let mut reader = Reader::new(bytes);
    while let Some((tag, value)) = reader.next()? {
        match (tag, value, kind) {
            (1, Value::Bytes(bytes), _) => key = text(bytes, name)?.into(),
            // A list as a map's value is a message with the elements as its field 1.
            (2, Value::Bytes(bytes), FieldKind::List(_)) => {
                let mut reader = Reader::new(bytes);
                while let Some((1, value)) = reader.next()? {
                    add(&mut node, kind, name, value, depth)?;
                }
            }
            (2, value, _) => node = single(kind, name, value, depth)?,
            _ => {}
        }
    }
    Ok((key, node))
}

fn wrong(value: &Value<'_>, name: &str) -> Error {
    Error::WireType { wire_type: value.wire_type(), field: name.to_owned() }
}

fn single(kind: &FieldKind, name: &'static str, value: Value<'_>, depth: usize) -> Result<Node, Error> {
    match (kind, value) {
        (FieldKind::Bool, Value::Varint(value)) => Ok(Node::Bool(value != 0)),
        (FieldKind::Int64, Value::Varint(value)) => Ok(Node::Int(value.cast_signed())),
        (FieldKind::Int32, Value::Varint(value)) => int32(value, name),
        (FieldKind::Float, Value::Fixed64(bits)) => {
            let value = f64::from_bits(bits);
            let problem = || Error::Value { field: name, problem: "not a finite number".into() };
            if value.is_finite() { Ok(Node::Float(value)) } else { Err(problem()) }
        }
        (FieldKind::String, Value::Bytes(bytes)) => Ok(text(bytes, name)?.into()),
        (FieldKind::Bytes, Value::Bytes(bytes)) => Ok(base64::engine::general_purpose::STANDARD.encode(bytes).into()),
        (FieldKind::Struct(ty), Value::Bytes(bytes)) => nested(ty, bytes, depth + 1).map(Node::Struct),
        (FieldKind::Time, Value::Bytes(bytes)) => time(bytes, false, name),
        (FieldKind::MicroTime, Value::Bytes(bytes)) => time(bytes, true, name),
        (FieldKind::Duration, Value::Bytes(bytes)) => {
            let nanos = numbers(bytes)?[0];
            Ok(format_duration(nanos.cast_signed()).into())
        }
        (FieldKind::Quantity, Value::Bytes(bytes)) => match first_bytes(bytes)? {
            [] => Ok("0".into()),
            bytes => {
                let checked = crate::json::check_quantity(text(bytes, name)?);
                checked.map_err(|error| Error::Value { field: name, problem: error.to_string() })
            }
        },
        (FieldKind::IntOrString, Value::Bytes(bytes)) => int_or_string(bytes, name),
        (FieldKind::OrBool(ty), Value::Bytes(bytes)) => or_bool(ty, bytes, depth + 1),
        (FieldKind::OrList(ty), Value::Bytes(bytes)) => or_list(ty, bytes, depth + 1),
        (FieldKind::Raw | FieldKind::FieldsV1, Value::Bytes(bytes)) => raw(first_bytes(bytes)?, name),
        (_, value) => Err(wrong(&value, name)),
    }
}

/// Field 1 says whether anything is allowed, field 2 what.
fn or_bool(ty: Type, bytes: &[u8], depth: usize) -> Result<Node, Error> {
    let mut found = Node::Bool(false);
    let mut reader = Reader::new(bytes);
    while let Some((tag, value)) = reader.next()? {
        match (tag, value) {
            (1, Value::Varint(value)) if !matches!(found, Node::Struct(_)) => found = Node::Bool(value != 0),
            (2, Value::Bytes(bytes)) => found = Node::Struct(nested(ty, bytes, depth)?),
            _ => {}
        }
    }
    Ok(found)
}

/// Field 1 is one struct, field 2 several.
fn or_list(ty: Type, bytes: &[u8], depth: usize) -> Result<Node, Error> {
    let (mut one, mut several) = (None, vec![]);
    let mut reader = Reader::new(bytes);
    while let Some((tag, value)) = reader.next()? {
        match (tag, value) {
            (1, Value::Bytes(bytes)) => one = Some(Node::Struct(nested(ty, bytes, depth)?)),
            (2, Value::Bytes(bytes)) => several.push(Node::Struct(nested(ty, bytes, depth)?)),
            _ => {}
        }
    }
    Ok(one.unwrap_or(Node::List(several)))
}

fn int32(value: u64, name: &'static str) -> Result<Node, Error> {
    // Negative numbers arrive sign-extended to 64 bits; Go cuts off what does not fit, we refuse it.
    let value = i32::try_from(value.cast_signed());
    let problem = |_| Error::Value { field: name, problem: "out of the range of int32".into() };
    value.map(|value| Node::Int(value.into())).map_err(problem)
}

/// Fields 1 and 2 of a message of numbers.
fn numbers(bytes: &[u8]) -> Result<[u64; 2], Error> {
    let mut found = [0; 2];
    let mut reader = Reader::new(bytes);
    while let Some((tag, value)) = reader.next()? {
        match (tag, value) {
            (1, Value::Varint(value)) => found[0] = value,
            (2, Value::Varint(value)) => found[1] = value,
            _ => {}
        }
    }
    Ok(found)
}

/// Field 1 of a message around bytes.
fn first_bytes(bytes: &[u8]) -> Result<&[u8], Error> {
    let mut found: &[u8] = &[];
    let mut reader = Reader::new(bytes);
    while let Some((tag, value)) = reader.next()? {
        if let (1, Value::Bytes(bytes)) = (tag, value) {
            found = bytes;
        }
    }
    Ok(found)
}

fn time(bytes: &[u8], micro: bool, name: &'static str) -> Result<Node, Error> {
    if bytes.is_empty() {
        return Ok(Node::Null);
    }
    let [seconds, nanos] = numbers(bytes)?.map(u64::cast_signed);
    let nanos = if micro { i32::try_from(nanos).unwrap_or(-1) } else { 0 };
    match jiff::Timestamp::new(seconds, nanos) {
        Ok(time) => Ok(format_time(time, micro).into()),
        Err(error) => Err(Error::Value { field: name, problem: error.to_string() }),
    }
}

fn int_or_string(bytes: &[u8], name: &'static str) -> Result<Node, Error> {
    let (mut is_text, mut int, mut string): (bool, u64, &[u8]) = (false, 0, &[]);
    let mut reader = Reader::new(bytes);
    while let Some((tag, value)) = reader.next()? {
        match (tag, value) {
            (1, Value::Varint(value)) => is_text = value == 1,
            (2, Value::Varint(value)) => int = value,
            (3, Value::Bytes(bytes)) => string = bytes,
            _ => {}
        }
    }
    if is_text { Ok(text(string, name)?.into()) } else { int32(int, name) }
}

/// Free-form JSON: it is copied into other JSON, so it must be well-formed.
fn raw(bytes: &[u8], name: &'static str) -> Result<Node, Error> {
    if bytes.is_empty() {
        return Ok(Node::Null);
    }
    let text = text(bytes, name)?;
    let mut scan = Scanner::new(text);
    let valid = scan.skip().and_then(|_| scan.end());
    valid.map_err(|error| Error::Value { field: name, problem: error.to_string() })?;
    Ok(Node::Raw(compact(text)))
}
