//! One definition a type, from the schema tables.

use std::collections::BTreeMap;

use api::kind::Kind;
use api::schema::{self, FieldDef, FieldKind, PatchStrategy, Topology, Type, types};
use serde_json::{Map, Value, json};

use super::descriptions::Description;
use super::{Dialect, KindsOfShapes, custom};
use crate::catalog::Custom;

/// The definitions that a document refers to: those with a type, and those of leaf values.
#[derive(Default)]
pub(super) struct Used {
    types: BTreeMap<String, Type>,
    leaves: BTreeMap<&'static str, Leaf>,
    /// What users defined, each with the name of its definition.
    custom: Vec<(String, Custom)>,
}

/// A value that is no struct but has a definition of its own.
#[derive(Clone, Copy)]
struct Leaf {
    v2: fn() -> Value,
    v3: fn() -> Value,
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const AGGREGATOR: &str = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const DURATION: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Duration";
const FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const RAW: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
/// Any JSON, where a schema gives a value: not only an object.
const JSON: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON";

fn string(format: &str) -> Value {
    if format.is_empty() { json!({ "type": "string" }) } else { json!({ "type": "string", "format": format }) }
}

fn leaf(name: &'static str) -> Leaf {
    let same = |schema: fn() -> Value| Leaf { v2: schema, v3: schema };
    match name {
        TIME | MICRO_TIME => same(|| string("date-time")),
        DURATION => same(|| string("")),
        JSON => same(|| json!({})),
        QUANTITY => Leaf { v2: || string(""), v3: || json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }) },
        INT_OR_STRING => Leaf {
            v2: || string("int-or-string"),
            v3: || json!({ "oneOf": [{ "type": "integer" }, { "type": "string" }], "format": "int-or-string" }),
        },
        _ => same(|| json!({ "type": "object" })),
    }
}

/// The full name of a type's definition: `io.k8s.api.core.v1.Pod`.
fn name_of(ty: Type) -> String {
    match ty.package {
        "meta/v1" => format!("{META}.{}", ty.name),
        "apiextensions/v1" => format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.{}", ty.name),
        "apiregistration/v1" => format!("{AGGREGATOR}.{}", ty.name),
        package => format!("io.k8s.api.{}.{}", package.replace('/', "."), ty.name),
    }
}

impl Used {
    /// Nothing yet of a document that may refer to these.
    pub(super) fn with<'c>(custom: impl Iterator<Item = &'c Custom>) -> Self {
        Self { custom: custom.map(|one| (custom::name(one.kind), one.clone())).collect(), ..Self::default() }
    }

    /// Refers to a list of objects of a kind that users defined.
    pub(super) fn list(&mut self, kind: &Kind, dialect: Dialect) -> Value {
        self.add(name_of(&types::META_V1_LIST_META), &types::META_V1_LIST_META);
        dialect.reference(&custom::list_name(kind))
    }

    /// Refers to a type, which brings everything below it into the document.
    pub(super) fn reference(&mut self, ty: Type, dialect: Dialect) -> Value {
        if let Some((name, _)) = self.custom.iter().find(|(_, one)| one.kind.ty == ty) {
            let reference = dialect.reference(name);
            self.add(name_of(&types::META_V1_OBJECT_META), &types::META_V1_OBJECT_META);
            return reference;
        }
        let name = name_of(ty);
        let reference = dialect.reference(&name);
        self.add(name, ty);
        reference
    }

    /// Refers to the body of a patch, which has no shape.
    pub(super) fn patch(&mut self, dialect: Dialect) -> Value {
        self.leaf(PATCH, dialect)
    }

    fn add(&mut self, name: String, ty: Type) {
        if self.types.insert(name, ty).is_none() {
            for field in ty.fields {
                self.add_below(ty, &field.kind);
            }
        }
    }

    fn add_below(&mut self, owner: Type, kind: &FieldKind) {
        match kind {
            FieldKind::Struct(ty) => self.add(name_of(ty), ty),
            // What else may stand there is told in words alone, as upstream does.
            FieldKind::OrBool(_) | FieldKind::OrList(_) | FieldKind::Open(_) => {}
            FieldKind::List(inner) | FieldKind::Map(inner) => self.add_below(owner, inner),
            kind => {
                if let Some(name) = leaf_name(owner, kind) {
                    self.leaves.insert(name, leaf(name));
                }
            }
        }
    }

    fn leaf(&mut self, name: &'static str, dialect: Dialect) -> Value {
        self.leaves.insert(name, leaf(name));
        dialect.reference(name)
    }
}

fn leaf_name(owner: Type, kind: &FieldKind) -> Option<&'static str> {
    Some(match kind {
        FieldKind::Raw if owner.package == "apiextensions/v1" => JSON,
        FieldKind::Time => TIME,
        FieldKind::MicroTime => MICRO_TIME,
        FieldKind::Duration => DURATION,
        FieldKind::Quantity => QUANTITY,
        FieldKind::IntOrString => INT_OR_STRING,
        FieldKind::Raw => RAW,
        FieldKind::FieldsV1 => FIELDS,
        _ => return None,
    })
}

/// All definitions that were referred to.
pub(super) fn all(used: Used, kinds: &KindsOfShapes, dialect: Dialect) -> Map<String, Value> {
    let mut definitions = Map::new();
    for (name, one) in used.custom {
        definitions.insert(custom::list_name(one.kind), custom::list(&name, one.kind, dialect));
        definitions.insert(name, custom::definition(&one, dialect));
    }
    for (name, leaf) in used.leaves {
        let mut schema = if dialect == Dialect::V2 { (leaf.v2)() } else { (leaf.v3)() };
        if let Some(text) = Description::of(name).and_then(|description| description.text()) {
            schema["description"] = text.clone();
        }
        definitions.insert(name.to_owned(), schema);
    }
    for (name, ty) in used.types {
        let schema = definition(&name, ty, kinds, dialect);
        definitions.insert(name, schema);
    }
    definitions
}

fn definition(name: &str, ty: Type, kinds: &KindsOfShapes, dialect: Dialect) -> Value {
    let description = Description::of(name);
    let mut schema = json!({ "type": "object" });
    let list_of = ty.name.strip_suffix("List").filter(|_| description.is_none());
    match (&description, list_of) {
        (Some(description), _) => {
            if let Some(text) = description.text() {
                schema["description"] = text.clone();
            }
            if let Some(required) = description.required() {
                schema["required"] = required;
            }
        }
        (None, Some(kind)) => {
            schema["description"] = format!("{} is a list of objects of the kind {kind}.", ty.name).into();
            schema["required"] = json!(["items"]);
        }
        (None, None) => {}
    }
    let mut properties = Map::new();
    if ty.object {
        for field in ["apiVersion", "kind"] {
            properties.insert(field.to_owned(), json!({ "type": "string", "description": envelope(field) }));
        }
    }
    for field in ty.fields {
        let text = description.as_ref().and_then(|description| description.field(field.name));
        let text = text.cloned().or_else(|| list_of.map(|kind| list_field(field.name, kind)));
        properties.insert(field.name.to_owned(), property(ty, field, text, dialect));
    }
    if !properties.is_empty() {
        schema["properties"] = properties.into();
    }
    if ty.atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    if let Some(kinds) = kinds.get(name) {
        schema["x-kubernetes-group-version-kind"] = kinds.clone();
    }
    schema
}

fn envelope(field: &str) -> &'static Value {
    static NONE: Value = Value::Null;
    let pod = Description::of("io.k8s.api.core.v1.Pod");
    pod.and_then(|pod| pod.field(field)).unwrap_or(&NONE)
}

fn list_field(field: &str, kind: &str) -> Value {
    match field {
        "items" => format!("The objects of the kind {kind}.").into(),
        _ => "The revision of the list, and how to go on if it is not complete.".into(),
    }
}

fn property(owner: Type, field: &FieldDef, description: Option<Value>, dialect: Dialect) -> Value {
    let mut schema = shape(owner, &field.kind, dialect);
    if !field.values.is_empty() {
        let of = if matches!(field.kind, FieldKind::List(_)) { &mut schema["items"] } else { &mut schema };
        of["enum"] = field.values.into();
    }
    if let Some(text) = description {
        // A reference stands alone in version 3.
        if dialect == Dialect::V3 && schema.get("$ref").is_some() {
            schema = json!({ "allOf": [schema] });
        }
        schema["description"] = text;
    }
    if !field.default.is_empty()
        && let Ok(default) = serde_json::from_str(field.default)
    {
        schema["default"] = default;
    }
    let is_list = matches!(field.kind, FieldKind::List(_));
    match field.topology {
        Topology::Natural => {}
        Topology::Atomic if is_list => schema["x-kubernetes-list-type"] = "atomic".into(),
        Topology::Atomic => schema["x-kubernetes-map-type"] = "atomic".into(),
        Topology::Set => schema["x-kubernetes-list-type"] = "set".into(),
        Topology::Keyed(keys) => {
            schema["x-kubernetes-list-type"] = "map".into();
            schema["x-kubernetes-list-map-keys"] = keys.into();
        }
    }
    let PatchStrategy { merge, retain_keys, replace, merge_key } = field.patch;
    let words = [(replace, "replace"), (merge, "merge"), (retain_keys, "retainKeys")];
    let strategy: Vec<&str> = words.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect();
    if !strategy.is_empty() {
        schema["x-kubernetes-patch-strategy"] = strategy.join(",").into();
    }
    if !merge_key.is_empty() {
        schema["x-kubernetes-patch-merge-key"] = merge_key.into();
    }
    schema
}

fn shape(owner: Type, kind: &FieldKind, dialect: Dialect) -> Value {
    match kind {
        FieldKind::String => string(""),
        FieldKind::Bool => json!({ "type": "boolean" }),
        FieldKind::Int32 => json!({ "type": "integer", "format": "int32" }),
        FieldKind::Int64 => json!({ "type": "integer", "format": "int64" }),
        FieldKind::Float => json!({ "type": "number", "format": "double" }),
        FieldKind::Bytes => string("byte"),
        FieldKind::Struct(ty) => dialect.reference(&name_of(ty)),
        FieldKind::List(inner) => json!({ "type": "array", "items": shape(owner, inner, dialect) }),
        FieldKind::Map(inner) => json!({ "type": "object", "additionalProperties": shape(owner, inner, dialect) }),
        kind => leaf_name(owner, kind).map_or_else(|| json!({}), |name| dialect.reference(name)),
    }
}

/// Which objects a definition is the shape of. Options and events of watches belong to every group version.
pub(super) fn kinds_of_shapes(served: &[&Kind]) -> KindsOfShapes {
    let mut kinds: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut add = |group: &str, version: &str, kind: &str, ty: Option<Type>| {
        if let Some(ty) = ty.or_else(|| schema::object_type(group, version, kind)) {
            let value = json!({ "group": group, "kind": kind, "version": version });
            let known = kinds.entry(name_of(ty)).or_default();
            if !known.contains(&value) {
                known.push(value);
            }
        }
    };
    for kind in served {
        add(kind.group, kind.version, kind.kind, Some(kind.ty));
        if kind.list_type().is_some() {
            add(kind.group, kind.version, &kind.list_kind(), kind.list_type());
        }
        for shared in ["DeleteOptions", "WatchEvent"] {
            add(kind.group, kind.version, shared, None);
        }
        for subresource in kind.subresources.iter().filter(|subresource| !subresource.version.is_empty()) {
            add(subresource.group, subresource.version, subresource.kind, None);
        }
    }
    add("", "v1", "Status", None);
    kinds.into_iter().map(|(name, kinds)| (name, Value::from(kinds))).collect()
}
