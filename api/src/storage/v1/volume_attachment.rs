//! `VolumeAttachment`: that a volume shall be attached to a node. What shall be never changes; what is, its driver says.

use jiff::Timestamp;

use crate::kind::{Kind, READ_AND_CHANGE, Scope, Subresource};
use crate::meta::check_immutable;
use crate::names;
use crate::node::{Map, Node};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Column, Row, age_column, boolean, column, name_column};
use crate::validation::{Errors, Path};

const ERROR_MAX: usize = 1024;
const METADATA_MAX: usize = 256 * 1024;

/// The kind.
pub static KIND: Kind = Kind {
    group: "storage.k8s.io",
    plural: "volumeattachments",
    singular: "volumeattachment",
    kind: "VolumeAttachment",
    scope: Scope::Cluster,
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "VolumeAttachment",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::STORAGE_V1_VOLUME_ATTACHMENT,
    returns_deleted: true,
    columns: &[
        name_column(),
        Column { format: "name", ..column("Attacher", "The driver that attaches the volume.") },
        column("PV", "The volume."),
        column("Node", "The node."),
        boolean("Attached", "Whether the volume is attached."),
        age_column(),
    ],
    row,
    unconditional_update: false,
    check,
    check_update: |new, old, errors| {
        check_immutable(new.at("spec"), old.at("spec"), &Path::Root.field("spec"), errors);
    },
    check_status_update,
    ..Kind::BASE
};

fn row(attachment: &Object, now: Timestamp) -> Row {
    Row::of([
        attachment.name().into(),
        attachment.str_at("spec.attacher").into(),
        attachment.str_at("spec.source.persistentVolumeName").into(),
        attachment.str_at("spec.nodeName").into(),
        attachment.body.bool_at("status.attached").unwrap_or(false).into(),
        Row::age(attachment, now),
    ])
}

fn check(attachment: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    names::check_csi_driver_name(attachment.str_at("spec.attacher"), &path.field("attacher"), errors);
    let source = path.field("source");
    let volume = attachment.at("spec.source.persistentVolumeName").and_then(Node::as_str);
    let inline = attachment.at("spec.source.inlineVolumeSpec");
    let volume_path = source.field("persistentVolumeName");
    match (volume, inline) {
        (None, None) => {
            errors.required(&source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
        }
        (Some(_), Some(_)) => {
            errors.forbidden(&source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
        }
        (Some(""), None) => errors.required(&volume_path, "must specify non empty persistentVolumeName"),
        (Some(volume), None) => errors.invalid_each(&volume_path, volume, names::dns1123_subdomain(volume)),
        (None, Some(_)) => {}
    }
    let node = attachment.str_at("spec.nodeName");
    errors.invalid_each(&path.field("nodeName"), node, names::dns1123_subdomain(node));
}

fn check_status_update(new: &Object, _: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    let metadata = new.at("status.attachmentMetadata").and_then(Node::as_map);
    let size = |(key, value): (&str, &Node)| key.len() + value.as_str().unwrap_or("").len();
    if metadata.into_iter().flat_map(Map::iter).map(size).sum::<usize>() > METADATA_MAX {
        errors.too_long(&path.field("attachmentMetadata"), METADATA_MAX);
    }
    for field in ["attachError", "detachError"] {
        let message = new.at("status").map_or("", |status| status.str_at(&format!("{field}.message")));
        if message.len() > ERROR_MAX {
            errors.too_long(&path.field(field).field("message"), ERROR_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, row, update_errors};

    const WHOLE: &str = "spec: {attacher: x.y, nodeName: n1, source: {persistentVolumeName: pv}}";

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, WHOLE, &[]),
            (
                &KIND,
                "spec: {nodeName: n1}",
                &[
                    "spec.attacher: Required value",
                    "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
                ],
            ),
        ]);
        let told = update_errors(&KIND, WHOLE, &WHOLE.replace("n1", "n2"));
        assert!(told[0].starts_with("spec: Invalid value: {") && told[0].ends_with("field is immutable"));
        assert_eq!(row(&KIND, WHOLE), "web | x.y | pv | n1 | false | <unknown>");
    }

    #[test]
    fn only_the_driver_says_that_a_volume_is_attached() {
        assert!(created(&KIND, &format!("{WHOLE}\nstatus: {{attached: true}}")).at("status").is_none());
        let old = created(&KIND, WHOLE);
        let mut new = old.clone();
        new.set("status.attachError.message", "x".repeat(1025));
        let told: Vec<String> = KIND.validate_status_update(&new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["status.attachError.message: Too long: may not be more than 1024 bytes"]);
    }
}
