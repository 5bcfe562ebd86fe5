//! Access by dotted path, for structs and nodes alike.

use super::{Node, Struct};
use crate::schema::FieldKind;

impl Struct {
    /// The value at a dotted path: `spec.template.spec`, `spec.containers.0.name`.
    pub fn at(&self, path: &str) -> Option<&Node> {
        match path.split_once('.') {
            Some((name, rest)) => self.get(name)?.at(rest),
            None => self.get(path),
        }
    }

    /// The value at a dotted path, to be changed.
    pub fn at_mut(&mut self, path: &str) -> Option<&mut Node> {
        match path.split_once('.') {
            Some((name, rest)) => self.get_mut(name)?.at_mut(rest),
            None => self.get_mut(path),
        }
    }

    /// The text at a path; empty if absent, which is what Go has there.
    pub fn str_at(&self, path: &str) -> &str {
        self.at(path).and_then(Node::as_str).unwrap_or("")
    }

    /// The integer at a path.
    pub fn i64_at(&self, path: &str) -> Option<i64> {
        self.at(path).and_then(Node::as_i64)
    }

    /// The truth value at a path.
    pub fn bool_at(&self, path: &str) -> Option<bool> {
        self.at(path).and_then(Node::as_bool)
    }

    /// The list at a path; empty if absent.
    pub fn items_at(&self, path: &str) -> &[Node] {
        self.at(path).map_or(&[], Node::items)
    }

    /// Sets the value at a path, making the structs and maps on the way.
    ///
    /// # Panics
    /// If the schema has no such path: a mistake in the calling code, never in data.
    pub fn set(&mut self, path: &str, value: impl Into<Node>) {
        let value = value.into();
        match path.split_once('.') {
            Some((name, rest)) => self.entry(name).set(rest, value),
            None => {
                let Some((index, field)) = self.ty.field(path) else {
                    panic!("{:?} has no field {path}", self.ty);
                };
                debug_assert!(value.fits(&field.kind), "{:?}.{path} cannot hold {value:?}", self.ty);
                self.put(index, value);
            }
        }
    }

    /// Sets the value at a path unless a value is there; returns whether it was set.
    pub fn set_default(&mut self, path: &str, value: impl Into<Node>) -> bool {
        let absent = self.at(path).is_none();
        if absent {
            self.set(path, value);
        }
        absent
    }

    /// Removes the value at a path.
    pub fn remove(&mut self, path: &str) -> Option<Node> {
        match path.rsplit_once('.') {
            Some((parent, name)) => self.at_mut(parent)?.remove(name),
            None => self.remove_field(path),
        }
    }

    /// The value at a path, made (with all on the way) as a zero value if absent.
    ///
    /// # Panics
    /// If the schema has no such path: a mistake in the calling code, never in data.
    pub fn entry_at(&mut self, path: &str) -> &mut Node {
        match path.split_once('.') {
            Some((name, rest)) => match self.entry(name) {
                Node::Struct(value) => value.entry_at(rest),
                other => panic!("{other:?} has no field {rest}"),
            },
            None => self.entry(path),
        }
    }

    /// The struct at a path, made if absent.
    ///
    /// # Panics
    /// If the schema has no struct there: a mistake in the calling code, never in data.
    pub fn struct_at(&mut self, path: &str) -> &mut Struct {
        match self.entry_at(path) {
            Node::Struct(value) => value,
            other => panic!("{path} holds {other:?}, not a struct"),
        }
    }

    /// The list at a path, made if absent.
    ///
    /// # Panics
    /// If the schema has no list there: a mistake in the calling code, never in data.
    pub fn list_at(&mut self, path: &str) -> &mut Vec<Node> {
        match self.entry_at(path) {
            Node::List(items) => items,
            other => panic!("{path} holds {other:?}, not a list"),
        }
    }

    /// An empty struct that can be pushed to the list field `name`.
    pub fn new_item(&self, name: &str) -> Option<Struct> {
        match self.ty.field(name)?.1.kind {
            FieldKind::List(FieldKind::Struct(ty)) => Some(Struct::new(ty)),
            _ => None,
        }
    }
}

impl Node {
    /// The value at a dotted path.
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, step| match node {
            Self::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => node.get(step),
        })
    }

    /// The value at a dotted path, to be changed.
    pub fn at_mut(&mut self, path: &str) -> Option<&mut Self> {
        path.split('.').try_fold(self, |node, step| match node {
            Self::List(items) => items.get_mut(step.parse::<usize>().ok()?),
            _ => node.get_mut(step),
        })
    }

    /// The text at a path; empty if absent.
    pub fn str_at(&self, path: &str) -> &str {
        self.at(path).and_then(Self::as_str).unwrap_or("")
    }

    /// The integer at a path.
    pub fn i64_at(&self, path: &str) -> Option<i64> {
        self.at(path).and_then(Self::as_i64)
    }

    /// The truth value at a path.
    pub fn bool_at(&self, path: &str) -> Option<bool> {
        self.at(path).and_then(Self::as_bool)
    }

    /// The list at a path; empty if absent.
    pub fn items_at(&self, path: &str) -> &[Self] {
        self.at(path).map_or(&[], Self::items)
    }

    /// Sets the value at a path below a struct, or at a key of a map.
    ///
    /// # Panics
    /// If the schema has no such path: a mistake in the calling code, never in data.
    pub fn set(&mut self, path: &str, value: impl Into<Self>) {
        match self {
            Self::Struct(inner) => inner.set(path, value),
            Self::Map(map) => {
                map.insert(path, value);
            }
            Self::List(items) => {
                let (step, rest) = path.split_once('.').unwrap_or((path, ""));
                let item = step.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                match item {
                    Some(item) if rest.is_empty() => *item = value.into(),
                    Some(item) => item.set(rest, value),
                    None => panic!("list has no element {step}"),
                }
            }
            other => panic!("{other:?} has no field {path}"),
        }
    }

    /// Removes a struct's field at a path, or a map's key.
    pub fn remove(&mut self, path: &str) -> Option<Self> {
        match self {
            Self::Struct(inner) => inner.remove(path),
            Self::Map(map) => map.remove(path),
            _ => None,
        }
    }
}
