//! The ReplicaSet that has the Deployment's template: found, brought up to date, or created.

use k8s_openapi::api::apps::v1::{DeploymentSpec, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::annotations::{self, REVISION, REVISION_HISTORY};
use super::rolling::new_size;
use super::{Sets, View, key, name, patch_replica_set};
use crate::caches::resources::{DEPLOYMENTS, REPLICA_SETS};
use crate::meta;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Act, Action, Plan, normal, warning};

const HASH: &str = "pod-template-hash";

/// What [`sync`] did.
pub(super) enum Sync {
    /// There is none; none was created.
    Absent,
    /// It needed a change, which is in the plan.
    Changed,
    /// It is as it should be.
    Current,
}

/// What [`ensure`] did.
pub(super) enum Ensured<'a> {
    /// It is there and as it should be.
    Ready(&'a ReplicaSet),
    /// The plan makes it so. With the name when it is created.
    Planned(Option<String>),
    /// Its name is taken by another: the next try gets another name.
    Collision,
}

/// Whether a replica set has the template of a deployment, the label of its hash aside.
pub(super) fn has_template(replica_set: &ReplicaSet, spec: &DeploymentSpec) -> bool {
    let ours = replica_set.spec.template.as_ref().map(without_hash);
    ours == Some(without_hash(&spec.template))
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|metadata| metadata.labels.as_mut()) {
        labels.remove(HASH);
    }
    // `metadata: {}` and no metadata are the same template.
    template.metadata = template.metadata.filter(|metadata| *metadata != ObjectMeta::default());
    template
}

/// Brings annotations and revision of an existing one up to date; creates none.
pub(super) fn sync(plan: &mut Plan, view: &View<'_>, sets: &Sets<'_>) -> Sync {
    let Some(new) = sets.new else { return Sync::Absent };
    let before = plan.steps.len();
    update(plan, view, sets, new);
    if plan.steps.len() > before { Sync::Changed } else { Sync::Current }
}

/// The same, and creates it when there is none.
pub(super) fn ensure<'a>(plan: &mut Plan, view: &View<'_>, sets: &Sets<'a>) -> Ensured<'a> {
    if let Some(new) = sets.new {
        return match sync(plan, view, sets) {
            Sync::Changed => Ensured::Planned(None),
            Sync::Absent | Sync::Current => Ensured::Ready(new),
        };
    }
    let spec = &view.deployment.spec;
    let body = build(view, spec, sets);
    let chosen = name(&body).to_owned();
    if view.replica_sets.iter().any(|other| name(other) == chosen) {
        return Ensured::Collision;
    }
    let about = meta::reference("apps/v1", "Deployment", &view.deployment.metadata);
    let size = super::asked(&body);
    let revision = next_revision(sets).to_string();
    let mut act = Act::from(Action::Create { resource: REPLICA_SETS, body: to_json(&body) }).complain(warning(
        &about,
        "ReplicaSetCreateError",
        format!("Failed to create new replica set {chosen:?}: "),
    ));
    if size > 0 {
        act = act.say(normal(&about, "ScalingReplicaSet", format!("Scaled up replica set {chosen} from 0 to {size}")));
    }
    plan.act(act);
    note_revision(plan, view, &revision);
    Ensured::Planned(Some(chosen))
}

fn build(view: &View<'_>, spec: &DeploymentSpec, sets: &Sets<'_>) -> ReplicaSet {
    let metadata = &view.deployment.metadata;
    let collisions = view.deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or_default();
    let hash = hash(&spec.template, collisions);
    let mut template = spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector.clone();
    selector.match_labels.get_or_insert_default().insert(HASH.to_owned(), hash.clone());
    let mut annotations = annotations::copied(view.deployment);
    annotations.extend(annotations::sizes(spec));
    annotations.insert(REVISION.to_owned(), next_revision(sets).to_string());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", metadata.name.as_deref().unwrap_or_default())),
            namespace: metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![meta::controller_reference("apps/v1", "Deployment", metadata)]),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            replicas: Some(new_size(spec, sets)),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        },
        status: None,
    }
}

/// Names the template. Only its own replica set is named by it: an equal template is found by comparison.
fn hash(template: &PodTemplateSpec, collisions: i32) -> String {
    let text = to_json(template).to_string();
    let salt = if collisions > 0 { collisions.to_string() } else { String::new() };
    meta::safe_text(meta::fnv1a(&[text.as_bytes(), salt.as_bytes()]))
}

fn next_revision(sets: &Sets<'_>) -> i64 {
    sets.old.iter().map(|replica_set| annotations::revision(replica_set)).max().unwrap_or_default() + 1
}

fn update(plan: &mut Plan, view: &View<'_>, sets: &Sets<'_>, new: &ReplicaSet) {
    let spec = &view.deployment.spec;
    let mut wanted = annotations::copied(view.deployment);
    let (next, present) = (next_revision(sets), annotations::revision(new));
    // A replica set that becomes new again keeps the numbers it had.
    let revision = if next > present {
        if present > 0 {
            let history = new.metadata.annotations.as_ref().and_then(|all| all.get(REVISION_HISTORY));
            let history = history.map_or(present.to_string(), |history| format!("{history},{present}"));
            wanted.insert(REVISION_HISTORY.to_owned(), history);
        }
        next
    } else {
        present
    };
    wanted.insert(REVISION.to_owned(), revision.to_string());
    wanted.extend(annotations::sizes(spec).into_iter().filter(|(name, _)| annotations::number(new, name).is_none()));
    let mut patch = json!({});
    if let Some(annotations) = annotations::missing(new, &wanted) {
        patch["metadata"]["annotations"] = annotations;
    }
    let min_ready = |spec: Option<i32>| spec.unwrap_or_default();
    if min_ready(new.spec.min_ready_seconds) != min_ready(spec.min_ready_seconds) {
        patch["spec"]["minReadySeconds"] = min_ready(spec.min_ready_seconds).into();
    }
    if patch != json!({}) {
        plan.act(patch_replica_set(new, patch));
    }
    note_revision(plan, view, &revision.to_string());
}

/// The deployment shows the revision of its new replica set.
fn note_revision(plan: &mut Plan, view: &View<'_>, revision: &str) {
    let metadata = &view.deployment.metadata;
    let present = metadata.annotations.as_ref().and_then(|annotations| annotations.get(REVISION));
    if present.map(String::as_str) != Some(revision) {
        let patch: Value = json!({"metadata": {"annotations": {REVISION: revision}}});
        plan.act(Action::Patch { resource: DEPLOYMENTS, key: key(metadata), subresource: "", patch });
    }
}
