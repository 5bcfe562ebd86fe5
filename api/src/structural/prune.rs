//! Dropping what a schema does not name.

use super::schema::{Additional, Structural};
use crate::node::Node;

/// What an embedded object has besides what its schema names.
const ENVELOPE: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Drops every member of `value` that the schema does not name, and tells its path. Without a schema everything stays.
pub fn prune(schema: Option<&Structural>, value: &mut Node, path: &str, dropped: &mut dyn FnMut(&str)) {
    let Some(schema) = schema else { return };
    match value {
        Node::Map(map) => {
            let mut gone: Vec<Box<str>> = vec![];
            for (key, member) in map.iter_mut() {
                let place = || if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                match schema.member(key) {
                    Some(inner) if inner.is_simple() => {}
                    Some(inner) => prune(Some(inner), member, &place(), dropped),
                    None if keeps(schema, key) => {}
                    None => {
                        dropped(&place());
                        gone.push(key.into());
                    }
                }
            }
            gone.iter().for_each(|key| drop(map.remove(key)));
        }
        Node::List(items) => {
            let Some(inner) = schema.element().filter(|inner| !inner.is_simple()) else { return };
            for (index, item) in items.iter_mut().enumerate() {
                prune(Some(inner), item, &format!("{path}[{index}]"), dropped);
            }
        }
        _ => {}
    }
}

fn keeps(schema: &Structural, key: &str) -> bool {
    schema.preserve || matches!(schema.additional, Additional::Anything) || schema.embedded && ENVELOPE.contains(&key)
}

impl Structural {
    /// Whether nothing below a value of this shape could be dropped, so that no path need be made for it.
    fn is_simple(&self) -> bool {
        use super::JsonType::{Boolean, Integer, Number, String};
        matches!(self.ty, Boolean | Integer | Number | String)
    }
}
