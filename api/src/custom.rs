//! Kinds that users define: a CustomResourceDefinition as [`Kind`]s, one for each version.
//!
//! Types and kinds of the tables are `'static`, and stay so for kinds made at run time: no object, path or handler has
//! to count references. So what is made here is never given back, and it is kept small and made once: a [`Compiler`]
//! remembers every kind by all that went into it, and a definition that comes again, or changes only in its schema,
//! makes nothing new. Schemas, which are large and change often, are no part of a kind. They stand in a
//! [`Slot`](crate::structural::Slot) and are replaced there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::json_path::JsonPath;
use crate::kind::{ALL_VERBS, Generation, Kind, READ_AND_CHANGE, ScaleFields, Scope, SelectableField, Subresource};
use crate::meta;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::{FieldDef, FieldKind, PatchStrategy, Topology, Type, TypeDef, types};
use crate::structural::{Property, Slot, Structural, default, validate, validate_root};
use crate::table::{Cell, Column, Row, age_column, name_column};
use crate::time;
use crate::validation::{Errors, Path};

mod definition;

pub use definition::{Definition, Version};

/// What is left to do with the objects of a definition that is being deleted: anything but making new ones.
const VERBS_WHILE_DELETED: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// What a kind has that was defined at run time.
#[derive(Debug)]
pub struct Custom {
    slot: &'static Slot,
    list_kind: &'static str,
    cells: Box<[Source]>,
}

/// Where the value of a cell is.
#[derive(Debug)]
struct Source {
    path: Option<JsonPath>,
    ty: &'static str,
}

/// Makes kinds of definitions.
#[derive(Default)]
pub struct Compiler {
    texts: BTreeSet<&'static str>,
    slots: BTreeMap<(String, String, String), &'static Slot>,
    kinds: BTreeMap<String, &'static Kind>,
}

impl Custom {
    /// The name of the kind of a list.
    pub fn list_kind(&self) -> &'static str {
        self.list_kind
    }

    /// Where the schema stands.
    pub fn slot(&self) -> &'static Slot {
        self.slot
    }

    pub(crate) fn default(&self, body: &mut Struct) {
        let schema = self.slot.load();
        for name in schema.property_names() {
            let Some(property) = schema.property(name) else { continue };
            let own = body.ty().field(name).filter(|(_, field)| matches!(field.kind, FieldKind::Open(_)));
            let Some((index, _)) = own else { continue };
            if let Some(value) = &property.default
                && body.get(name).is_none_or(|present| *present == Node::Null && !property.nullable)
            {
                body.put(index, value.clone());
            }
            if let Some(value) = body.get_mut(name) {
                default(property, value);
            }
        }
    }

    pub(crate) fn check(&self, new: &Object, old: Option<&Object>, errors: &mut Errors) {
        let schema = self.slot.load();
        if let Some(metadata) = schema.property("metadata") {
            let path = Path::Root.field("metadata");
            for name in ["name", "generateName"] {
                let value = new.metadata().and_then(|metadata| metadata.get(name));
                if let (Some(schema), Some(value)) = (metadata.property(name), value) {
                    validate(schema, value, None, &path.field(name), errors);
                }
            }
        }
        let members: Vec<(&str, &Node)> = members(&new.body).collect();
        validate_root(&schema, &members, &|name| old?.body.member(name), errors);
    }

    pub(crate) fn row(&self, object: &Object, now: Timestamp) -> Row {
        let cells = self.cells.iter().map(|source| source.cell(object, now));
        Row { cells: std::iter::once(object.name().into()).chain(cells).collect(), conditions: vec![] }
    }
}

/// The members of a custom resource but its metadata.
fn members(body: &Struct) -> impl Iterator<Item = (&str, &Node)> {
    let named = body.iter().filter(|(field, _)| field.name != "metadata" && !field.is_rest());
    let rest = body.iter().filter(|(field, _)| field.is_rest()).filter_map(|(_, node)| node.as_map());
    named.map(|(field, node)| (field.name, node)).chain(rest.flat_map(|map| map.iter()))
}

impl Source {
    fn cell(&self, object: &Object, now: Timestamp) -> Cell {
        let Some(value) = self.path.as_ref().and_then(|path| path.first(object)) else { return Cell::Null };
        match (self.ty, &*value) {
            (_, Node::Null) => Cell::Null,
            ("integer", Node::Int(number)) => Cell::Int(*number),
            #[allow(clippy::cast_possible_truncation, reason = "an integer column shows the integer part")]
            ("integer", Node::Float(number)) => Cell::Int(*number as i64),
            ("number", Node::Int(number)) => Cell::Int(*number),
            ("number", Node::Float(number)) => Cell::Number(*number),
            ("boolean", Node::Bool(value)) => Cell::Bool(*value),
            ("date", Node::Str(text)) => Cell::Str(time::age(Some(text), now)),
            ("string", Node::Str(text)) => Cell::Str(text.to_string()),
            ("string", other) => Cell::Str(meta::shown(Some(other)).to_string()),
            _ => Cell::Null,
        }
    }
}

impl Compiler {
    /// The kinds of a definition: one for each version that is served, under the names that were accepted. The schemas
    /// in their slots are those of the definition from now on.
    pub fn kinds(&mut self, definition: &Definition<'_>) -> Vec<&'static Kind> {
        let Some(storage) = definition.versions().find(Version::is_storage) else { return vec![] };
        let stored = self.kind(definition, &storage, None);
        // Objects that nobody can reach have to go with their definition, too.
        let wanted = |version: &Version<'_>| version.is_served() || definition.is_deleting() && version.is_storage();
        let served = definition.versions().filter(wanted);
        served
            .map(|version| match version.name() == storage.name() {
                true => stored,
                false => self.kind(definition, &version, Some(stored)),
            })
            .collect()
    }

    /// Forgets the schemas of a definition that is gone.
    pub fn forget(&mut self, definition: &Definition<'_>) {
        for version in definition.versions() {
            self.slot(definition, &version).store(Structural::default());
        }
    }

    fn slot(&mut self, definition: &Definition<'_>, version: &Version<'_>) -> &'static Slot {
        let key = (definition.group().to_owned(), version.name().to_owned(), definition.plural().to_owned());
        self.slots.entry(key).or_insert_with(|| Box::leak(Box::default()))
    }

    fn text(&mut self, text: &str) -> &'static str {
        if let Some(known) = self.texts.get(text) {
            return known;
        }
        let text: &'static str = String::leak(text.to_owned());
        self.texts.insert(text);
        text
    }

    fn list(&mut self, texts: &[&str]) -> &'static [&'static str] {
        Vec::leak(texts.iter().map(|text| self.text(text)).collect())
    }

    fn kind(
        &mut self,
        definition: &Definition<'_>,
        version: &Version<'_>,
        stored_as: Option<&'static Kind>,
    ) -> &'static Kind {
        let slot = self.slot(definition, version);
        let schema = Structural::parse(&version.schema());
        let fields = root_fields(&schema, version);
        slot.store(schema);
        let key = format!("{}{fields:?}{stored_as:p}", definition.shape(version), stored_as = option(stored_as));
        if let Some(known) = self.kinds.get(&key) {
            return known;
        }
        let kind = self.make(definition, version, stored_as, slot, &fields);
        self.kinds.insert(key, kind);
        kind
    }

    fn make(
        &mut self,
        definition: &Definition<'_>,
        version: &Version<'_>,
        stored_as: Option<&'static Kind>,
        slot: &'static Slot,
        fields: &[String],
    ) -> &'static Kind {
        let names = definition.names();
        let kind = self.text(names.kind);
        let (columns, cells) = self.columns(version);
        let selectable: Vec<SelectableField> =
            version.selectable().map(|path| SelectableField::text(self.text(path))).collect();
        let field_paths = Vec::leak(selectable.iter().map(|field| field.path).collect());
        let custom = Custom { slot, list_kind: self.text(names.list_kind), cells };
        Box::leak(Box::new(Kind {
            group: self.text(definition.group()),
            version: self.text(version.name()),
            plural: self.text(definition.plural()),
            singular: self.text(names.singular),
            kind,
            short_names: self.list(&names.short_names),
            categories: self.list(&names.categories),
            scope: if definition.is_namespaced() { Scope::Namespaced } else { Scope::Cluster },
            verbs: if definition.is_deleting() { VERBS_WHILE_DELETED } else { ALL_VERBS },
            subresources: self.subresources(version, kind),
            ty: self.ty(kind, slot, fields),
            stored_as,
            selectable: Vec::leak(selectable),
            field_paths,
            columns,
            generation: Generation::Custom,
            unconditional_update: false,
            scale: self.scale(version),
            deprecation: self.text(&definition.deprecation(version)),
            on_status_update: keep_metadata,
            custom: Some(Box::leak(Box::new(custom))),
            ..Kind::BASE
        }))
    }

    /// Metadata, then every property of the schema, then the place for what is kept without a name.
    fn ty(&mut self, kind: &'static str, slot: &'static Slot, names: &[String]) -> Type {
        let metadata = FieldKind::Struct(&types::META_V1_OBJECT_META);
        let mut fields = vec![FieldDef { name: "metadata", kind: metadata, pointer: false, ..OPEN }];
        for name in names {
            let name = self.text(name);
            let property: &'static Property = Box::leak(Box::new(Property::new(slot, name)));
            fields.push(FieldDef { name, kind: FieldKind::Open(property), ..OPEN });
        }
        let mut by_name: Vec<u16> = (0..u16::try_from(fields.len()).unwrap_or(u16::MAX)).collect();
        by_name.sort_by_key(|index| fields[usize::from(*index)].name);
        Box::leak(Box::new(TypeDef {
            name: kind,
            package: "custom/v1",
            object: true,
            atomic: false,
            quantities: false,
            fields: Vec::leak(fields),
            by_name: Vec::leak(by_name),
            wire: &[],
        }))
    }

    fn subresources(&mut self, version: &Version<'_>, kind: &'static str) -> &'static [Subresource] {
        let mut subresources = vec![];
        if version.scale().is_some() {
            let (group, version, kind) = ("autoscaling", "v1", "Scale");
            subresources.push(Subresource { name: "scale", group, version, kind, verbs: READ_AND_CHANGE });
        }
        if version.has_status() {
            subresources.push(Subresource { name: "status", group: "", version: "", kind, verbs: READ_AND_CHANGE });
        }
        Vec::leak(subresources)
    }

    fn scale(&mut self, version: &Version<'_>) -> Option<ScaleFields> {
        let [replicas, status_replicas, selector] = version.scale()?;
        Some(ScaleFields {
            replicas: self.text(replicas),
            status_replicas: self.text(status_replicas),
            selector: self.text(selector),
        })
    }

    fn columns(&mut self, version: &Version<'_>) -> (&'static [Column], Box<[Source]>) {
        let (mut columns, mut cells) = (vec![name_column()], vec![]);
        for column in version.columns() {
            let ty = self.text(column.ty);
            columns.push(Column {
                name: self.text(column.name),
                kind: ty,
                format: self.text(column.format),
                description: self.text(column.description),
                priority: column.priority,
            });
            cells.push(Source { path: JsonPath::parse(column.path).ok(), ty });
        }
        if cells.is_empty() {
            columns.push(Column { kind: "date", ..age_column() });
            cells.push(Source { path: JsonPath::parse(".metadata.creationTimestamp").ok(), ty: "date" });
        }
        (Vec::leak(columns), cells.into())
    }
}

/// A field that is there or not, whatever is in it.
const OPEN: FieldDef = FieldDef {
    values: &[],
    name: "",
    kind: FieldKind::Raw,
    pointer: true,
    omit_empty: true,
    omit_zero: false,
    topology: Topology::Natural,
    patch: PatchStrategy { merge: false, retain_keys: false, replace: false, merge_key: "" },
    default: "",
};

fn option<T>(value: Option<&'static T>) -> *const T {
    value.map_or(std::ptr::null(), |value| value)
}

/// The names of the fields at the root. Where unknown ones are kept, the two that have a meaning are there always.
fn root_fields(schema: &Structural, version: &Version<'_>) -> Vec<String> {
    let own = |name: &&str| !matches!(*name, "apiVersion" | "kind" | "metadata");
    let mut names: BTreeSet<&str> = schema.property_names().filter(own).collect();
    let open = schema.preserves_unknown_fields();
    if open {
        names.insert("spec");
        if version.has_status() {
            names.insert("status");
        }
    }
    let rest = open.then(String::new);
    names.into_iter().map(str::to_owned).chain(rest).collect()
}

/// A write to the status leaves the metadata alone.
fn keep_metadata(new: &mut Object, old: &Object) {
    let fields = types::META_V1_OBJECT_META.fields.iter().map(|field| field.name);
    for field in fields.filter(|field| !matches!(*field, "managedFields" | "resourceVersion")) {
        meta::copy(new, old, field);
    }
}

#[cfg(test)]
mod tests;
