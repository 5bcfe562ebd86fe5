//! Merging an applied configuration into an object, and removing paths from one.

use std::collections::BTreeMap;

use super::field_set::FieldSet;
use super::open;
use super::path_element::PathElement;
use crate::node::{Map, Node, Struct};
use crate::schema::{FieldKind, Topology, Type};

/// The paths that a configuration sets. `Err` names a list element that it has twice.
pub(super) fn paths(value: &Struct) -> Result<FieldSet, String> {
    let mut set = FieldSet::default();
    for (field, node) in value.iter() {
        if field.is_rest() {
            set = set.union(&open::paths(None, node)?.1);
            continue;
        }
        let (member, below) = paths_of(&field.kind, field.is_atomic(), field.topology, node)
            .map_err(|rest| format!(".{}{rest}", field.name))?;
        set.put(PathElement::field(field.name), member, below);
    }
    Ok(set)
}

fn paths_of(kind: &FieldKind, atomic: bool, topology: Topology, node: &Node) -> Result<(bool, FieldSet), String> {
    let mut set = FieldSet::default();
    match (kind, node) {
        _ if atomic => return Ok((true, set)),
        (FieldKind::Open(property), _) => return open::paths(property.schema().property(property.name()), node),
        (_, Node::Struct(value)) => set = paths(value)?,
        (FieldKind::Map(kind), Node::Map(map)) => {
            for (key, value) in map.iter() {
                let (_, below) = paths_of(kind, element_atomic(kind), Topology::Natural, value)?;
                set.put(PathElement::key(key), true, below);
            }
        }
        (FieldKind::List(kind), Node::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                let element = PathElement::of_item(topology, item, index);
                if set.has(&element) {
                    return Err(element.describe());
                }
                let (_, below) = paths_of(kind, element_atomic(kind), Topology::Natural, item)?;
                set.put(element, true, below);
            }
            // An empty list that is not atomic sets nothing.
            return Ok((false, set));
        }
        _ => return Ok((true, set)),
    }
    Ok((set.is_empty(), set))
}

fn element_atomic(kind: &FieldKind) -> bool {
    match kind {
        FieldKind::Struct(ty) => ty.atomic,
        _ => true,
    }
}

/// Merges a configuration into a struct: what it names wins, what it does not name stays.
pub(super) fn merge(live: &mut Struct, config: &Struct) {
    for (index, node) in config.fields() {
        let field = &config.ty().fields[usize::from(*index)];
        match live.take(*index) {
            Some(present) if !field.is_atomic() => {
                live.put(*index, merge_values(&field.kind, field.topology, present, node));
            }
            _ => live.put(*index, node.clone()),
        }
    }
}

fn merge_values(kind: &FieldKind, topology: Topology, live: Node, config: &Node) -> Node {
    match (kind, live, config) {
        (FieldKind::Open(property), live, _) => open::merge(property.schema().property(property.name()), live, config),
        (FieldKind::Struct(ty), Node::Struct(mut live), Node::Struct(config)) if !ty.atomic => {
            merge(&mut live, config);
            Node::Struct(live)
        }
        (FieldKind::Map(kind), Node::Map(live), Node::Map(config)) => Node::Map(merge_maps(kind, live, config)),
        (FieldKind::List(kind), Node::List(live), Node::List(config)) => {
            let step = |index: usize, item: &Node| PathElement::of_item(topology, item, index);
            let merge = |live: Node, config: &Node| merge_values(kind, Topology::Natural, live, config);
            Node::List(merge_elements(live, config, &step, &merge))
        }
        (_, _, config) => config.clone(),
    }
}

fn merge_maps(kind: &FieldKind, mut live: Map, config: &Map) -> Map {
    for (key, value) in config.iter() {
        let merged = match live.remove(key) {
            Some(present) => merge_values(kind, Topology::Natural, present, value),
            None => value.clone(),
        };
        live.insert(key, merged);
    }
    live
}

/// Merges lists element by element; `step` tells elements apart, `merge` merges two. Elements of the configuration come in its order; elements that only the object
/// has keep their place among those that both have.
pub(super) fn merge_elements(
    live: Vec<Node>,
    config: &[Node],
    step: &dyn Fn(usize, &Node) -> PathElement,
    merge: &dyn Fn(Node, &Node) -> Node,
) -> Vec<Node> {
    let element = |(index, item): (usize, &Node)| step(index, item);
    let wanted: Vec<PathElement> = config.iter().enumerate().map(element).collect();
    let present: Vec<PathElement> = live.iter().enumerate().map(element).collect();
    let place: BTreeMap<&PathElement, usize> = wanted.iter().enumerate().map(|(at, element)| (element, at)).collect();
    let mut known: BTreeMap<&PathElement, Vec<usize>> = BTreeMap::new();
    for (at, element) in present.iter().enumerate() {
        known.entry(element).or_default().push(at);
    }
    let mut shared = wanted.iter().filter(|element| known.contains_key(element)).peekable();
    let mut live: Vec<Option<Node>> = live.into_iter().map(Some).collect();
    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    let (mut at, mut next) = (0, 0);
    while at < present.len() || next < wanted.len() {
        let placed = present.get(at).map(|element| place.get(element));
        match placed {
            // Only the object has it.
            Some(None) => {
                merged.extend(live[at].take());
                at += 1;
                continue;
            }
            // Both have it, but the configuration has another one first, or it is placed already.
            Some(Some(index)) if *index < next => at += 1,
            Some(Some(_)) if next < wanted.len() && shared.peek().is_some_and(|first| **first != present[at]) => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let Some(item) = config.get(next) else { continue };
        // Elements that the object has twice cannot be told apart: the configured one takes their place.
        let same = match known.get(&wanted[next]).map(Vec::as_slice) {
            Some([one]) => live[*one].take(),
            _ => None,
        };
        merged.push(match same {
            Some(same) => merge(same, item),
            None => item.clone(),
        });
        shared.next_if(|first| **first == wanted[next]);
        next += 1;
    }
    merged
}

/// What happens to a struct, map or list that loses all it had.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Emptied {
    /// It stays as null, and [`paths`] still counts it.
    Null,
    /// It goes too.
    Gone,
}

/// Removes the members of `set` with all below them.
pub(super) fn remove(value: &mut Struct, set: &FieldSet, emptied: Emptied) {
    if set.is_empty() {
        return;
    }
    let mut gone = vec![];
    for (field, node) in value.iter_mut() {
        if field.is_rest() {
            if !open::remove(None, node, set, emptied) {
                gone.push(field.name);
            }
            continue;
        }
        match set.at_name(field.name) {
            Some((true, _)) => gone.push(field.name),
            Some((false, below))
                if !remove_below(&field.kind, field.is_atomic(), field.topology, node, below, emptied) =>
            {
                match emptied {
                    Emptied::Null => *node = Node::Null,
                    Emptied::Gone => gone.push(field.name),
                }
            }
            _ => {}
        }
    }
    for name in gone {
        value.remove_field(name);
    }
}

/// Removes paths below a value; false if nothing is left of it.
fn remove_below(
    kind: &FieldKind,
    atomic: bool,
    topology: Topology,
    node: &mut Node,
    set: &FieldSet,
    emptied: Emptied,
) -> bool {
    if atomic || set.is_empty() {
        return true;
    }
    let inner = |kind: &FieldKind, node: &mut Node, below: &FieldSet| {
        remove_below(kind, element_atomic(kind), Topology::Natural, node, below, emptied)
    };
    match (kind, node) {
        (FieldKind::Open(property), node) => {
            open::remove(property.schema().property(property.name()), node, set, emptied)
        }
        (_, Node::Struct(value)) => {
            remove(value, set, emptied);
            !value.is_empty()
        }
        (FieldKind::Map(kind), Node::Map(map)) => {
            let mut gone: Vec<Box<str>> = vec![];
            for (key, value) in map.iter_mut() {
                match set.at_name(key) {
                    Some((true, _)) => gone.push(key.into()),
                    Some((false, below)) => {
                        inner(kind, value, below);
                    }
                    None => {}
                }
            }
            gone.iter().for_each(|key| drop(map.remove(key)));
            !map.is_empty()
        }
        (FieldKind::List(kind), Node::List(items)) => {
            let mut index = 0;
            items.retain_mut(|item| {
                let element = PathElement::of_item(topology, item, index);
                index += 1;
                if let Some(below) = set.below(&element) {
                    inner(kind, item, below);
                }
                !set.has(&element)
            });
            !items.is_empty()
        }
        _ => true,
    }
}

/// Makes every struct field that has members below it a member: an applier that owned something inside a struct owned
/// the struct's being there.
pub(super) fn with_structs(mut set: FieldSet, ty: Type) -> FieldSet {
    add_structs(&mut set, &FieldKind::Struct(ty));
    set
}

fn add_structs(set: &mut FieldSet, kind: &FieldKind) {
    for (element, member, below) in set.steps_mut() {
        let inner = match (kind, element) {
            (FieldKind::Struct(ty), PathElement::Field(name)) => match ty.field(name) {
                Some((_, field)) => {
                    *member = true;
                    if let FieldKind::Open(property) = field.kind {
                        open::add_structs(property.schema().property(property.name()), below);
                        continue;
                    }
                    field.kind
                }
                None => continue,
            },
            (FieldKind::Map(kind) | FieldKind::List(kind), _) => **kind,
            _ => continue,
        };
        add_structs(below, &inner);
    }
}
