//! Ownership after a create, an update or a plain patch.

use super::compare::{Changes, compare};
use super::field_set::FieldSet;
use super::{Entry, Operation, Writer, is_reset, read, strip, write};
use crate::node::Struct;
use crate::object::Object;

/// More managers by update than this are merged into one, oldest first, so that ownership stays bounded.
const UPDATE_MANAGERS_MAX: usize = 10;
/// The manager that the oldest are merged into.
const ANCIENT: &str = "ancient-changes";

/// Brings `metadata.managedFields` of `new` up to date after `writer` turned `live` into it.
///
/// Entries in `new` are taken where they can be read and the write is to the object itself, so that clients may edit
/// them; a single empty entry forgets them all.
pub fn update(writer: &Writer<'_>, live: Option<&Object>, new: &mut Object) {
    let empty = Struct::new(new.body.ty());
    let mut changes = compare(live.map_or(&empty, |live| &live.body), &new.body);
    for set in [&mut changes.added, &mut changes.modified, &mut changes.removed] {
        strip(set, writer.ignored);
    }
    if let Some(live) = live
        && changes.are_none()
        && keeps_ownership(writer, live, new)
    {
        return;
    }
    let mut entries = current(writer, live, new);
    take_from_others(&mut entries, &changes, |_| true);
    let taken = changes.added.union(&changes.modified);
    if !taken.is_empty() {
        match entries.iter_mut().find(|entry| entry.continues(writer, Operation::Update)) {
            Some(entry) => {
                entry.set_fields(entry.fields.union(&taken));
                entry.time = writer.now.into();
            }
            None => entries.push(Entry::new(writer, Operation::Update, taken)),
        }
    }
    entries.retain(|entry| !entry.fields.is_empty());
    cap(&mut entries);
    write(new, entries);
}

/// Whether a write without changes leaves ownership as it is; then it is copied unread.
fn keeps_ownership(writer: &Writer<'_>, live: &Object, new: &mut Object) -> bool {
    let owners = live.at("metadata.managedFields");
    let given = new.at("metadata.managedFields");
    if given == owners {
        return true;
    }
    if given.is_some() && writer.subresource.is_empty() {
        return false;
    }
    match owners.cloned() {
        Some(owners) => new.metadata_mut().set("managedFields", owners),
        None => drop(new.body.remove("metadata.managedFields")),
    }
    true
}

/// The entries to start from.
fn current(writer: &Writer<'_>, live: Option<&Object>, new: &Object) -> Vec<Entry> {
    let of_live = || live.and_then(read).unwrap_or_default();
    if !writer.subresource.is_empty() {
        return of_live();
    }
    if is_reset(new) {
        return vec![];
    }
    read(new).filter(|entries| !entries.is_empty()).unwrap_or_else(of_live)
}

/// Takes changed and removed paths from the entries that `concerned` names.
pub(super) fn take_from_others(entries: &mut [Entry], changes: &Changes, concerned: impl Fn(&Entry) -> bool) {
    if changes.are_none() {
        return;
    }
    let lost: FieldSet = changes.added.union(&changes.modified).union(&changes.removed);
    for entry in entries.iter_mut().filter(|entry| concerned(entry)) {
        let fields = entry.fields.difference(&lost);
        entry.set_fields(fields);
    }
}

/// Merges the oldest managers by update into one per API version until few enough are left.
fn cap(entries: &mut Vec<Entry>) {
    let updates = |entries: &[Entry]| entries.iter().filter(|entry| entry.operation == Operation::Update).count();
    if updates(entries) <= UPDATE_MANAGERS_MAX {
        return;
    }
    entries.sort_by(|a, b| (a.operation, &a.time, &a.manager).cmp(&(b.operation, &b.time, &b.manager)));
    let mut at = 0;
    while updates(entries) > UPDATE_MANAGERS_MAX && at < entries.len() {
        let version = entries[at].api_version.clone();
        let older =
            entries[..at].iter().position(|entry| entry.operation == Operation::Update && entry.api_version == version);
        match older {
            Some(older) if entries[at].operation == Operation::Update => {
                let merged = entries.remove(at);
                let bucket = &mut entries[older];
                bucket.manager = ANCIENT.into();
                bucket.subresource = Box::default();
                bucket.set_fields(bucket.fields.union(&merged.fields));
                bucket.time = merged.time;
            }
            _ => at += 1,
        }
    }
}
