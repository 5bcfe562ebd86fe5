//! Merging and ordering of lists.

use serde_json::Value;

use super::{DIRECTIVE, Error, Fields, Shape, merge_map};

/// Merges `patch` into `original`; an empty merge key means a list of scalars.
pub(super) fn merge(
    shape: Shape,
    original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<Vec<Value>, Error> {
    if merge_key.is_empty() {
        let mut merged: Vec<Value> = original.clone();
        for value in &patch {
            if !merged.contains(value) {
                merged.push(value.clone());
            }
        }
        return Ok(arrange(merged, &patch, &original, merge_key));
    }
    let (mut kept, plain, replace) = directives(original.clone(), patch, merge_key)?;
    if replace {
        kept.clear();
    }
    let order = plain.iter().map(|element| Value::Object(element.clone())).collect::<Vec<_>>();
    for element in plain {
        let key = element.get(merge_key).cloned().ok_or_else(|| no_merge_key(&element, merge_key))?;
        let present = kept.iter().position(|item| item.get(merge_key) == Some(&key));
        match present.and_then(|at| kept[at].as_object_mut().map(std::mem::take).map(|item| (at, item))) {
            Some((at, item)) => kept[at] = Value::Object(merge_map(shape, item, element)?),
            // Into an empty map, so that directives inside a new element take effect and vanish.
            None => kept.push(Value::Object(merge_map(shape, Fields::new(), element)?)),
        }
    }
    let server = if replace { vec![] } else { original };
    Ok(arrange(kept, &order, &server, merge_key))
}

fn no_merge_key(element: &Fields, merge_key: &str) -> Error {
    let element = Value::Object(element.clone());
    Error::Malformed(format!("map: {element} does not contain declared merge key: {merge_key}"))
}

/// Carries out `$patch` elements: what is left of the original, the plain elements, and whether they replace it.
fn directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Fields>, bool), Error> {
    let (mut plain, mut replace) = (vec![], false);
    for element in patch {
        let Value::Object(element) = element else {
            return Err(Error::Malformed(format!("cannot merge {element} into a list of maps")));
        };
        match element.get(DIRECTIVE).map(|directive| directive.as_str()) {
            None => plain.push(element),
            Some(Some("delete")) => {
                let key = element.get(merge_key).ok_or_else(|| no_merge_key(&element, merge_key))?;
                original.retain(|item| item.get(merge_key) != Some(key));
            }
            // The element may be the bare directive, or carry the directive beside its fields.
            Some(Some("replace")) => replace = true,
            Some(Some("merge")) => {
                return Err(Error::Malformed("merging lists cannot yet be specified in the patch".into()));
            }
            Some(_) => {
                return Err(Error::Malformed(format!("unknown patch type found: {} in list", element[DIRECTIVE])));
            }
        }
    }
    Ok((original, plain, replace))
}

/// Whether two elements are the same one.
fn same(a: &Value, b: &Value, merge_key: &str) -> bool {
    if merge_key.is_empty() { a == b } else { a.get(merge_key).is_some() && a.get(merge_key) == b.get(merge_key) }
}

/// Orders elements: those named by `order` in its order, and each other one in front of the named ones that it stood
/// in front of on the server.
pub(super) fn arrange(items: Vec<Value>, order: &[Value], server: &[Value], merge_key: &str) -> Vec<Value> {
    let position = |list: &[Value], item: &Value| list.iter().position(|other| same(other, item, merge_key));
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| position(order, item).is_some());
    named.sort_by_key(|item| position(order, item));
    let mut arranged = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(next_named), Some(next_other)) = (named.peek(), others.peek()) {
        let first = match (position(server, next_other), position(server, next_named)) {
            (Some(other), Some(named)) if other < named => others.next(),
            _ => named.next(),
        };
        arranged.extend(first);
    }
    arranged.extend(named);
    arranged.extend(others);
    arranged
}
