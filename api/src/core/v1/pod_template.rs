//! `PodTemplate`, and `PodTemplateSpec` in it: the pods that a Deployment, a ReplicaSet and their like make.

use jiff::Timestamp;

use crate::core::v1::pod_spec;
use crate::kind::{Generation, Kind};
use crate::meta;
use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::selector::LabelSelector;
use crate::table::{Cell, Row, column, list_or_none, name_column, or_none};
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    plural: "podtemplates",
    singular: "podtemplate",
    kind: "PodTemplate",
    ty: &types::CORE_V1_POD_TEMPLATE,
    returns_deleted: true,
    columns: &[
        name_column(),
        column("Containers", "Names of the containers in the template."),
        column("Images", "Images of the containers in the template."),
        column("Pod Labels", "Labels of the pods that are made from the template."),
    ],
    row,
    generation: Generation::Body,
    defaults,
    check: |object, errors| check_template(object.at("template"), &Path::Root.field("template"), errors),
    ..Kind::BASE
};

fn row(object: &Object, _: Timestamp) -> Row {
    let [containers, images] = container_cells(object.at("template"));
    let labels = label_cell(object.at("template.metadata.labels"));
    Row::of([object.name().into(), containers, images, labels])
}

/// The cells with names and images of a template's containers.
pub(crate) fn container_cells(template: Option<&Node>) -> [Cell; 2] {
    let containers = template.map_or(&[][..], |template| template.items_at("spec.containers"));
    let field = |name: &'static str| list_or_none(containers.iter().map(|container| container.str_at(name)));
    [field("name").into(), field("image").into()]
}

/// The cell of a plain map of labels.
pub(crate) fn label_cell(labels: Option<&Node>) -> Cell {
    let labels = labels.and_then(Node::as_map).map(|labels| LabelSelector::from_labels(labels).to_string());
    or_none(&labels.unwrap_or_default())
}

/// Defaults of the template in the field `template` of a spec.
pub(crate) fn defaults(spec: &mut Struct) {
    pod_spec::defaults(spec.struct_at("template.spec"));
}

/// Checks a template that `owner` keeps running, and that the selector selects its pods.
pub(crate) fn check(spec: &Struct, matches: impl Fn(&Map) -> bool, owner: &str, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("template");
    check_selected(spec, matches, &path, errors);
    check_template(spec.get("template"), &path, errors);
    check_keeps_running(spec, owner, &path.field("spec"), errors);
}

/// Checks that the labels in a template are such that the selector selects its pods.
pub(crate) fn check_selected(spec: &Struct, matches: impl Fn(&Map) -> bool, path: &Path<'_>, errors: &mut Errors) {
    let empty = Map::default();
    let labels = spec.at("template.metadata.labels").and_then(Node::as_map).unwrap_or(&empty);
    if !matches(labels) {
        let metadata = path.field("metadata");
        let shown = meta::shown(Some(&Node::Map(labels.clone())));
        errors.invalid(&metadata.field("labels"), shown, "`selector` does not match template `labels`");
    }
}

/// Checks any template.
pub(crate) fn check_template(template: Option<&Node>, path: &Path<'_>, errors: &mut Errors) {
    let at = |path: &str| template.and_then(|template| template.at(path));
    check_metadata(template, path, errors);
    let spec_path = path.field("spec");
    match at("spec").and_then(Node::as_struct) {
        Some(pod) => {
            pod_spec::check(pod, at("metadata").and_then(Node::as_struct), &spec_path, errors);
            if !pod.items_at("ephemeralContainers").is_empty() {
                let detail = "ephemeral containers not allowed in pod template";
                errors.forbidden(&spec_path.field("ephemeralContainers"), detail);
            }
        }
        None => errors.required(&spec_path.field("containers"), ""),
    }
}

/// Checks labels and annotations of a template.
pub(crate) fn check_metadata(template: Option<&Node>, path: &Path<'_>, errors: &mut Errors) {
    let map = |path: &str| template.and_then(|template| template.at(path)).and_then(Node::as_map);
    let path = path.field("metadata");
    meta::check_labels(map("metadata.labels"), &path.field("labels"), errors);
    meta::check_annotations(map("metadata.annotations"), &path.field("annotations"), errors);
}

/// Checks that the pods of a template are meant to run for ever.
pub(crate) fn check_keeps_running(spec: &Struct, owner: &str, path: &Path<'_>, errors: &mut Errors) {
    let policy = spec.str_at("template.spec.restartPolicy");
    if !matches!(policy, "" | "Always") {
        errors.not_supported(&path.field("restartPolicy"), policy, &["Always"]);
    }
    if spec.i64_at("template.spec.activeDeadlineSeconds").is_some() {
        let detail = format!("activeDeadlineSeconds in {owner} is not Supported");
        errors.forbidden(&path.field("activeDeadlineSeconds"), detail);
    }
}

/// Annotations that mean something for a pod have a form of their own.
pub(crate) fn check_annotations(annotations: &Map, errors: &mut Errors) {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    if annotations.get(MIRROR).and_then(Node::as_str) == Some("") {
        let path = Path::Root.field("metadata");
        errors.required(&path.field("annotations").key(MIRROR), "");
    }
}
