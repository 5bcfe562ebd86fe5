//! Server-side apply.

use super::compare::compare;
use super::field_set::FieldSet;
use super::merge::Emptied;
use super::update::take_from_others;
use super::{Entry, Operation, UNOWNED_METADATA, Writer, merge, read, strip, update, write};
use crate::node::Struct;
use crate::object::Object;

/// Owner of everything an object had before the first apply to it, where nobody was recorded.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The outcome of an apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The object to write, with its ownership.
    pub object: Object,
    /// Whether anything but timestamps differs from the live object.
    pub changed: bool,
}

/// Why a configuration was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The configuration itself has ownership in it.
    #[error("metadata.managedFields must be nil")]
    ManagedFields,
    /// A list of the configuration has an element twice.
    #[error("duplicate entries for key {0}")]
    Duplicate(String),
    /// Others own fields that the configuration changes.
    #[error(transparent)]
    Conflicts(#[from] Conflicts),
}

/// All conflicts of one apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

/// A field that another manager owns and the configuration changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager in words: name, subresource, API version and time.
    pub manager: String,
    /// The field, as in `.spec.replicas`.
    pub field: String,
}

impl Conflict {
    /// The message of the conflict's cause.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

impl std::error::Error for Conflicts {}

impl std::fmt::Display for Conflicts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let [conflict] = &self.0[..] {
            return write!(formatter, "Apply failed with 1 conflict: {}: {}", conflict.message(), conflict.field);
        }
        write!(formatter, "Apply failed with {} conflicts: ", self.0.len())?;
        let mut managers: Vec<&str> = self.0.iter().map(|conflict| conflict.manager.as_str()).collect();
        managers.sort_unstable();
        managers.dedup();
        for (index, manager) in managers.iter().enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            write!(formatter, "{newline}conflicts with {manager}:")?;
            for conflict in self.0.iter().filter(|conflict| conflict.manager == *manager) {
                write!(formatter, "\n- {}", conflict.field)?;
            }
        }
        Ok(())
    }
}

/// Applies a configuration, which must have been decoded with its zeros kept.
///
/// Without `live` the object is created. The caller has checked name, namespace, uid and resourceVersion.
pub fn apply(writer: &Writer<'_>, force: bool, live: Option<&Object>, config: &Object) -> Result<Applied, ApplyError> {
    if config.at("metadata.managedFields").is_some() {
        return Err(ApplyError::ManagedFields);
    }
    let ty = config.body.ty();
    let mut owned = merge::paths(&config.body).map_err(ApplyError::Duplicate)?;
    strip(&mut owned, writer.ignored);

    let mut base = live.cloned().unwrap_or_else(|| Object::new(&config.api_version, &config.kind, ty));
    let mut entries = entries_before(writer, live, &mut base);
    let before = entries.clone();
    base.body.remove("metadata.managedFields");

    let mut merged = base.body.clone();
    merge::merge(&mut merged, &relevant(config, writer, live.is_some()));
    let last = set_owned(&mut entries, writer, owned);
    prune(&mut merged, &last, &entries);
    // As decoding does, so that an unchanged object compares equal.
    merged.drop_zeros();

    let mut changes = compare(&base.body, &merged);
    for set in [&mut changes.added, &mut changes.modified, &mut changes.removed] {
        strip(set, writer.ignored);
    }
    let other = |entry: &Entry| !entry.continues(writer, Operation::Apply);
    if !force {
        let wanted = changes.added.union(&changes.modified);
        conflicts(entries.iter().filter(|entry| other(entry)), &wanted)?;
    }
    take_from_others(&mut entries, &changes, other);
    entries.retain(|entry| !entry.fields.is_empty());

    let changed = live.is_none() || merged != base.body || !same_ownership(&before, &entries);
    if !changed && let Some(live) = live {
        return Ok(Applied { object: live.clone(), changed: false });
    }
    if let Some(entry) = entries.iter_mut().find(|entry| entry.continues(writer, Operation::Apply)) {
        entry.time = writer.now.into();
    }
    let mut object = Object { api_version: config.api_version.clone(), kind: config.kind.clone(), body: merged };
    write(&mut object, entries);
    Ok(Applied { object, changed: true })
}

/// The entries of the live object. Where it has none, all it has is recorded as set before the first apply.
fn entries_before(writer: &Writer<'_>, live: Option<&Object>, base: &mut Object) -> Vec<Entry> {
    let entries = live.and_then(read).unwrap_or_default();
    if live.is_none() || !entries.is_empty() {
        return entries;
    }
    base.body.remove("metadata.managedFields");
    let before = Writer { manager: BEFORE_FIRST_APPLY, subresource: "", ..*writer };
    update::update(&before, None, base);
    read(base).unwrap_or_default()
}

/// The configuration without what this endpoint ignores and what only the server sets.
fn relevant(config: &Object, writer: &Writer<'_>, exists: bool) -> Struct {
    let mut body = config.body.clone();
    for path in writer.ignored {
        body.remove(path);
    }
    if exists {
        for name in UNOWNED_METADATA {
            body.remove(&format!("metadata.{name}"));
        }
    }
    body
}

/// Records what the applier owns from now on and returns what it owned before.
fn set_owned(entries: &mut Vec<Entry>, writer: &Writer<'_>, owned: FieldSet) -> FieldSet {
    match entries.iter_mut().find(|entry| entry.continues(writer, Operation::Apply)) {
        Some(entry) => {
            let last = entry.fields.clone();
            entry.set_fields(owned);
            entry.api_version = writer.api_version.into();
            last
        }
        None => {
            entries.push(Entry::new(writer, Operation::Apply, owned));
            FieldSet::default()
        }
    }
}

/// Removes what the applier owned before and owns no longer, unless another applier owns it.
fn prune(merged: &mut Struct, last: &FieldSet, entries: &[Entry]) {
    let applied = entries.iter().filter(|entry| entry.operation == Operation::Apply);
    let applied = applied.fold(FieldSet::default(), |set, entry| set.union(&entry.fields));
    if last.difference(&applied).is_empty() {
        return;
    }
    let ty = merged.ty();
    let members = |set: FieldSet| merge::with_structs(set, ty);
    let all = |value: &Struct| members(merge::paths(value).unwrap_or_default());
    let last = members(last.clone());
    let mut pruned = merged.clone();
    merge::remove(&mut pruned, &last, Emptied::Null);
    // Put back what an applier owns, this one included.
    let everything = all(merged);
    let mut kept = merged.clone();
    merge::remove(&mut kept, &everything.difference(&all(&pruned).union(&members(applied))), Emptied::Null);
    // Put back what went with a struct or an element but was never this applier's.
    merge::remove(merged, &everything.difference(&all(&kept)).intersection(&last), Emptied::Gone);
}

fn conflicts<'e>(others: impl Iterator<Item = &'e Entry>, wanted: &FieldSet) -> Result<(), Conflicts> {
    let mut found = vec![];
    for entry in others {
        let common = entry.fields.intersection(wanted);
        if common.is_empty() {
            continue;
        }
        let manager = describe(entry);
        common.for_each_path(&mut |path| {
            found.push(Conflict { manager: manager.clone(), field: path.to_owned() });
        });
    }
    if found.is_empty() { Ok(()) } else { Err(Conflicts(found)) }
}

fn describe(entry: &Entry) -> String {
    let mut text = format!("{:?}", entry.manager);
    if !entry.subresource.is_empty() {
        text.push_str(&format!(" with subresource {:?}", entry.subresource));
    }
    if entry.operation == Operation::Update {
        text.push_str(&format!(" using {}", entry.api_version));
        if !entry.time.is_empty() {
            text.push_str(&format!(" at {}", entry.time));
        }
    }
    text
}

/// Whether the same managers own the same fields, whenever that was.
fn same_ownership(before: &[Entry], after: &[Entry]) -> bool {
    let key = |entry: &Entry| (entry.manager.clone(), entry.operation, entry.subresource.clone());
    before.len() == after.len()
        && before.iter().all(|entry| after.iter().any(|other| key(other) == key(entry) && other.fields == entry.fields))
}
