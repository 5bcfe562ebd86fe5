//! `PersistentVolume`: a piece of storage in the cluster, which one claim can have.

use jiff::Timestamp;

use super::persistent_volume_claim::{
    access_modes, check_access_modes, check_basic_amount, check_class, class, unset_or,
};
use super::resource_name::{check_positive, entries};
use crate::core::v1::pod_spec::{check_node_selector, check_volume_source};
use crate::kind::{Kind, READ_AND_CHANGE, Scope, Subresource};
use crate::meta::{check_immutable, shown};
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Cell, Row, age_column, column, name_column, wide};
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    plural: "persistentvolumes",
    singular: "persistentvolume",
    kind: "PersistentVolume",
    short_names: &["pv"],
    scope: Scope::Cluster,
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "PersistentVolume",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::CORE_V1_PERSISTENT_VOLUME,
    returns_deleted: true,
    columns: &[
        name_column(),
        column("Capacity", "How much it holds."),
        column("Access Modes", "From how many nodes it can be used, and how."),
        column("Reclaim Policy", "What becomes of it when its claim is gone."),
        column("Status", "Whether it is free, bound, or left behind."),
        column("Claim", "The claim that has it."),
        column("StorageClass", "The class it belongs to."),
        column("VolumeAttributesClass", "The class of its attributes."),
        column("Reason", "Why it is in a failed state."),
        age_column(),
        wide("VolumeMode", "Whether it is a file system or a bare device."),
    ],
    row,
    defaults,
    on_create,
    check,
    check_update,
    ..Kind::BASE
};

/// What sources mean where they say nothing.
const SOURCE_DEFAULTS: [(&str, &str, &str); 10] = [
    ("hostPath", "type", ""),
    ("iscsi", "iscsiInterface", "default"),
    ("rbd", "pool", "rbd"),
    ("rbd", "user", "admin"),
    ("rbd", "keyring", "/etc/ceph/keyring"),
    ("azureDisk", "cachingMode", "ReadWrite"),
    ("azureDisk", "kind", "Shared"),
    ("azureDisk", "fsType", "ext4"),
    ("scaleIO", "storageMode", "ThinProvisioned"),
    ("scaleIO", "fsType", "xfs"),
];

fn defaults(volume: &mut Struct) {
    volume.set_default("status.phase", "Pending");
    let spec = volume.struct_at("spec");
    spec.set_default("persistentVolumeReclaimPolicy", "Retain");
    spec.set_default("volumeMode", "Filesystem");
    for (source, field, value) in SOURCE_DEFAULTS {
        if let Some(source) = spec.get_mut(source).and_then(Node::as_struct_mut) {
            source.set_default(field, value);
        }
    }
}

/// A volume begins its first phase when it is created.
fn on_create(volume: &mut Object) {
    volume.set("status.phase", "Pending");
    let now = volume.str_at("metadata.creationTimestamp").to_owned();
    if !now.is_empty() {
        volume.set("status.lastPhaseTransitionTime", now);
    }
}

fn row(volume: &Object, now: Timestamp) -> Row {
    let phase = if volume.is_deleting() { "Terminating" } else { volume.str_at("status.phase") };
    let claim = match volume.at("spec.claimRef") {
        Some(claim) => format!("{}/{}", claim.str_at("namespace"), claim.str_at("name")),
        None => String::new(),
    };
    let capacity = volume.at("spec.capacity").and_then(|capacity| capacity.get("storage")).and_then(Node::as_str);
    Row::of([
        volume.name().into(),
        capacity.unwrap_or("0").into(),
        access_modes(volume.body.items_at("spec.accessModes")),
        volume.str_at("spec.persistentVolumeReclaimPolicy").into(),
        phase.into(),
        Cell::Str(claim),
        class(volume).into(),
        unset_or(volume.at("spec.volumeAttributesClassName")),
        volume.str_at("status.reason").into(),
        Row::age(volume, now),
        unset_or(volume.at("spec.volumeMode")),
    ])
}

/// The sources of a spec: exactly one in a valid volume.
fn sources(spec: &Struct) -> impl Iterator<Item = (&'static str, &Node)> {
    spec.iter()
        .map(|(field, node)| (field.name, node))
        .filter(|(name, _)| types::CORE_V1_PERSISTENT_VOLUME_SOURCE.field(name).is_some())
}

fn check(volume: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let empty = Struct::new(&types::CORE_V1_PERSISTENT_VOLUME_SPEC);
    let spec = volume.at("spec").and_then(Node::as_struct).unwrap_or(&empty);
    if spec.items_at("accessModes").is_empty() {
        errors.required(&path.field("accessModes"), "");
    }
    check_access_modes(spec.items_at("accessModes"), &path.field("accessModes"), errors);
    check_capacity(spec.get("capacity"), &path.field("capacity"), errors);
    let policy = spec.str_at("persistentVolumeReclaimPolicy");
    if !matches!(policy, "" | "Delete" | "Recycle" | "Retain") {
        let path = path.field("persistentVolumeReclaimPolicy");
        errors.not_supported(&path, policy, &["Delete", "Recycle", "Retain"]);
    }
    if let Some(affinity) = spec.get("nodeAffinity") {
        let path = path.field("nodeAffinity");
        match affinity.get("required") {
            Some(required) => check_node_selector(required, &path.field("required"), errors),
            None => errors.required(&path.field("required"), "must specify required node constraints"),
        }
    }
    check_sources(spec, &path, errors);
    check_class(spec.str_at("storageClassName"), &path.field("storageClassName"), errors);
    let mode = spec.str_at("volumeMode");
    if !matches!(mode, "" | "Block" | "Filesystem") {
        errors.not_supported(&path.field("volumeMode"), mode, &["Block", "Filesystem"]);
    }
    if let Some(name) = spec.get("volumeAttributesClassName").and_then(Node::as_str) {
        let field = path.field("volumeAttributesClassName");
        if name.is_empty() {
            errors.required(&field, "an empty string is disallowed");
        }
        check_class(name, &field, errors);
        if !spec.has("csi") {
            errors.required(&path.field("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}

fn check_capacity(capacity: Option<&Node>, path: &Path<'_>, errors: &mut Errors) {
    let count = entries(capacity).count();
    if count == 0 {
        errors.required(path, "");
    }
    if count != 1 || capacity.is_none_or(|capacity| capacity.get("storage").is_none()) {
        let value = if count == 0 { crate::validation::Value::text("{}") } else { shown(capacity) };
        errors.not_supported(path, value, &["storage"]);
    }
    for (name, amount) in entries(capacity) {
        check_basic_amount(amount, &path.key(name), errors);
        check_positive(amount, &path.key(name), errors);
    }
}

fn check_sources(spec: &Struct, path: &Path<'_>, errors: &mut Errors) {
    let mut sources = sources(spec);
    let Some((name, source)) = sources.next() else {
        errors.required(path, "must specify a volume type");
        return;
    };
    for (name, _) in sources {
        errors.forbidden(&path.field(name), "may not specify more than 1 volume type");
    }
    let source_path = path.field(name);
    check_volume_source(name, source, &source_path, errors);
    match name {
        "local" => {
            if source.str_at("path").is_empty() {
                errors.required(&source_path.field("path"), "");
            }
            if !spec.has("nodeAffinity") {
                errors.required(&path.field("nodeAffinity"), "Local volume requires node affinity");
            }
        }
        "csi" if source.str_at("volumeHandle").is_empty() => {
            errors.required(&source_path.field("volumeHandle"), "");
        }
        "hostPath" => {
            let is_root = !source.str_at("path").is_empty()
                && source.str_at("path").split('/').all(|step| matches!(step, "" | "."));
            if is_root && spec.str_at("persistentVolumeReclaimPolicy") == "Recycle" {
                let path = path.field("persistentVolumeReclaimPolicy");
                errors.forbidden(&path, "may not be 'recycle' for a hostPath mount of '/'");
            }
        }
        _ => {}
    }
}

/// The source never changes, except that a CSI volume may be given the secret with which it grows.
fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let secret = "spec.csi.controllerExpandSecretRef";
    let mut same = new.clone();
    if old.at(secret).is_none() && old.at("spec.csi").is_some() {
        same.body.remove(secret);
    }
    let all = |volume: &Object| -> Vec<(&'static str, Node)> {
        let spec = volume.at("spec").and_then(Node::as_struct);
        spec.into_iter().flat_map(sources).map(|(name, node)| (name, node.clone())).collect()
    };
    let path = Path::Root.field("spec");
    if all(&same) != all(old) {
        let detail = "spec.persistentvolumesource is immutable after creation";
        errors.forbidden(&path.field("persistentvolumesource"), detail);
    }
    check_immutable(new.at("spec.volumeMode"), old.at("spec.volumeMode"), &Path::Root.field("volumeMode"), errors);
    let affinity = |volume: &Object| volume.at("spec.nodeAffinity").cloned();
    if affinity(old).is_some() && affinity(new) != affinity(old) {
        errors.invalid(&Path::Root.field("nodeAffinity"), shown(new.at("spec.nodeAffinity")), "field is immutable");
    }
    let attributes = |volume: &Object| volume.at("spec.volumeAttributesClassName").is_some();
    if attributes(old) && !attributes(new) {
        let detail = "update from non-nil value to nil is forbidden";
        errors.forbidden(&path.field("volumeAttributesClassName"), detail);
    }
}
