//! A value of a schema type: the form in which every hook, patch and codec sees an object.
//!
//! A [`Struct`] knows its type and holds only the fields that are present, in the type's order, so encoding is one
//! pass and comparing is structural. Go's rule holds throughout: for a field that is no pointer, the zero value and
//! absence are the same thing; decoding keeps only absence. Accessors take JSON names; a dotted path descends through
//! structs, maps and (by number) lists. Names are checked against the schema, never silently invented.

use crate::json::same_as_absent;
use crate::schema::{FieldDef, FieldKind, Type};

mod convert;
mod map;
mod path;

pub use map::Map;

/// A value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Node {
    /// JSON null; stands only where Go has a nil inside a list or map.
    #[default]
    Null,
    /// Truth value.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// Float.
    Float(f64),
    /// Text; also bytes (base64), times, durations and quantities.
    Str(Box<str>),
    /// Struct of a schema type.
    Struct(Struct),
    /// List.
    List(Vec<Node>),
    /// Map by text.
    Map(Map),
    /// Free-form JSON, as compact text.
    Raw(Box<str>),
}

/// The present fields of a schema type, in the type's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Struct {
    ty: Type,
    fields: Vec<(u16, Node)>,
}

impl Struct {
    /// A struct of type `ty` with no field present.
    pub fn new(ty: Type) -> Self {
        Self { ty, fields: vec![] }
    }

    pub(crate) fn from_fields(ty: Type, fields: Vec<(u16, Node)>) -> Self {
        debug_assert!(fields.is_sorted_by_key(|(index, _)| *index));
        Self { ty, fields }
    }

    /// The type.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// Whether no field is present.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The present fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static FieldDef, &Node)> {
        let ty = self.ty;
        self.fields.iter().map(move |(index, node)| (&ty.fields[usize::from(*index)], node))
    }

    pub(crate) fn fields(&self) -> &[(u16, Node)] {
        &self.fields
    }

    /// The present fields in order, values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&'static FieldDef, &mut Node)> {
        let ty = self.ty;
        self.fields.iter_mut().map(move |(index, node)| (&ty.fields[usize::from(*index)], node))
    }

    /// Keeps the fields for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&'static FieldDef, &Node) -> bool) {
        let ty = self.ty;
        self.fields.retain(|(index, node)| keep(&ty.fields[usize::from(*index)], node));
    }

    pub(crate) fn by_index(&self, index: u16) -> Option<&Node> {
        let position = self.fields.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(&self.fields[position].1)
    }

    pub(crate) fn put(&mut self, index: u16, node: Node) {
        match self.fields.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(position) => self.fields[position].1 = node,
            Err(position) => self.fields.insert(position, (index, node)),
        }
    }

    pub(crate) fn take(&mut self, index: u16) -> Option<Node> {
        let position = self.fields.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(self.fields.remove(position).1)
    }

    /// The field's value if present. `None` also for a name the type does not have.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.by_index(self.ty.field(name)?.0)
    }

    /// The field's value, also of one that the type has no field for but a place.
    pub fn member(&self, name: &str) -> Option<&Node> {
        self.get(name).or_else(|| self.by_index(self.ty.rest()?)?.as_map()?.get(name))
    }

    /// The field's value, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        let index = self.ty.field(name)?.0;
        let position = self.fields.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(&mut self.fields[position].1)
    }

    /// Takes the field out.
    pub fn remove_field(&mut self, name: &str) -> Option<Node> {
        self.take(self.ty.field(name)?.0)
    }

    /// Whether the field is present.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The field's value, made (as an empty composite or a zero) if absent.
    ///
    /// # Panics
    /// If the type has no such field: a mistake in the calling code, never in data.
    pub fn entry(&mut self, name: &str) -> &mut Node {
        let Some((index, field)) = self.ty.field(name) else {
            panic!("{:?} has no field {name}", self.ty);
        };
        let position = match self.fields.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(position) => position,
            Err(position) => {
                self.fields.insert(position, (index, Node::zero(&field.kind)));
                position
            }
        };
        &mut self.fields[position].1
    }

    /// Drops zeros that Go cannot tell from absence, here and below.
    pub fn drop_zeros(&mut self) {
        let ty = self.ty;
        self.fields.retain_mut(|(index, node)| {
            node.drop_zeros();
            !same_as_absent(&ty.fields[usize::from(*index)], node)
        });
    }

    /// Calls `visit` with every quantity below, skipping types that cannot hold one.
    pub fn for_each_quantity(&mut self, visit: &mut dyn FnMut(&mut Box<str>)) {
        if !self.ty.quantities {
            return;
        }
        for (field, node) in self.iter_mut() {
            node.each_quantity(&field.kind, visit);
        }
    }
}

impl Node {
    /// The value Go has where nothing was given: empty text, 0, an empty struct, list or map.
    pub fn zero(kind: &FieldKind) -> Self {
        match kind {
            FieldKind::String | FieldKind::Bytes | FieldKind::Time | FieldKind::MicroTime => Self::Str("".into()),
            FieldKind::Duration => Self::Str("0s".into()),
            FieldKind::Quantity => Self::Str("0".into()),
            FieldKind::Bool => Self::Bool(false),
            FieldKind::Int32 | FieldKind::Int64 | FieldKind::IntOrString => Self::Int(0),
            FieldKind::Float => Self::Float(0.0),
            FieldKind::Raw | FieldKind::FieldsV1 => Self::Null,
            FieldKind::OrBool(ty) | FieldKind::OrList(ty) => Self::Struct(Struct::new(ty)),
            FieldKind::Open(_) => Self::Map(Map::default()),
            FieldKind::Struct(ty) => Self::Struct(Struct::new(ty)),
            FieldKind::List(_) => Self::List(vec![]),
            FieldKind::Map(_) => Self::Map(Map::default()),
        }
    }

    /// Whether Go's `omitempty` would leave the value out of a field that is no pointer.
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Float(value) => *value == 0.0,
            Self::Str(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(map) => map.is_empty(),
            Self::Struct(_) | Self::Raw(_) => false,
        }
    }

    /// Whether the value can stand in a field of this kind.
    pub fn fits(&self, kind: &FieldKind) -> bool {
        match (kind, self) {
            (FieldKind::Bool, Self::Bool(_))
            | (FieldKind::Int32 | FieldKind::Int64 | FieldKind::IntOrString, Self::Int(_))
            | (FieldKind::Float, Self::Float(_))
            | (FieldKind::Raw | FieldKind::FieldsV1, Self::Raw(_) | Self::Null)
            | (
                FieldKind::String
                | FieldKind::Bytes
                | FieldKind::Time
                | FieldKind::MicroTime
                | FieldKind::Duration
                | FieldKind::Quantity
                | FieldKind::IntOrString,
                Self::Str(_),
            )
            | (FieldKind::List(_), Self::List(_))
            | (FieldKind::Map(_), Self::Map(_)) => true,
            (FieldKind::OrBool(_), Self::Bool(_)) | (FieldKind::OrList(_), Self::List(_)) | (FieldKind::Open(_), _) => {
                true
            }
            (FieldKind::Struct(ty) | FieldKind::OrBool(ty) | FieldKind::OrList(ty), Self::Struct(value)) => {
                value.ty == *ty
            }
            _ => false,
        }
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if this is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The float or integer as a float.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The struct, if this is one.
    pub fn as_struct(&self) -> Option<&Struct> {
        match self {
            Self::Struct(value) => Some(value),
            _ => None,
        }
    }

    /// The struct, to be changed.
    pub fn as_struct_mut(&mut self) -> Option<&mut Struct> {
        match self {
            Self::Struct(value) => Some(value),
            _ => None,
        }
    }

    /// The map, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The map, to be changed.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list's elements; empty for anything else.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The list, to be changed.
    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Self>> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The free-form JSON text.
    pub fn as_raw(&self) -> Option<&str> {
        match self {
            Self::Raw(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a struct's field or a map's key.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(value) => value.get(name),
            Self::Map(map) => map.get(name),
            _ => None,
        }
    }

    /// The value of a struct's field or a map's key, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match self {
            Self::Struct(value) => value.get_mut(name),
            Self::Map(map) => map.get_mut(name),
            _ => None,
        }
    }

    fn drop_zeros(&mut self) {
        match self {
            Self::Struct(value) => value.drop_zeros(),
            Self::List(items) => items.iter_mut().for_each(Self::drop_zeros),
            Self::Map(map) => map.iter_mut().for_each(|(_, value)| value.drop_zeros()),
            _ => {}
        }
    }

    fn each_quantity(&mut self, kind: &FieldKind, visit: &mut dyn FnMut(&mut Box<str>)) {
        match (kind, self) {
            (FieldKind::Quantity, Self::Str(text)) => visit(text),
            (FieldKind::Struct(_), Self::Struct(value)) => value.for_each_quantity(visit),
            (FieldKind::List(kind), Self::List(items)) => {
                items.iter_mut().for_each(|item| item.each_quantity(kind, visit));
            }
            (FieldKind::Map(kind), Self::Map(map)) => {
                map.iter_mut().for_each(|(_, value)| value.each_quantity(kind, visit));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
