//! Ownership within values whose shape is known only at run time.
//!
//! A value says itself what it is; the schema adds which members are fields, which lists are sets or have keys, and
//! which maps are one value. Where the schema says nothing, maps are granular and lists are atomic, which is what
//! upstream deduces.

use super::compare::{Changes, Own, leaf, list_changes};
use super::field_set::FieldSet;
use super::merge::{Emptied, merge_elements};
use super::path_element::{PathElement, Scalar};
use crate::node::{Map, Node};
use crate::structural::{ListType, Structural};

type Schema<'s> = Option<&'s Structural>;

fn member<'s>(schema: Schema<'s>, name: &str) -> Schema<'s> {
    schema?.member(name)
}

fn element(schema: Schema<'_>) -> Schema<'_> {
    schema?.element()
}

/// Whether a member is a field of the schema, not just an entry of a map.
fn is_field(schema: Schema<'_>, name: &str) -> bool {
    schema.is_some_and(|schema| schema.property(name).is_some())
}

/// Whether ownership sees the value as one.
fn is_one(schema: Schema<'_>, node: &Node) -> bool {
    match node {
        Node::Map(_) => schema.is_some_and(|schema| schema.atomic),
        Node::List(_) => schema.is_none_or(|schema| schema.list_type == ListType::Atomic),
        _ => true,
    }
}

/// The step to an element of a list.
fn step(schema: Schema<'_>, item: &Node, index: usize) -> PathElement {
    let found = schema.and_then(|schema| match (schema.list_type, item) {
        (ListType::Set, item) => Scalar::of(item).map(PathElement::Value),
        (ListType::Map, Node::Map(map)) => keys(schema, map),
        _ => None,
    });
    found.unwrap_or(PathElement::Index(index))
}

fn keys(schema: &Structural, item: &Map) -> Option<PathElement> {
    let scalar = |name: &str| {
        let default = || schema.element()?.property(name)?.default.as_ref();
        Scalar::of(item.get(name).or_else(default)?)
    };
    let keys = schema.list_map_keys.iter().filter_map(|name| Some((name.to_string().into(), scalar(name)?)));
    let mut keys: Vec<_> = keys.collect();
    keys.sort_unstable_by(|a: &(std::borrow::Cow<'_, str>, _), b| a.0.cmp(&b.0));
    if keys.is_empty() { None } else { Some(PathElement::Keys(keys.into())) }
}

/// The paths that a configuration sets: whether the value itself is one, and those below.
pub(super) fn paths(schema: Schema<'_>, node: &Node) -> Result<(bool, FieldSet), String> {
    let mut set = FieldSet::default();
    if is_one(schema, node) {
        return Ok((true, set));
    }
    match node {
        Node::Map(map) => {
            for (name, value) in map.iter() {
                let (own, below) = paths(member(schema, name), value).map_err(|rest| format!(".{name}{rest}"))?;
                set.put(PathElement::key(name), own || !is_field(schema, name), below);
            }
        }
        other => {
            for (index, item) in other.items().iter().enumerate() {
                let step = step(schema, item, index);
                if set.has(&step) {
                    return Err(step.describe());
                }
                let (_, below) = paths(element(schema), item)?;
                set.put(step, true, below);
            }
            return Ok((false, set));
        }
    }
    Ok((set.is_empty(), set))
}

/// Merges a configuration into a value: what it names wins.
pub(super) fn merge(schema: Schema<'_>, live: Node, config: &Node) -> Node {
    if is_one(schema, config) {
        return config.clone();
    }
    match (live, config) {
        (Node::Map(mut live), Node::Map(config)) => {
            for (name, value) in config.iter() {
                let merged = match live.remove(name) {
                    Some(present) => merge(member(schema, name), present, value),
                    None => value.clone(),
                };
                live.insert(name, merged);
            }
            Node::Map(live)
        }
        (Node::List(live), Node::List(config)) => {
            Node::List(merge_elements(live, config, &|index, item| step(schema, item, index), &|live, config| {
                merge(element(schema), live, config)
            }))
        }
        (_, config) => config.clone(),
    }
}

/// Removes paths below a value; false if nothing is left of it.
pub(super) fn remove(schema: Schema<'_>, node: &mut Node, set: &FieldSet, emptied: Emptied) -> bool {
    if set.is_empty() || is_one(schema, node) {
        return true;
    }
    match node {
        Node::Map(map) => {
            let mut gone: Vec<Box<str>> = vec![];
            for (name, value) in map.iter_mut() {
                match set.at_name(name) {
                    Some((true, _)) => gone.push(name.into()),
                    Some((false, below)) if !remove(member(schema, name), value, below, emptied) => match emptied {
                        Emptied::Null => *value = Node::Null,
                        Emptied::Gone => gone.push(name.into()),
                    },
                    _ => {}
                }
            }
            gone.iter().for_each(|name| drop(map.remove(name)));
            !map.is_empty()
        }
        Node::List(items) => {
            let mut index = 0;
            items.retain_mut(|item| {
                let step = step(schema, item, index);
                index += 1;
                if let Some(below) = set.below(&step) {
                    remove(element(schema), item, below, emptied);
                }
                !set.has(&step)
            });
            !items.is_empty()
        }
        _ => true,
    }
}

/// What became of a value, and of what is below it.
pub(super) fn compare(schema: Schema<'_>, old: Option<&Node>, new: Option<&Node>) -> (Own, Changes) {
    let hollow = |node: Option<&Node>| match node {
        None | Some(Node::Null) => true,
        Some(Node::Map(map)) => map.is_empty(),
        Some(Node::List(items)) => items.is_empty(),
        Some(_) => false,
    };
    let one = [old, new].into_iter().flatten().any(|node| *node != Node::Null && is_one(schema, node));
    if one || hollow(old) && hollow(new) {
        return leaf(old, new);
    }
    let own = match (old, new) {
        (None, _) => Own::Added,
        (_, None) => Own::Removed,
        _ => Own::Kept,
    };
    let lists = [old, new].into_iter().flatten().any(|node| matches!(node, Node::List(_)));
    let maps = [old, new].into_iter().flatten().any(|node| matches!(node, Node::Map(_)));
    if lists && maps {
        return leaf(old, new);
    }
    let changes = if lists {
        list_changes(
            old.map_or(&[], Node::items),
            new.map_or(&[], Node::items),
            &|index, item| step(schema, item, index),
            &|old, new| compare(element(schema), old, new),
        )
    } else {
        map_changes(schema, old.and_then(Node::as_map), new.and_then(Node::as_map))
    };
    (own, changes)
}

fn map_changes(schema: Schema<'_>, old: Option<&Map>, new: Option<&Map>) -> Changes {
    let mut changes = Changes::default();
    for (name, before) in old.into_iter().flat_map(Map::iter) {
        let after = new.and_then(|new| new.get(name));
        changes.put(|| PathElement::key(name), compare(member(schema, name), Some(before), after));
    }
    for (name, after) in new.into_iter().flat_map(Map::iter) {
        if old.and_then(|old| old.get(name)).is_none() {
            changes.put(|| PathElement::key(name), compare(member(schema, name), None, Some(after)));
        }
    }
    changes
}

/// Makes every field that has members below it a member.
pub(super) fn add_structs(schema: Schema<'_>, set: &mut FieldSet) {
    for (step, own, below) in set.steps_mut() {
        let inner = match step {
            PathElement::Field(name) => {
                *own |= is_field(schema, name);
                member(schema, name)
            }
            _ => element(schema),
        };
        add_structs(inner, below);
    }
}
