//! What a kind is: names, scope, verbs, columns, selectable fields and the hooks that make it more than a shape.
//!
//! One [`Kind`] per file under `core/v1`, `apps/v1`, ...; all of them stand in [`KINDS`], sorted. The verbs of the API
//! server never look at a kind's name: they call the methods here, which do what is common to all kinds and then what
//! the kind's own hook adds. Order on a write: decode, [`Kind::default`], admission, `prepare_*`, `validate*`.

use jiff::Timestamp;

use crate::Struct;
use crate::custom::Custom;
use crate::meta;
use crate::names;
use crate::object::Object;
use crate::quantity;
use crate::schema::{self, Type, types};
use crate::table::{Column, Row, age_column, name_column};
use crate::validation::Errors;

mod fields;
mod groups;

pub use crate::kinds::KINDS;
pub use fields::{FieldFilter, SelectableField, field_paths};
pub use groups::groups;

/// Whether objects live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every object is in a namespace.
    Namespaced,
    /// No object is.
    Cluster,
}

/// What makes `metadata.generation` grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The kind has no generation.
    Untracked,
    /// It stays 1: what counts of the object never changes.
    Constant,
    /// A change of `spec`.
    Spec,
    /// A change of `spec` or of annotations, which a Deployment hands down to its ReplicaSets.
    SpecOrAnnotations,
    /// A change of anything but metadata, or of labels.
    Content,
    /// A change of anything but metadata and status.
    Body,
    /// A change of anything but metadata, and but the status where that is written apart.
    Custom,
}

/// A subresource, as discovery lists it.
#[derive(Debug)]
pub struct Subresource {
    /// The last segment of its path.
    pub name: &'static str,
    /// The group of its body; with `version` empty if it is the parent's own kind.
    pub group: &'static str,
    /// The version of its body, or empty.
    pub version: &'static str,
    /// The kind of its body.
    pub kind: &'static str,
    /// What can be done with it, sorted.
    pub verbs: &'static [&'static str],
}

impl Subresource {
    /// True for what is no object but a way to something else: `exec`, `attach`, `portforward`, `proxy`.
    pub fn is_connection(&self) -> bool {
        matches!(self.name, "attach" | "exec" | "portforward" | "proxy")
    }
}

/// The verbs of a `proxy` subresource.
pub const PROXY_VERBS: &[&str] = &["create", "delete", "get", "patch", "update"];

/// A subresource that has the form of the object and rules of its own.
#[derive(Debug)]
pub struct Part {
    /// The last segment of its path.
    pub name: &'static str,
    /// Makes a draft the old object with nothing but this part changed.
    pub prepare: fn(&mut Object, &Object),
    /// Finds everything wrong with the change, besides what is wrong with the new object.
    pub check: fn(&Object, &Object, &mut Errors),
}

/// How the `scale` subresource reads and writes a kind.
#[derive(Clone, Copy, Debug)]
pub struct ScaleFields {
    /// The desired count.
    pub replicas: &'static str,
    /// The observed count.
    pub status_replicas: &'static str,
    /// The label selector of the counted objects.
    pub selector: &'static str,
}

/// How bodies of a kind and of the kind as which it is stored become each other. Nothing may be lost on the way there
/// and back: an update that changes nothing must find the same bytes.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    /// Makes the stored body.
    pub to_stored: fn(Struct) -> Struct,
    /// Makes the body of this kind.
    pub from_stored: fn(Struct) -> Struct,
}

/// All verbs of a stored kind.
pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// All verbs but the deletion of many at once.
pub const VERBS_WITHOUT_DELETECOLLECTION: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
/// What can be done with a question that is answered and forgotten.
pub const CREATE_ONLY: &[&str] = &["create"];
/// What can be done with a status or a scale.
pub const READ_AND_CHANGE: &[&str] = &["get", "patch", "update"];

/// The rules by which names are checked: what is wrong with a name, nothing if it is good.
pub type NameRule = fn(&str) -> Vec<String>;

/// Everything the API server knows about a kind.
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// Resource name in URLs.
    pub plural: &'static str,
    /// Resource name of one.
    pub singular: &'static str,
    /// Name of the kind.
    pub kind: &'static str,
    /// What kubectl also calls it.
    pub short_names: &'static [&'static str],
    /// Groups of kinds such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub scope: Scope,
    /// What can be done with objects, sorted.
    pub verbs: &'static [&'static str],
    /// Subresources, sorted by name.
    pub subresources: &'static [Subresource],
    /// Subresources among them that have the form of the object, status aside.
    pub parts: &'static [Part],
    /// The shape of the body.
    pub ty: Type,
    /// Whether objects are stored; otherwise a create is answered and forgotten, and what can be read is made up then.
    pub stored: bool,
    /// The kind as which objects are stored, if it is another one.
    pub stored_as: Option<&'static Self>,
    /// How the two become each other; without it they have the same shape, and only the envelope differs.
    pub conversion: Option<Conversion>,
    /// Fields for field selectors, besides `metadata.name` and `metadata.namespace`.
    pub selectable: &'static [SelectableField],
    /// Their paths in the stored object, in the same order: what its header holds.
    pub field_paths: &'static [&'static str],
    /// Columns of the Table form.
    pub columns: &'static [Column],
    /// One row of the Table form; as many cells as there are columns.
    pub row: fn(&Object, Timestamp) -> Row,
    /// What `metadata.name` must look like.
    pub name_rule: NameRule,
    /// What makes the generation grow.
    pub generation: Generation,
    /// Whether a PUT to an absent name creates.
    pub create_on_update: bool,
    /// Whether a PUT without resourceVersion is allowed.
    pub unconditional_update: bool,
    /// Seconds after the last write at which an object disappears by itself.
    pub lifetime_seconds: Option<u32>,
    /// The scale subresource, if there is one.
    pub scale: Option<ScaleFields>,
    /// Whether a deletion answers with the deleted object rather than with a Status.
    pub returns_deleted: bool,
    /// Whether the children of a deleted object stay, unless the client says otherwise.
    pub orphan_by_default: bool,
    /// Why the kind should no longer be used; empty if it may. Sent as a Warning with every answer.
    pub deprecation: &'static str,
    /// Whether it is served although nobody asked for it by `--runtime-config`.
    pub served_by_default: bool,
    /// Fills in what the API promises for absent fields.
    pub defaults: fn(&mut Struct),
    /// Whether a new object keeps the status it comes with, although the status is written apart later.
    pub created_with_status: bool,
    /// Clears or sets what only the server may set on a new object.
    pub on_create: fn(&mut Object),
    /// Keeps what an update of the main resource may not touch.
    pub on_update: fn(&mut Object, &Object),
    /// Keeps what an update of the status may not touch.
    pub on_status_update: fn(&mut Object, &Object),
    /// Finds everything wrong with an object.
    pub check: fn(&Object, &mut Errors),
    /// Finds what is wrong with a new object only, besides `check`.
    pub check_create: fn(&Object, &mut Errors),
    /// Finds everything wrong with a change, besides `check` of the new object.
    pub check_update: fn(&Object, &Object, &mut Errors),
    /// Finds everything wrong with a change of the status.
    pub check_status_update: fn(&Object, &Object, &mut Errors),
    /// Seconds between a deletion and the end of the object, given the wish of the client; 0 is at once.
    pub grace: fn(&Object, Option<i64>) -> i64,
    /// Why the object of this name may not be deleted by name; nothing if it may.
    pub undeletable: fn(&str) -> Option<&'static str>,
    /// Marks an object whose deletion begins.
    pub on_delete: fn(&mut Object),
    /// Whether something other than metadata.finalizers still holds an object whose deletion has begun.
    pub held: fn(&Object) -> bool,
    /// What to tell the client of an object that is accepted.
    pub warnings: fn(&Object) -> Vec<String>,
    /// What a kind has that was defined at run time: a schema in place of the hooks.
    pub custom: Option<&'static Custom>,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} {}", self.group, self.version, self.kind)
    }
}

const NAME_AND_AGE: &[Column] = &[name_column(), age_column()];

fn name_and_age(object: &Object, now: Timestamp) -> Row {
    Row::of([object.name().into(), Row::age(object, now)])
}

impl Kind {
    /// A stored, namespaced kind without any rule of its own; every kind's file overrides what it has.
    pub const BASE: Self = Self {
        group: "",
        version: "v1",
        plural: "",
        singular: "",
        kind: "",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[],
        parts: &[],
        ty: &types::META_V1_STATUS,
        stored: true,
        stored_as: None,
        conversion: None,
        selectable: &[],
        field_paths: &[],
        columns: NAME_AND_AGE,
        row: name_and_age,
        name_rule: names::dns1123_subdomain,
        generation: Generation::Untracked,
        create_on_update: false,
        unconditional_update: true,
        lifetime_seconds: None,
        scale: None,
        returns_deleted: false,
        orphan_by_default: false,
        deprecation: "",
        served_by_default: true,
        defaults: |_| {},
        created_with_status: false,
        on_create: |_| {},
        on_update: |_, _| {},
        on_status_update: |_, _| {},
        check: |_, _| {},
        check_create: |_, _| {},
        check_update: |_, _, _| {},
        check_status_update: |_, _, _| {},
        grace: |_, _| 0,
        undeletable: |_| None,
        on_delete: |_| {},
        held: |_| false,
        warnings: |_| Vec::new(),
        custom: None,
    };

    /// A question that is answered and forgotten; override names, type and rules.
    pub const QUESTION: Self =
        Self { scope: Scope::Cluster, verbs: CREATE_ONLY, stored: false, name_rule: |_| Vec::new(), ..Self::BASE };

    /// An older name of a kind, with its shape and its rules, so that old manifests apply. It has neither short names nor
    /// categories: a command that names no group means the present one.
    pub const fn view(
        present: &'static Self,
        group: &'static str,
        version: &'static str,
        deprecation: &'static str,
    ) -> Self {
        let stored_as = Some(present);
        Self { group, version, stored_as, deprecation, short_names: &[], categories: &[], ..*present }
    }

    /// The beta of a kind that is stable by now: a view in the same group, which is not served unless it is switched on.
    pub const fn preview(present: &'static Self, version: &'static str, deprecation: &'static str) -> Self {
        Self { served_by_default: false, ..Self::view(present, present.group, version, deprecation) }
    }

    /// `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The kind as which objects are stored: this one, or the one it is a view of.
    pub fn storage(&'static self) -> &'static Self {
        self.stored_as.unwrap_or(self)
    }

    /// The kind under whose name the schema has the shape: this one, unless it is a mere view.
    pub fn shape(&self) -> &Self {
        if self.conversion.is_some() { self } else { self.stored_as.unwrap_or(self) }
    }

    /// An object of this kind as it is stored.
    pub fn to_stored(&'static self, mut object: Object) -> Object {
        if let Some(conversion) = &self.conversion {
            object.body = (conversion.to_stored)(object.body);
        }
        self.storage().named(object)
    }

    /// A stored object as it is served.
    pub fn from_stored(&self, mut object: Object) -> Object {
        if let Some(conversion) = &self.conversion {
            object.body = (conversion.from_stored)(object.body);
        }
        self.named(object)
    }

    fn named(&self, mut object: Object) -> Object {
        object.api_version = self.api_version().into();
        object.kind = self.kind.into();
        object
    }

    /// The shape of a list of objects, if there are lists.
    pub fn list_type(&self) -> Option<Type> {
        let kind = self.shape();
        schema::object_type(kind.group, kind.version, &kind.list_kind()).filter(|_| kind.verbs.contains(&"list"))
    }

    /// The kind of a list of objects.
    pub fn list_kind(&self) -> String {
        self.custom.map_or_else(|| format!("{}List", self.kind), |custom| custom.list_kind().to_owned())
    }

    /// Whether what is served is what is stored, byte for byte but for the resourceVersion.
    pub const fn served_as_stored(&self) -> bool {
        self.stored_as.is_none() && self.custom.is_none()
    }

    /// Whether objects live in namespaces.
    pub const fn is_namespaced(&self) -> bool {
        matches!(self.scope, Scope::Namespaced)
    }

    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<&'static Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// Whether the status is written through its own subresource.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// Whether a field selector may name the field.
    pub fn is_selectable(&self, label: &str) -> bool {
        label == "metadata.name"
            || label == "metadata.namespace" && self.is_namespaced()
            || self.selectable.iter().any(|field| field.label == label)
    }

    /// The group, printed with the plural.
    pub const fn resource(&self) -> crate::status::Grouped<'static> {
        crate::status::Grouped::new(self.group, self.plural)
    }

    /// The group, printed with the kind.
    pub const fn grouped_kind(&self) -> crate::status::Grouped<'static> {
        crate::status::Grouped::new(self.group, self.kind)
    }

    /// Fields that a write to `subresource` (empty: the object itself) resets, and so cannot own.
    pub fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        match subresource {
            "" if self.has_status() => &["status"],
            "status" | "approval" => &["spec"],
            _ => &[],
        }
    }

    /// Brings quantities into canonical form and fills in what the API promises for absent fields.
    pub fn default(&self, object: &mut Object) {
        self.canonical_quantities(object);
        (self.defaults)(&mut object.body);
        if let Some(custom) = self.custom {
            custom.default(&mut object.body);
        }
    }

    /// A quantity that cannot be read stays as it is; [`Kind::validate`] or the decoder reports it.
    fn canonical_quantities(&self, object: &mut Object) {
        if self.ty.quantities {
            object.body.for_each_quantity(&mut |text| {
                if let Ok(canonical) = quantity::canonical(text)
                    && canonical != **text
                {
                    *text = canonical.into();
                }
            });
        }
    }

    /// Clears the status and starts the generation.
    pub fn prepare_for_create(&self, object: &mut Object) {
        if self.has_status() && !self.created_with_status {
            object.body.remove("status");
        }
        match self.generation {
            Generation::Untracked => drop(object.metadata_mut().remove("generation")),
            _ => object.metadata_mut().set("generation", 1_i64),
        }
        (self.on_create)(object);
    }

    /// Keeps the status of `old` and lets the generation grow if the change calls for it.
    pub fn prepare_for_update(&self, new: &mut Object, old: &Object) {
        if self.has_status() {
            copy_field(&mut new.body, &old.body, "status");
        }
        (self.on_update)(new, old);
        meta::copy(new, old, "generation");
        if self.generation_grows(new, old) {
            new.metadata_mut().set("generation", old.generation() + 1);
        }
    }

    /// Keeps everything of `old` but status, labels, annotations, finalizers and ownership.
    pub fn prepare_for_status_update(&self, new: &mut Object, old: &Object) {
        for field in self.ty.fields {
            if !matches!(field.name, "status" | "metadata") {
                copy_field(&mut new.body, &old.body, field.name);
            }
        }
        meta::copy(new, old, "generation");
        meta::copy(new, old, "ownerReferences");
        (self.on_status_update)(new, old);
    }

    /// Keeps everything of `old` but a part.
    pub fn prepare_for_part_update(&self, part: &str, new: &mut Object, old: &Object) {
        let Some(part) = self.part(part) else { return };
        (part.prepare)(new, old);
        meta::copy(new, old, "generation");
        if self.generation_grows(new, old) {
            new.metadata_mut().set("generation", old.generation() + 1);
        }
    }

    fn generation_grows(&self, new: &Object, old: &Object) -> bool {
        match self.generation {
            Generation::Untracked | Generation::Constant => false,
            Generation::Spec => new.at("spec") != old.at("spec"),
            Generation::SpecOrAnnotations => {
                new.at("spec") != old.at("spec") || new.at("metadata.annotations") != old.at("metadata.annotations")
            }
            Generation::Custom => {
                let apart = |name: &str| name == "metadata" || name == "status" && self.has_status();
                let mut fields = self.ty.fields.iter().enumerate().filter(|(_, field)| !apart(field.name));
                fields.any(|(index, _)| {
                    let index = u16::try_from(index).unwrap_or(u16::MAX);
                    new.body.by_index(index) != old.body.by_index(index)
                })
            }
            Generation::Content => {
                let fields = self.ty.fields.iter().filter(|field| field.name != "metadata");
                new.labels() != old.labels()
                    || fields.into_iter().any(|field| new.body.get(field.name) != old.body.get(field.name))
            }
            Generation::Body => {
                let mut fields = self.ty.fields.iter().filter(|field| !matches!(field.name, "metadata" | "status"));
                fields.any(|field| new.body.get(field.name) != old.body.get(field.name))
            }
        }
    }

    /// Everything wrong with a new object.
    pub fn validate(&self, object: &Object) -> Errors {
        let mut errors = Errors::new();
        if self.stored {
            meta::check(self, object, &mut errors);
        }
        (self.check)(object, &mut errors);
        (self.check_create)(object, &mut errors);
        if let Some(custom) = self.custom {
            custom.check(object, None, &mut errors);
        }
        errors
    }

    /// Everything wrong with an update.
    pub fn validate_update(&self, new: &Object, old: &Object) -> Errors {
        let mut errors = Errors::new();
        meta::check_update(self, new, old, &mut errors);
        (self.check)(new, &mut errors);
        (self.check_update)(new, old, &mut errors);
        if let Some(custom) = self.custom {
            custom.check(new, Some(old), &mut errors);
        }
        errors
    }

    /// Everything wrong with an update of the status.
    pub fn validate_status_update(&self, new: &Object, old: &Object) -> Errors {
        let mut errors = Errors::new();
        meta::check_update(self, new, old, &mut errors);
        (self.check_status_update)(new, old, &mut errors);
        if let Some(custom) = self.custom {
            custom.check(new, Some(old), &mut errors);
        }
        errors
    }

    /// Everything wrong with an update of a part.
    pub fn validate_part_update(&self, part: &str, new: &Object, old: &Object) -> Errors {
        let mut errors = Errors::new();
        meta::check_update(self, new, old, &mut errors);
        (self.check)(new, &mut errors);
        if let Some(part) = self.part(part) {
            (part.check)(new, old, &mut errors);
        }
        errors
    }

    /// Seconds between the deletion of `object` and its end.
    pub fn grace_seconds(&self, object: &Object, requested: Option<i64>) -> i64 {
        (self.grace)(object, requested)
    }

    /// The Table row of an object.
    pub fn table_row(&self, object: &Object, now: Timestamp) -> Row {
        let row = self.custom.map_or_else(|| (self.row)(object, now), |custom| custom.row(object, now));
        debug_assert_eq!(row.cells.len(), self.columns.len(), "{self:?}: one cell for each column");
        row
    }
}

/// Makes `name` in `new` what it is in `old`.
pub(crate) fn copy_field(new: &mut Struct, old: &Struct, name: &str) {
    // By index: the fields of custom resources may have dots in their names.
    let Some((index, _)) = new.ty().field(name) else { return };
    match old.get(name) {
        Some(node) => new.put(index, node.clone()),
        None => drop(new.take(index)),
    }
}

/// The kind served under this group, version and plural.
pub fn lookup(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    let found = KINDS.binary_search_by(|kind| (kind.group, kind.version, kind.plural).cmp(&(group, version, plural)));
    found.ok().map(|index| KINDS[index])
}

/// The kind with this group, version and name.
pub fn lookup_kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|known| known.group == group && known.version == version && known.kind == kind).copied()
}

/// The kinds of one group and version, sorted by plural.
pub fn in_version(group: &str, version: &str) -> &'static [&'static Kind] {
    let start = KINDS.partition_point(|kind| (kind.group, kind.version) < (group, version));
    let end = KINDS.partition_point(|kind| (kind.group, kind.version) <= (group, version));
    &KINDS[start..end]
}
