//! `PersistentVolumeClaim`: a wish for storage, and the volume that fulfils it.

use jiff::Timestamp;

use super::resource_name::{check_amount, check_positive, entries, read};
use crate::kind::{Kind, READ_AND_CHANGE, Subresource};
use crate::meta::check_immutable;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::quantity::Quantity;
use crate::schema::types;
use crate::selector;
use crate::table::{Cell, Row, age_column, column, name_column, wide};
use crate::validation::{Errors, Path, Value};

/// Where the class was named before there was a field for it.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const ALONE: &str = "ReadWriteOncePod";
const RESIZING: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "persistentvolumeclaims",
    singular: "persistentvolumeclaim",
    kind: "PersistentVolumeClaim",
    short_names: &["pvc"],
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "PersistentVolumeClaim",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::CORE_V1_PERSISTENT_VOLUME_CLAIM,
    returns_deleted: true,
    columns: &[
        name_column(),
        column("Status", "Whether a volume is bound to the claim."),
        column("Volume", "The volume that is bound to the claim."),
        column("Capacity", "How much the volume holds."),
        column("Access Modes", "From how many nodes the volume can be used, and how."),
        column("StorageClass", "The class the volume shall belong to."),
        column("VolumeAttributesClass", "The class of the volume's attributes."),
        age_column(),
        wide("VolumeMode", "Whether a file system or a bare device is wanted."),
    ],
    row,
    defaults,
    on_create: |claim| {
        claim.set("status.phase", "Pending");
        normalize_sources(&mut claim.body);
    },
    on_update: |new, _| normalize_sources(&mut new.body),
    check,
    check_update,
    check_status_update,
    ..Kind::BASE
};

/// What a claim means where it says nothing; for those in templates too.
pub(crate) fn defaults(claim: &mut Struct) {
    claim.set_default("status.phase", "Pending");
    claim.struct_at("spec").set_default("volumeMode", "Filesystem");
}

/// `dataSource` and `dataSourceRef` say the same, unless the source is in another namespace.
fn normalize_sources(claim: &mut Struct) {
    let Some(spec) = claim.get_mut("spec").and_then(Node::as_struct_mut) else { return };
    let (from, to) = match (spec.has("dataSource"), spec.has("dataSourceRef")) {
        (true, false) => ("dataSource", "dataSourceRef"),
        (false, true) if spec.str_at("dataSourceRef.namespace").is_empty() => ("dataSourceRef", "dataSource"),
        _ => return,
    };
    let Some(source) = spec.get(from).and_then(Node::as_struct).cloned() else { return };
    let target = spec.struct_at(to);
    for field in ["apiGroup", "kind", "name"] {
        crate::kind::copy_field(target, &source, field);
    }
}

fn row(claim: &Object, now: Timestamp) -> Row {
    let phase = if claim.is_deleting() { "Terminating" } else { claim.str_at("status.phase") };
    let volume = claim.str_at("spec.volumeName");
    let capacity = claim.at("status.capacity").and_then(|capacity| capacity.get("storage")).and_then(Node::as_str);
    let (capacity, modes) = if volume.is_empty() {
        ("".into(), "".into())
    } else {
        (capacity.unwrap_or("0").into(), access_modes(claim.body.items_at("status.accessModes")))
    };
    Row::of([
        claim.name().into(),
        phase.into(),
        volume.into(),
        capacity,
        modes,
        class(claim).into(),
        unset_or(claim.at("spec.volumeAttributesClassName")),
        Row::age(claim, now),
        unset_or(claim.at("spec.volumeMode")),
    ])
}

/// The cell of access modes: their short forms, each once.
pub(super) fn access_modes(modes: &[Node]) -> Cell {
    let known = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), (ALONE, "RWOP")];
    let given = known.iter().filter(|(mode, _)| modes.iter().any(|given| given.as_str() == Some(mode)));
    given.map(|(_, short)| *short).collect::<Vec<_>>().join(",").into()
}

/// The storage class of a volume or a claim.
pub(super) fn class(object: &Object) -> &str {
    object.annotation(CLASS).unwrap_or_else(|| object.str_at("spec.storageClassName"))
}

/// The cell of a text that may be missing.
pub(super) fn unset_or(text: Option<&Node>) -> Cell {
    text.and_then(Node::as_str).unwrap_or("<unset>").into()
}

fn check(claim: &Object, errors: &mut Errors) {
    let empty = Struct::new(&types::CORE_V1_PERSISTENT_VOLUME_CLAIM_SPEC);
    let spec = claim.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
    check_spec(spec, &Path::Root.field("spec"), errors);
}

/// Everything wrong with the specification of a claim.
fn check_spec(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let modes = spec.items_at("accessModes");
    if modes.is_empty() {
        errors.required(&path.field("accessModes"), "at least 1 access mode is required");
    }
    selector::check_object(spec.get("selector"), &path.field("selector"), errors);
    check_access_modes(modes, &path.field("accessModes"), errors);
    let resources = path.field("resources");
    let storage = resources.key("storage");
    match spec.at("resources.requests").and_then(|requests| requests.get("storage")) {
        None => errors.required(&storage, ""),
        Some(amount) => {
            let before = errors.len();
            check_positive(amount, &storage, errors);
            if errors.len() == before {
                check_amount("storage", amount, &storage, errors);
            }
        }
    }
    check_class(spec.str_at("storageClassName"), &path.field("storageClassName"), errors);
    let mode = spec.str_at("volumeMode");
    if !matches!(mode, "Block" | "Filesystem") && spec.has("volumeMode") {
        errors.not_supported(&path.field("volumeMode"), mode, &["Block", "Filesystem"]);
    }
    check_sources(spec, path, errors);
    let attributes = path.field("volumeAttributesClassName");
    check_class(spec.str_at("volumeAttributesClassName"), &attributes, errors);
}

/// Checks access modes: known ones, and what stands alone alone.
pub(super) fn check_access_modes(modes: &[Node], path: &Path<'_>, errors: &mut Errors) {
    let modes = || modes.iter().filter_map(Node::as_str);
    for mode in modes().filter(|mode| !MODES.contains(mode)) {
        errors.not_supported(path, mode, &MODES);
    }
    if modes().any(|mode| mode == ALONE) && modes().any(|mode| mode != ALONE && MODES.contains(&mode)) {
        errors.forbidden(path, "may not use ReadWriteOncePod with other access modes");
    }
}

/// Checks the name of a class, if there is one.
pub(super) fn check_class(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if !name.is_empty() {
        errors.invalid_each(path, name, names::dns1123_subdomain(name));
    }
}

/// Checks an amount that may be nothing, but not less.
pub(super) fn check_basic_amount(amount: &Node, path: &Path<'_>, errors: &mut Errors) {
    if let Some(quantity) = read(amount, path, errors).filter(|quantity| quantity.value() < 0) {
        errors.invalid(path, quantity.value(), "must be a valid resource quantity");
    }
}

fn check_sources(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    for name in ["dataSource", "dataSourceRef"] {
        if let Some(source) = spec.get(name) {
            check_source(source, &path.field(name), errors);
        }
    }
    let namespace = spec.str_at("dataSourceRef.namespace");
    let (Some(source), Some(reference)) = (spec.get("dataSource"), spec.get("dataSourceRef")) else { return };
    let shown = || Value::Text(path.field("dataSource").to_string());
    if !namespace.is_empty() {
        errors.invalid(path, shown(), "may not be specified when dataSourceRef.namespace is specified");
    } else if ["apiGroup", "kind", "name"].iter().any(|field| source.get(field) != reference.get(field)) {
        errors.invalid(path, shown(), "must match dataSourceRef");
    }
}

fn check_source(source: &Node, path: &Path<'_>, errors: &mut Errors) {
    for field in ["name", "kind"] {
        if source.str_at(field).is_empty() {
            errors.required(&path.field(field), "");
        }
    }
    let (group, kind) = (source.str_at("apiGroup"), source.str_at("kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        errors.invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    if !group.is_empty() {
        errors.invalid_each(&path.field("apiGroup"), group, names::dns1123_subdomain(group));
    }
    let namespace = source.str_at("namespace");
    if !namespace.is_empty() {
        errors.invalid_each(&path.field("namespace"), namespace, names::dns1123_label(namespace));
    }
}

/// A claim keeps its wish; only a bound one may grow or change its attributes, and a volume is named once.
fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    const GUARD: &str =
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    let path = Path::Root.field("spec");
    let mut allowed = new.clone();
    let mut keep = |field: &str| match old.at(field) {
        Some(value) => allowed.set(field, value.clone()),
        None => drop(allowed.body.remove(field)),
    };
    if old.str_at("spec.volumeName").is_empty() {
        keep("spec.volumeName");
    }
    let (was, is) = (old.at("spec.storageClassName"), new.str_at("spec.storageClassName"));
    let named = new.at("spec.storageClassName").is_some() && was.is_none();
    let upgraded = named && old.annotation(CLASS) == Some(is);
    if named && old.annotation(CLASS).is_none_or(|class| class == is) {
        keep("spec.storageClassName");
    }
    if new.str_at("status.phase") == "Bound" {
        if new.at("spec.resources.requests").is_some() {
            keep("spec.resources.requests.storage");
        }
        if new.at("spec.volumeAttributesClassName").is_some() {
            keep("spec.volumeAttributesClassName");
        }
    }
    if !upgraded && new.annotation(CLASS) != old.annotation(CLASS) {
        let metadata = Path::Root.field("metadata");
        let value = new.annotation(CLASS).unwrap_or("").to_owned();
        errors.invalid(&metadata.field("annotations").key(CLASS), value, "field is immutable");
    }
    if allowed.at("spec") != old.at("spec") {
        errors.forbidden(&path, GUARD);
    }
    check_size(new, old, errors);
    check_immutable(new.at("spec.volumeMode"), old.at("spec.volumeMode"), &Path::Root.field("volumeMode"), errors);
    let attributes = path.field("volumeAttributesClassName");
    match (old.at("spec.volumeAttributesClassName"), new.at("spec.volumeAttributesClassName")) {
        (Some(_), None) => errors.forbidden(&attributes, "update from non-nil value to nil is forbidden"),
        (Some(was), Some(is)) if was != is && is.as_str() == Some("") => {
            errors.forbidden(&attributes, "update from non-nil value to an empty string is forbidden");
        }
        _ => {}
    }
}

/// A wish that could not be fulfilled may be taken back, but not below what there is.
fn check_size(new: &Object, old: &Object, errors: &mut Errors) {
    let size = |claim: &Object, list: &str| -> Quantity {
        let amount = claim.at(list).and_then(|list| list.get("storage")).and_then(Node::as_str);
        amount.and_then(|text| text.parse().ok()).unwrap_or(Quantity::ZERO)
    };
    let requested = size(new, "spec.resources.requests");
    if requested < size(old, "spec.resources.requests") && requested <= size(old, "status.capacity") {
        let path = Path::Root.field("spec");
        let path = path.field("resources");
        errors.forbidden(&path.field("requests").field("storage"), "field can not be less than status.capacity");
    }
}

fn check_status_update(new: &Object, _: &Object, errors: &mut Errors) {
    if new.body.items_at("spec.accessModes").is_empty() {
        errors.required(&Path::Root.field("Spec").field("accessModes"), "");
    }
    let path = Path::Root.field("status");
    for (name, amount) in entries(new.at("status.capacity")) {
        check_basic_amount(amount, &path.field("capacity").key(name), errors);
    }
    let statuses = path.field("allocatedResourceStatus");
    for (name, status) in entries(new.at("status.allocatedResourceStatuses")) {
        check_storage_name(name, &statuses, errors);
        if !RESIZING.contains(&status.as_str().unwrap_or("")) {
            errors.not_supported(&statuses, name, &RESIZING);
        }
    }
    let allocated = path.field("allocatedResources");
    for (name, amount) in entries(new.at("status.allocatedResources")) {
        let before = errors.len();
        check_storage_name(name, &allocated, errors);
        if errors.len() == before {
            check_basic_amount(amount, &allocated.key(name), errors);
        }
    }
}

/// Of Kubernetes' own resources a volume has storage only.
fn check_storage_name(name: &str, path: &Path<'_>, errors: &mut Errors) {
    let problems = names::qualified_name(name);
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    if problems.is_empty() && native && name != "storage" {
        errors.not_supported(path, name, &["storage"]);
    }
    errors.invalid_each(path, name, problems);
}
