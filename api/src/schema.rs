//! What is known of every type the API server serves: JSON names, kinds, protobuf tags, presence rules, list and map
//! topology, patch strategy and defaults.
//!
//! The tables are compiled from `api/schema/*.tsv` and are plain `static` data: looking a type or a field up neither
//! allocates nor locks. The kind and apiVersion of an object are not fields here; they stay in the envelope
//! ([`Object`](crate::Object)). Validation and code-made defaults are not here either: they belong to the kinds.

use std::fmt;

use crate::structural::Property;

/// The generated tables, one `static` per type, named after package and type: `CORE_V1_POD_SPEC`.
pub mod types {
    use super::{FieldDef, FieldKind, PatchStrategy, Topology, TypeDef, Wire};

    include!(concat!(env!("OUT_DIR"), "/types.rs"));
}

/// A type of the tables. Types are compared by address.
pub type Type = &'static TypeDef;

/// One struct type with its fields in upstream's declaration order, which is also the order on output.
pub struct TypeDef {
    /// Name within the package, as in `PodSpec`.
    pub name: &'static str,
    /// Package, as in `core/v1`.
    pub package: &'static str,
    /// Whether the type carries `kind` and `apiVersion`.
    pub object: bool,
    /// Whether field ownership treats the whole struct as one value.
    pub atomic: bool,
    /// Whether a quantity can stand somewhere below.
    pub quantities: bool,
    /// All fields; those of inlined structs stand where the inlined struct stood.
    pub fields: &'static [FieldDef],
    /// Indexes of `fields` by name.
    pub by_name: &'static [u16],
    /// What stands on the protobuf wire, by tag.
    pub wire: &'static [Wire],
}

/// One field.
pub struct FieldDef {
    /// JSON name.
    pub name: &'static str,
    /// What the field holds.
    pub kind: FieldKind,
    /// Whether absence differs from the zero value.
    pub pointer: bool,
    /// Whether the zero value is left out of JSON.
    pub omit_empty: bool,
    /// Whether a zero struct is left out of JSON.
    pub omit_zero: bool,
    /// How ownership and server-side apply see the list, map or struct.
    pub topology: Topology,
    /// How a strategic merge patch treats the field.
    pub patch: PatchStrategy,
    /// Default as JSON text, empty if there is none.
    pub default: &'static str,
    /// The values that text, or each text of a list, may have; empty where any may stand.
    pub values: &'static [&'static str],
}

/// What a field, list element or map value holds.
#[derive(Clone, Copy)]
pub enum FieldKind {
    /// Text.
    String,
    /// Truth value.
    Bool,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// 64-bit float.
    Float,
    /// Bytes, base64 text in JSON.
    Bytes,
    /// Time in seconds.
    Time,
    /// Time in microseconds.
    MicroTime,
    /// Go duration such as `1m30s`.
    Duration,
    /// Resource quantity such as `100m`.
    Quantity,
    /// A port or percentage.
    IntOrString,
    /// Free-form JSON.
    Raw,
    /// Field ownership, free-form JSON.
    FieldsV1,
    /// A struct.
    Struct(Type),
    /// A list.
    List(&'static FieldKind),
    /// A map by text.
    Map(&'static FieldKind),
    /// A struct or a truth value: how OpenAPI says what further properties an object may have.
    OrBool(Type),
    /// A struct or a list of them: how OpenAPI describes the elements of a list.
    OrList(Type),
    /// Whatever a schema allows that is known only at run time: a property of a custom resource. Such values are
    /// plain JSON (maps, lists, scalars) and tell for themselves what they are.
    Open(&'static Property),
}

/// How field ownership looks at a composite value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topology {
    /// Upstream's default: lists are atomic, structs and maps are granular.
    Natural,
    /// One value, owned as a whole.
    Atomic,
    /// A list of distinct scalars.
    Set,
    /// A list of structs told apart by these fields.
    Keyed(&'static [&'static str]),
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PatchStrategy {
    /// Lists are merged element by element.
    pub merge: bool,
    /// The patch names all keys that stay.
    pub retain_keys: bool,
    /// The patch replaces the value.
    pub replace: bool,
    /// What tells list elements apart; empty for scalars.
    pub merge_key: &'static str,
}

/// One entry of a message on the protobuf wire.
pub enum Wire {
    /// A plain field.
    Field {
        /// Protobuf tag.
        tag: u32,
        /// Index in [`TypeDef::fields`].
        index: u16,
    },
    /// An inlined struct: a message on the wire, plain fields in JSON.
    Inline {
        /// Protobuf tag.
        tag: u32,
        /// Index of its first field in [`TypeDef::fields`].
        first: u16,
        /// The inlined type.
        ty: Type,
    },
}

impl Wire {
    /// The entry's protobuf tag.
    pub fn tag(&self) -> u32 {
        match self {
            Self::Field { tag, .. } | Self::Inline { tag, .. } => *tag,
        }
    }
}

impl TypeDef {
    /// The index and definition of the field with this JSON name.
    pub fn field(&self, name: &str) -> Option<(u16, &'static FieldDef)> {
        self.field_near(name, 0)
    }

    /// As [`field`](Self::field), trying `hint` first: readers meet fields in about the declared order.
    pub fn field_near(&self, name: &str, hint: u16) -> Option<(u16, &'static FieldDef)> {
        if let Some(field) = self.fields.get(usize::from(hint))
            && field.name == name
        {
            return Some((hint, field));
        }
        let position = self.by_name.binary_search_by(|index| self.fields[usize::from(*index)].name.cmp(name)).ok()?;
        let index = self.by_name[position];
        Some((index, &self.fields[usize::from(index)]))
    }

    /// The index of the field that holds what no other field is for. Only custom resources have one.
    pub fn rest(&self) -> Option<u16> {
        let last = self.fields.len().checked_sub(1)?;
        if self.fields[last].is_rest() { u16::try_from(last).ok() } else { None }
    }

    /// The type's name as Go prints it: `v1.PodSpec`.
    pub fn go_name(&self) -> String {
        let version = self.package.rsplit('/').next().unwrap_or(self.package);
        format!("{version}.{}", self.name)
    }
}

impl PartialEq for TypeDef {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for TypeDef {}

impl fmt::Debug for TypeDef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.package, self.name)
    }
}

impl FieldDef {
    /// Whether this is no field of its own, but the place for those that the type does not name.
    pub fn is_rest(&self) -> bool {
        self.name.is_empty()
    }

    /// Whether ownership sees the field as one value, never descending into it.
    pub fn is_atomic(&self) -> bool {
        match (&self.topology, &self.kind) {
            (_, FieldKind::OrBool(_) | FieldKind::OrList(_)) => true,
            (Topology::Atomic, _) | (Topology::Natural, FieldKind::List(_)) => true,
            (_, FieldKind::Struct(ty)) => ty.atomic,
            _ => false,
        }
    }
}

impl FieldKind {
    /// The kind as Go prints its type, for error messages.
    pub fn go_name(&self) -> String {
        match self {
            Self::String => "string".into(),
            Self::Bool => "bool".into(),
            Self::Int32 => "int32".into(),
            Self::Int64 => "int64".into(),
            Self::Float => "float64".into(),
            Self::Bytes => "[]uint8".into(),
            Self::Time => "v1.Time".into(),
            Self::MicroTime => "v1.MicroTime".into(),
            Self::Duration => "v1.Duration".into(),
            Self::Quantity => "resource.Quantity".into(),
            Self::IntOrString => "intstr.IntOrString".into(),
            Self::Raw => "runtime.RawExtension".into(),
            Self::FieldsV1 => "v1.FieldsV1".into(),
            Self::Struct(ty) => ty.go_name(),
            Self::List(element) => format!("[]{}", element.go_name()),
            Self::Map(value) => format!("map[string]{}", value.go_name()),
            Self::OrBool(ty) => format!("{}OrBool", ty.go_name()),
            Self::OrList(ty) => format!("{}OrArray", ty.go_name()),
            Self::Open(_) => "interface {}".into(),
        }
    }
}

impl fmt::Debug for FieldKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.go_name())
    }
}

/// The type of an object kind, lists included: `("apps", "v1", "DeploymentList")`.
///
/// Types of the meta group (`Status`, `DeleteOptions`, `WatchEvent`, ...) are found under every group and version, as
/// upstream registers them.
pub fn object_type(group: &str, version: &str, kind: &str) -> Option<Type> {
    let find = |group: &str, version: &str| {
        let wanted = (group, version, kind);
        let found = types::OBJECTS.binary_search_by(|row| (row.0, row.1, row.2).cmp(&wanted)).ok()?;
        Some(types::OBJECTS[found].3)
    };
    find(group, version).or_else(|| find("meta.k8s.io", "v1"))
}

/// The type with this full name, as in `core/v1.PodSpec`.
pub fn type_named(name: &str) -> Option<Type> {
    let found = types::NAMED.binary_search_by(|row| row.0.cmp(name)).ok()?;
    Some(types::NAMED[found].1)
}

/// All types with their full names, sorted by name.
pub fn all_types() -> &'static [(&'static str, Type)] {
    types::NAMED
}

/// Splits `apps/v1` into group and version; the core group is empty.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name() {
        for (name, ty) in all_types() {
            for (index, field) in ty.fields.iter().enumerate() {
                let found = ty.field(field.name).unwrap_or_else(|| panic!("{name}.{}", field.name));
                assert_eq!(usize::from(found.0), index, "{name}.{}: two fields share a name", field.name);
            }
            assert!(ty.field("noSuchField").is_none());
        }
    }

    #[test]
    fn objects_are_found_by_group_version_and_kind() {
        let table = [
            ("", "v1", "Pod", "core/v1.Pod"),
            ("", "v1", "PodList", "core/v1.PodList"),
            ("apps", "v1", "Deployment", "apps/v1.Deployment"),
            ("rbac.authorization.k8s.io", "v1", "ClusterRoleBindingList", "rbac/v1.ClusterRoleBindingList"),
            ("policy", "v1", "Eviction", "policy/v1.Eviction"),
            ("apps", "v1", "DeleteOptions", "meta/v1.DeleteOptions"),
            ("", "v1", "Status", "meta/v1.Status"),
            ("meta.k8s.io", "v1", "Table", "meta/v1.Table"),
        ];
        for (group, version, kind, name) in table {
            assert_eq!(object_type(group, version, kind), type_named(name), "{group}/{version} {kind}");
        }
        assert!(object_type("", "v1", "Nothing").is_none());
    }

    #[test]
    fn facts_of_the_tables_reach_the_fields() {
        let container = type_named("core/v1.Container").unwrap();
        let (_, ports) = container.field("ports").unwrap();
        assert_eq!(ports.topology, Topology::Keyed(&["containerPort", "protocol"]));
        assert_eq!(ports.patch.merge_key, "containerPort");
        let volumes = type_named("core/v1.PodSpec").unwrap().field("volumes").unwrap().1;
        assert!(volumes.patch.merge && volumes.patch.retain_keys);
        let volume = type_named("core/v1.Volume").unwrap();
        assert!(volume.field("configMap").is_some(), "inlined fields are plain fields");
        assert!(container.quantities && type_named("core/v1.Pod").unwrap().quantities);
        assert!(!type_named("core/v1.ConfigMap").unwrap().quantities);
    }
}
