//! Field ownership: who set which field last, kept in `metadata.managedFields` and brought up to date on every write.
//!
//! [`update`] is for create, update and the plain patches: the writer takes over what it changed. [`apply`] is
//! server-side apply: the writer owns what it lists, loses (and thereby removes) what it no longer lists, and is stopped
//! by a conflict where another manager owns a field it wants to change. Lists and maps are seen as the schema says
//! (atomic, set, by keys). Entries of another API version than the writer's are left as they are: Kontiki serves
//! every resource's fields under the same names in all its versions.

use crate::json;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;

mod apply;
mod compare;
mod field_set;
mod merge;
mod open;
mod path_element;
mod update;

pub use apply::{Applied, ApplyError, Conflict, Conflicts, apply};
pub use field_set::{Error as FieldsV1Error, FieldSet};
pub use path_element::{PathElement, Scalar};
pub use update::update;

/// Fields of the metadata that nobody owns.
const UNOWNED_METADATA: [&str; 8] =
    ["name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields", "resourceVersion"];

/// How a manager came by its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who writes, and what of the object the write cannot change.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// The API version written to, as in `apps/v1`.
    pub api_version: &'a str,
    /// The subresource written to; empty for the object itself.
    pub subresource: &'a str,
    /// The current time, RFC 3339 in seconds.
    pub now: &'a str,
    /// Dotted paths that this endpoint ignores, such as `status` for the object itself.
    pub ignored: &'a [&'a str],
}

/// One manager's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    manager: Box<str>,
    operation: Operation,
    api_version: Box<str>,
    subresource: Box<str>,
    time: Box<str>,
    fields: FieldSet,
    /// The text that `fields` was read from, for as long as it is unchanged.
    text: Option<Box<str>>,
}

impl Entry {
    fn new(writer: &Writer<'_>, operation: Operation, fields: FieldSet) -> Self {
        Self {
            manager: writer.manager.into(),
            operation,
            api_version: writer.api_version.into(),
            subresource: writer.subresource.into(),
            time: writer.now.into(),
            fields,
            text: None,
        }
    }

    /// Whether the entry is the one that `writer` continues. An applier keeps its entry across API versions.
    fn continues(&self, writer: &Writer<'_>, operation: Operation) -> bool {
        *self.manager == *writer.manager
            && self.operation == operation
            && *self.subresource == *writer.subresource
            && (operation == Operation::Apply || *self.api_version == *writer.api_version)
    }

    fn set_fields(&mut self, fields: FieldSet) {
        if self.fields != fields {
            self.fields = fields;
            self.text = None;
        }
    }
}

/// Reads the entries; `None` if one of them cannot be read.
fn read(object: &Object) -> Option<Vec<Entry>> {
    let entries = object.body.items_at("metadata.managedFields");
    entries.iter().map(|entry| read_entry(entry.as_struct()?)).collect()
}

fn read_entry(entry: &Struct) -> Option<Entry> {
    let operation = match entry.str_at("operation") {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    let text = entry.get("fieldsV1").and_then(Node::as_raw).unwrap_or("{}");
    Some(Entry {
        manager: entry.str_at("manager").into(),
        operation,
        api_version: entry.str_at("apiVersion").into(),
        subresource: entry.str_at("subresource").into(),
        time: entry.str_at("time").into(),
        fields: FieldSet::parse(text).ok()?,
        text: Some(text.into()),
    })
}

/// Whether the caller asked to forget all ownership: a single empty entry.
fn is_reset(object: &Object) -> bool {
    let entries = object.body.items_at("metadata.managedFields");
    matches!(entries, [Node::Struct(entry)] if entry.is_empty())
}

/// Writes the entries in upstream's order: appliers first, then by time, manager, version and subresource.
fn write(object: &mut Object, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by(|a, b| {
        let key = |entry: &Entry| (entry.operation, entry.time.clone(), entry.manager.clone());
        let rest = |entry: &Entry| (entry.api_version.clone(), entry.subresource.clone());
        key(a).cmp(&key(b)).then_with(|| rest(a).cmp(&rest(b)))
    });
    if entries.is_empty() {
        object.body.remove("metadata.managedFields");
        return;
    }
    let entries: Vec<Struct> = entries.into_iter().map(write_entry).collect();
    object.metadata_mut().set("managedFields", entries);
}

fn write_entry(entry: Entry) -> Struct {
    let text = entry.text.unwrap_or_else(|| json::compact(&entry.fields.to_json()));
    let mut node = Struct::new(&types::META_V1_MANAGED_FIELDS_ENTRY);
    node.set("manager", entry.manager);
    node.set("operation", entry.operation.name());
    node.set("apiVersion", entry.api_version);
    if !entry.time.is_empty() {
        node.set("time", entry.time);
    }
    node.set("fieldsType", "FieldsV1");
    node.set("fieldsV1", Node::Raw(text));
    if !entry.subresource.is_empty() {
        node.set("subresource", entry.subresource);
    }
    node
}

/// Takes out of a set what nobody owns and what the endpoint ignores.
fn strip(set: &mut FieldSet, ignored: &[&str]) {
    set.remove_member("metadata");
    for name in UNOWNED_METADATA {
        set.remove_tree(&format!("metadata.{name}"));
    }
    for path in ignored {
        set.remove_tree(path);
    }
}

#[cfg(test)]
mod tests;
