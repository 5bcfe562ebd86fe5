//! What is wrong with a definition: its names, its versions, their schemas.

use crate::custom::{Definition, Version};
use crate::json_path::JsonPath;
use crate::meta::check_immutable;
use crate::names;
use crate::node::Node;
use crate::object::Object;
use crate::structural::{self, Structural};
use crate::validation::{Errors, Path};

const APPROVAL: &str = "api-approved.kubernetes.io";
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] = ["int32", "int64", "float", "double", "byte", "date", "date-time", "password"];
const SELECTABLE_MAX: usize = 8;

pub(super) fn check(definition: &Object, errors: &mut Errors) {
    let (group, plural) = (definition.str_at("spec.group"), definition.str_at("spec.names.plural"));
    let metadata = Path::Root.field("metadata");
    if definition.name() != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.invalid(&metadata.field("name"), definition.name(), detail);
    }
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')));
    let approval = definition.annotation(APPROVAL).unwrap_or_default();
    if protected && approval.is_empty() {
        let annotations = metadata.field("annotations");
        let detail = format!(
            "protected groups must have approval annotation \"{APPROVAL}\", see https://github.com/kubernetes/enhancements/pull/1111"
        );
        errors.required(&annotations.key(APPROVAL), detail);
    }
    let spec = Path::Root.field("spec");
    check_group(group, &spec.field("group"), errors);
    match definition.str_at("spec.scope") {
        "" => errors.required(&spec.field("scope"), ""),
        "Cluster" | "Namespaced" => {}
        other => errors.not_supported(&spec.field("scope"), other, &["Cluster", "Namespaced"]),
    }
    check_names(definition, &spec.field("names"), errors);
    check_conversion(definition, &spec.field("conversion"), errors);
    if definition.body.bool_at("spec.preserveUnknownFields") == Some(true) {
        let detail =
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.invalid(&spec.field("preserveUnknownFields"), true, detail);
    }
    check_versions(definition, &spec.field("versions"), errors);
}

pub(super) fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let spec = Path::Root.field("spec");
    let names = spec.field("names");
    check_immutable(new.at("spec.group"), old.at("spec.group"), &spec.field("group"), errors);
    check_immutable(new.at("spec.names.plural"), old.at("spec.names.plural"), &names.field("plural"), errors);
    if Definition::new(old).is_established() {
        check_immutable(new.at("spec.scope"), old.at("spec.scope"), &spec.field("scope"), errors);
        check_immutable(new.at("spec.names.kind"), old.at("spec.names.kind"), &names.field("kind"), errors);
    }
    let status = Path::Root.field("status");
    for (index, stored) in new.body.items_at("status.storedVersions").iter().filter_map(Node::as_str).enumerate() {
        if !Definition::new(new).versions().any(|version| version.name() == stored) {
            let detail = "must appear in spec.versions";
            errors.invalid(&status.field("storedVersions").index(index), stored, detail);
        }
    }
}

fn check_group(group: &str, path: &Path<'_>, errors: &mut Errors) {
    if group.is_empty() {
        return errors.required(path, "");
    }
    let problems = names::dns1123_subdomain(group);
    if problems.is_empty() && !group.contains('.') {
        errors.invalid(path, group, "should be a domain with at least one dot");
    }
    errors.invalid_each(path, group, problems);
}

fn check_names(definition: &Object, path: &Path<'_>, errors: &mut Errors) {
    let name = |field: &str| definition.str_at(&format!("spec.names.{field}"));
    // A kind is a label but for its capitals.
    for (field, required) in [("plural", true), ("singular", false), ("kind", true), ("listKind", true)] {
        let value = name(field);
        match (value.is_empty(), required) {
            (true, true) => errors.required(&path.field(field), ""),
            (true, false) => {}
            (false, _) => {
                let plain = if field.ends_with("ind") { value.to_lowercase() } else { value.to_owned() };
                errors.invalid_each(&path.field(field), value, names::dns1035_label(&plain));
            }
        }
    }
    if !name("kind").is_empty() && name("kind") == name("listKind") {
        errors.invalid(&path.field("listKind"), name("listKind"), "kind and listKind may not be the same");
    }
    for field in ["shortNames", "categories"] {
        let at = path.field(field);
        let items = definition.body.items_at(&format!("spec.names.{field}"));
        for (index, value) in items.iter().filter_map(Node::as_str).enumerate() {
            errors.invalid_each(&at.index(index), value, names::dns1035_label(value));
        }
    }
}

fn check_conversion(definition: &Object, path: &Path<'_>, errors: &mut Errors) {
    match definition.str_at("spec.conversion.strategy") {
        "" | "None" => {
            if definition.at("spec.conversion.webhook").is_some() {
                errors.forbidden(&path.field("webhook"), "should not be set when strategy is not set to Webhook");
            }
        }
        "Webhook" => {
            let detail = "conversion webhooks are not supported yet: all versions must have the same schema but for what the strategy None can do, which changes the apiVersion alone";
            errors.invalid(&path.field("strategy"), "Webhook", detail);
        }
        other => errors.not_supported(&path.field("strategy"), other, &["None", "Webhook"]),
    }
}

fn check_versions(definition: &Object, path: &Path<'_>, errors: &mut Errors) {
    let versions: Vec<Version<'_>> = Definition::new(definition).versions().collect();
    let mut names: Vec<&str> = versions.iter().map(Version::name).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != versions.len() {
        errors.invalid(path, shown(definition), "must contain unique version names");
    }
    if versions.iter().filter(|version| version.is_storage()).count() != 1 {
        errors.invalid(path, shown(definition), "must have exactly one version marked as storage version");
    }
    for (index, version) in versions.iter().enumerate() {
        let raw = definition.body.items_at("spec.versions").get(index);
        if let Some(raw) = raw {
            check_version(version, raw, &path.index(index), errors);
        }
    }
}

fn shown(definition: &Object) -> crate::validation::Value {
    crate::meta::shown(definition.at("spec.versions"))
}

fn check_version(version: &Version<'_>, raw: &Node, path: &Path<'_>, errors: &mut Errors) {
    if version.name().is_empty() {
        errors.required(&path.field("name"), "");
    } else {
        errors.invalid_each(&path.field("name"), version.name(), names::dns1035_label(version.name()));
    }
    if raw.bool_at("deprecated") != Some(true) && raw.at("deprecationWarning").is_some() {
        let detail = "can only be set for deprecated versions";
        errors.invalid(&path.field("deprecationWarning"), raw.str_at("deprecationWarning"), detail);
    }
    let schema = version.schema();
    let at = path.field("schema");
    let at = at.field("openAPIV3Schema");
    if schema.is_object() {
        structural::check(&schema, &at, errors);
    } else {
        errors.required(&at, "schemas are required");
    }
    let parsed = Structural::parse(&schema);
    check_scale(raw, &path.field("subresources"), errors);
    check_columns(raw, &path.field("additionalPrinterColumns"), errors);
    check_selectable(raw, &parsed, &path.field("selectableFields"), errors);
}

fn check_scale(version: &Node, path: &Path<'_>, errors: &mut Errors) {
    let Some(scale) = version.at("subresources.scale") else { return };
    let path = path.field("scale");
    for (field, part, required) in
        [("specReplicasPath", "spec", true), ("statusReplicasPath", "status", true), ("labelSelectorPath", "", false)]
    {
        let (value, at) = (scale.str_at(field), path.field(field));
        if value.is_empty() {
            if required {
                errors.required(&at, "");
            }
            continue;
        }
        match JsonPath::parse(value).ok().as_ref().and_then(JsonPath::fields).as_deref() {
            Some([first, _, ..]) if *first == part || part.is_empty() && matches!(*first, "spec" | "status") => {}
            Some(_) if part.is_empty() => errors.invalid(&at, value, "should be a json path under .spec or .status"),
            Some(_) => errors.invalid(&at, value, format!("should be a json path under .{part}")),
            None => errors.invalid(&at, value, "should be a simple json path: fields alone"),
        }
    }
}

fn check_columns(version: &Node, path: &Path<'_>, errors: &mut Errors) {
    for (index, column) in version.items_at("additionalPrinterColumns").iter().enumerate() {
        let path = path.index(index);
        if column.str_at("name").is_empty() {
            errors.required(&path.field("name"), "");
        }
        match column.str_at("type") {
            "" => errors.required(&path.field("type"), format!("must be one of {}", COLUMN_TYPES.join(","))),
            ty if COLUMN_TYPES.contains(&ty) => {}
            ty => errors.invalid(&path.field("type"), ty, format!("must be one of {}", COLUMN_TYPES.join(","))),
        }
        let format = column.str_at("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.invalid(&path.field("format"), format, detail);
        }
        let at = path.field("jsonPath");
        match column.str_at("jsonPath") {
            "" => errors.required(&at, ""),
            text => {
                if let Err(why) = JsonPath::parse(text) {
                    errors.invalid(&at, text, format!("is an invalid JSON path: {why}"));
                }
            }
        }
    }
}

fn check_selectable(version: &Node, schema: &Structural, path: &Path<'_>, errors: &mut Errors) {
    let fields = version.items_at("selectableFields");
    if fields.len() > SELECTABLE_MAX {
        errors.too_many(path, fields.len(), SELECTABLE_MAX);
    }
    for (index, field) in fields.iter().enumerate() {
        let path = path.index(index);
        let at = path.field("jsonPath");
        let text = field.str_at("jsonPath");
        if text.is_empty() {
            errors.required(&at, "");
            continue;
        }
        if fields[..index].iter().any(|other| other.str_at("jsonPath") == text) {
            errors.duplicate(&at, text);
            continue;
        }
        match JsonPath::parse(text).ok().as_ref().and_then(JsonPath::fields) {
            None => errors.invalid(&at, text, "is an invalid path: only fields are allowed"),
            Some(names) if names.first() == Some(&"metadata") => {
                errors.invalid(&at, text, "must not point to fields in metadata");
            }
            Some(names) => match schema.at(&names) {
                Some(schema) if schema.is_selectable() => {}
                Some(_) => errors.invalid(&at, text, "must point to a field of type string, boolean or integer"),
                None => errors.invalid(&at, text, "is an invalid path: does not refer to a valid field"),
            },
        }
    }
}
