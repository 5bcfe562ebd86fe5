//! What a write changed: the paths added, modified and removed between two objects.
//!
//! A field that Go writes even when nothing was given counts as present, so that ownership does not depend on whether
//! someone spelled out a zero.

use super::field_set::FieldSet;
use super::open;
use super::path_element::PathElement;
use crate::json::{absent_is_omitted, omitted};
use crate::node::{Map, Node, Struct};
use crate::schema::{FieldDef, FieldKind, Topology};

/// The changed paths.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) added: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) removed: FieldSet,
}

/// What became of a path itself.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Own {
    Kept,
    Added,
    Modified,
    Removed,
}

impl Changes {
    /// Whether nothing changed.
    pub(super) fn are_none(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// The changes of both.
    fn and(self, other: Self) -> Self {
        Self {
            added: self.added.union(&other.added),
            modified: self.modified.union(&other.modified),
            removed: self.removed.union(&other.removed),
        }
    }

    /// Hangs the changes of a member below its step.
    pub(super) fn put(&mut self, element: impl Fn() -> PathElement, (own, below): (Own, Self)) {
        for (set, below, wanted) in [
            (&mut self.added, below.added, Own::Added),
            (&mut self.modified, below.modified, Own::Modified),
            (&mut self.removed, below.removed, Own::Removed),
        ] {
            if own == wanted || !below.is_empty() {
                set.put(element(), own == wanted, below);
            }
        }
    }
}

/// Compares the bodies of two objects.
pub(super) fn compare(old: &Struct, new: &Struct) -> Changes {
    structs(Some(old), Some(new))
}

fn structs(old: Option<&Struct>, new: Option<&Struct>) -> Changes {
    let mut changes = Changes::default();
    let Some(ty) = new.or(old).map(Struct::ty) else { return changes };
    let (mut olds, mut news) = (present(old).peekable(), present(new).peekable());
    for (index, field) in ty.fields.iter().enumerate() {
        let mine = |at: &&(u16, Node)| usize::from(at.0) == index;
        let (before, after) = (olds.next_if(mine), news.next_if(mine));
        // A field that stands in neither is the same in both, unless one of the structs is missing altogether.
        if before.is_none() && after.is_none() && old.is_some() == new.is_some() {
            continue;
        }
        let (mut old_zero, mut new_zero) = (Node::Null, Node::Null);
        let before = effective(field, old.is_some(), before.map(|(_, node)| node), &mut old_zero);
        let after = effective(field, new.is_some(), after.map(|(_, node)| node), &mut new_zero);
        if field.is_rest() {
            let (_, below) = open::compare(None, before, after);
            changes = below.and(changes);
            continue;
        }
        let difference = values(&field.kind, field.is_atomic(), field.topology, before, after);
        changes.put(|| PathElement::field(field.name), difference);
    }
    changes
}

fn present(value: Option<&Struct>) -> std::slice::Iter<'_, (u16, Node)> {
    value.map_or(&[][..], Struct::fields).iter()
}

/// The value as Go writes it, which is a zero where nothing was given; `None` where Go writes nothing.
fn effective<'n>(field: &FieldDef, exists: bool, node: Option<&'n Node>, zero: &'n mut Node) -> Option<&'n Node> {
    match node {
        _ if !exists => None,
        Some(node) if omitted(field, node) => None,
        Some(node) => Some(node),
        None if absent_is_omitted(field) => None,
        None => {
            let is_nil = field.pointer || matches!(field.kind, FieldKind::List(_) | FieldKind::Map(_));
            *zero = if is_nil { Node::Null } else { Node::zero(&field.kind) };
            Some(zero)
        }
    }
}

pub(super) fn leaf(old: Option<&Node>, new: Option<&Node>) -> (Own, Changes) {
    let own = match (old, new) {
        (None, Some(_)) => Own::Added,
        (Some(_), None) => Own::Removed,
        (old, new) if old != new => Own::Modified,
        _ => Own::Kept,
    };
    (own, Changes::default())
}

/// Whether a composite value has nothing in it.
fn is_hollow(node: Option<&Node>) -> bool {
    match node {
        None | Some(Node::Null) => true,
        Some(Node::Struct(value)) => value.is_empty() && value.ty().fields.iter().all(absent_is_omitted),
        Some(Node::List(items)) => items.is_empty(),
        Some(Node::Map(map)) => map.is_empty(),
        Some(_) => false,
    }
}

fn values(
    kind: &FieldKind,
    atomic: bool,
    topology: Topology,
    old: Option<&Node>,
    new: Option<&Node>,
) -> (Own, Changes) {
    if let FieldKind::Open(property) = kind {
        return open::compare(property.schema().property(property.name()), old, new);
    }
    let composite = matches!(kind, FieldKind::Struct(_) | FieldKind::List(_) | FieldKind::Map(_));
    if atomic || !composite || is_hollow(old) && is_hollow(new) {
        return leaf(old, new);
    }
    let changes = match kind {
        FieldKind::Struct(_) => structs(old.and_then(Node::as_struct), new.and_then(Node::as_struct)),
        FieldKind::Map(kind) => maps(kind, old.and_then(Node::as_map), new.and_then(Node::as_map)),
        FieldKind::List(kind) => lists(kind, topology, items(old), items(new)),
        _ => Changes::default(),
    };
    let own = match (old, new) {
        (None, _) => Own::Added,
        (_, None) => Own::Removed,
        _ => Own::Kept,
    };
    (own, changes)
}

fn items(node: Option<&Node>) -> &[Node] {
    node.map_or(&[], Node::items)
}

/// Compares values that stand in a list or map, whose topology is that of their type.
fn elements(kind: &FieldKind, old: Option<&Node>, new: Option<&Node>) -> (Own, Changes) {
    let atomic = match kind {
        FieldKind::Struct(ty) => ty.atomic,
        _ => true,
    };
    values(kind, atomic, Topology::Natural, old, new)
}

fn maps(kind: &FieldKind, old: Option<&Map>, new: Option<&Map>) -> Changes {
    let mut changes = Changes::default();
    for (key, before) in old.into_iter().flat_map(Map::iter) {
        let difference = elements(kind, Some(before), new.and_then(|new| new.get(key)));
        changes.put(|| PathElement::key(key), difference);
    }
    for (key, after) in new.into_iter().flat_map(Map::iter) {
        if old.and_then(|old| old.get(key)).is_none() {
            changes.put(|| PathElement::key(key), elements(kind, None, Some(after)));
        }
    }
    changes
}

fn lists(kind: &FieldKind, topology: Topology, old: &[Node], new: &[Node]) -> Changes {
    let step = |index: usize, item: &Node| PathElement::of_item(topology, item, index);
    list_changes(old, new, &step, &|old, new| elements(kind, old, new))
}

/// Compares two elements.
type Elements<'f> = &'f dyn Fn(Option<&Node>, Option<&Node>) -> (Own, Changes);

/// Compares lists whose elements `step` tells apart, with `elements` for those that both have.
pub(super) fn list_changes(
    old: &[Node],
    new: &[Node],
    step: &dyn Fn(usize, &Node) -> PathElement,
    elements: Elements<'_>,
) -> Changes {
    let mut changes = Changes::default();
    if old == new {
        return changes;
    }
    let (olds, news) = (by_element(step, old), by_element(step, new));
    let (mut olds, mut news) = (&olds[..], &news[..]);
    while let Some(element) = least(olds.first(), news.first()) {
        let (before, after);
        (before, olds) = olds.split_at(olds.iter().take_while(|(other, _)| other == element).count());
        (after, news) = news.split_at(news.iter().take_while(|(other, _)| other == element).count());
        let difference = match (before, after) {
            ([] | [_], [] | [_]) => elements(before.first().map(|one| one.1), after.first().map(|one| one.1)),
            // Repeated elements cannot be told apart: they are one value together.
            ([], _) => (Own::Added, Changes::default()),
            (_, []) => (Own::Removed, Changes::default()),
            _ if before.iter().map(|one| one.1).eq(after.iter().map(|one| one.1)) => (Own::Kept, Changes::default()),
            _ => (Own::Modified, Changes::default()),
        };
        changes.put(|| element.clone(), difference);
    }
    changes
}

type Element<'n> = (PathElement, &'n Node);

fn by_element<'n>(step: &dyn Fn(usize, &Node) -> PathElement, items: &'n [Node]) -> Vec<Element<'n>> {
    let element = |(index, item)| (step(index, item), item);
    let mut elements: Vec<Element<'_>> = items.iter().enumerate().map(element).collect();
    elements.sort_by(|a, b| a.0.cmp(&b.0));
    elements
}

fn least<'e>(a: Option<&'e Element<'_>>, b: Option<&'e Element<'_>>) -> Option<&'e PathElement> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a.0 <= b.0 { &a.0 } else { &b.0 }),
        (a, b) => a.or(b).map(|one| &one.0),
    }
}
