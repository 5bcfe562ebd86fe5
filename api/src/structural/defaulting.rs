//! Filling in what a schema promises.

use super::schema::{Additional, Structural};
use crate::node::Node;

/// Sets the defaults of everything that is absent below `value`. Null counts as absent where it is not allowed.
pub fn default(schema: &Structural, value: &mut Node) {
    if !schema.defaults_below {
        return;
    }
    match value {
        Node::Map(map) => {
            for (name, property) in &schema.properties {
                if let Some(default) = &property.default
                    && map.get(name).is_none_or(|present| *present == Node::Null && !property.nullable)
                {
                    map.insert(name.clone(), default.clone());
                }
                if property.defaults_below
                    && let Some(member) = map.get_mut(name)
                {
                    self::default(property, member);
                }
            }
            if let Additional::Of(inner) = &schema.additional {
                for (name, member) in map.iter_mut() {
                    if schema.properties.contains_key(name) {
                        continue;
                    }
                    if *member == Node::Null
                        && !inner.nullable
                        && let Some(default) = &inner.default
                    {
                        *member = default.clone();
                    }
                    self::default(inner, member);
                }
            }
        }
        Node::List(items) => {
            let Some(inner) = schema.element() else { return };
            for item in items {
                if *item == Node::Null
                    && !inner.nullable
                    && let Some(default) = &inner.default
                {
                    *item = default.clone();
                }
                self::default(inner, item);
            }
        }
        _ => {}
    }
}
