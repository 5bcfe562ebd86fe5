//! The templates that a set has had, as ControllerRevisions: what `kubectl rollout history` and `undo` read.

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::json;

use super::{Set, View, identity, key, name};
use crate::caches::resources::{CONTROLLER_REVISIONS, STATEFUL_SETS};
use crate::controller_revision::{self, normal, template};
use crate::meta;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Act, Action, Pace, Plan};

const HASH: &str = "controller.kubernetes.io/hash";
/// So much of a set's name goes into the names of its revisions.
const PREFIX_MAX: usize = 223;

/// A template with its name.
#[derive(Default)]
pub(super) struct Revision {
    pub(super) name: String,
    pub(super) template: PodTemplateSpec,
}

/// The templates that matter now.
#[derive(Default)]
pub(super) struct Revisions<'a> {
    /// What all pods were made from when the last update was complete.
    pub(super) current: Revision,
    /// The set's own template.
    pub(super) update: Revision,
    /// All of its own, oldest first.
    history: Vec<&'a ControllerRevision>,
}

impl Revisions<'_> {
    /// By the status alone: a set on its way out makes nothing any more.
    pub(super) fn told(view: &View<'_>) -> Self {
        let status = view.stateful_set.status.as_ref();
        let revision =
            |name: Option<&String>| Revision { name: name.cloned().unwrap_or_default(), ..Revision::default() };
        Self {
            current: revision(status.and_then(|status| status.current_revision.as_ref())),
            update: revision(status.and_then(|status| status.update_revision.as_ref())),
            history: Vec::new(),
        }
    }
}

/// Finds the revision of the template; if it is not there or not the newest, plans that it is, and nothing else.
pub(super) fn settle<'a>(
    plan: &mut Plan,
    view: &View<'a>,
    mut history: Vec<&'a ControllerRevision>,
) -> Option<Revisions<'a>> {
    history.sort_by_key(|revision| (revision.revision, created(revision), revision.metadata.name.clone()));
    let wanted = normal(view.stateful_set.spec.template.clone());
    let newest = history.last().map_or(0, |last| last.revision.unwrap_or_default());
    let equal = history.iter().rev().find(|revision| template(revision).as_ref() == Some(&wanted));
    let Some(equal) = equal else {
        create(plan, view, newest + 1);
        return None;
    };
    if equal.revision.unwrap_or_default() < newest {
        let metadata = &equal.metadata;
        let patch = meta::at_revision(json!({"revision": newest + 1}), metadata.resource_version.as_deref());
        plan.act(Action::Patch { resource: CONTROLLER_REVISIONS, key: key(metadata), subresource: "", patch });
        return None;
    }
    let told = view.stateful_set.status.as_ref().and_then(|status| status.current_revision.as_ref());
    let named = history.iter().find(|revision| told.is_some() && revision.metadata.name.as_ref() == told);
    let current = named.and_then(|revision| known(revision)).or_else(|| known(equal))?;
    let update = known(equal)?;
    Some(Revisions { current, update, history })
}

fn created(revision: &ControllerRevision) -> Option<jiff::Timestamp> {
    revision.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn known(revision: &ControllerRevision) -> Option<Revision> {
    Some(Revision { name: revision.metadata.name.clone()?, template: template(revision)? })
}

/// Creates the revision of the template, or counts that its name is taken: the next try gets another name.
fn create(plan: &mut Plan, view: &View<'_>, number: i64) {
    let collisions = view.stateful_set.status.as_ref().and_then(|status| status.collision_count).unwrap_or_default();
    let revision = build(view, number, collisions);
    let taken = view.revisions.iter().any(|other| other.metadata.name == revision.metadata.name);
    if taken {
        let patch = json!({"status": {"collisionCount": collisions + 1}});
        let key = key(&view.stateful_set.metadata);
        plan.act(Action::Patch { resource: STATEFUL_SETS, key, subresource: "status", patch });
    } else {
        plan.act(Action::Create { resource: CONTROLLER_REVISIONS, body: to_json(&revision) });
    }
}

fn build(view: &View<'_>, number: i64, collisions: i32) -> ControllerRevision {
    let metadata = &view.stateful_set.metadata;
    let prefix: String = name(view.stateful_set).chars().take(PREFIX_MAX).collect();
    let owner = meta::controller_reference("apps/v1", "StatefulSet", metadata);
    controller_revision::build(metadata, owner, &view.stateful_set.spec.template, (&prefix, HASH), (number, collisions))
}

/// Deletes the oldest revisions beyond `spec.revisionHistoryLimit`, none that a pod was made from.
pub(super) fn clean_up(plan: &mut Plan, set: &Set<'_>) {
    let limit = usize::try_from(set.spec().revision_history_limit.unwrap_or(10)).unwrap_or(usize::MAX);
    let revisions = &set.revisions;
    let is_live = |revision: &ControllerRevision| {
        let name = revision.metadata.name.as_deref().unwrap_or_default();
        name == revisions.current.name
            || name == revisions.update.name
            || set.pods.values().any(|pod| identity::revision(pod) == Some(name))
    };
    let leaves = |revision: &ControllerRevision| revision.metadata.deletion_timestamp.is_some();
    let past: Vec<_> = revisions.history.iter().filter(|revision| !is_live(revision) && !leaves(revision)).collect();
    let surplus = past.len().saturating_sub(limit);
    let deletions = past.into_iter().take(surplus).map(|revision| {
        let uid = revision.metadata.uid.clone().unwrap_or_default();
        let key = key(&revision.metadata);
        let resource = CONTROLLER_REVISIONS;
        Act::from(Action::Delete { resource, key, uid, grace_seconds: None, foreground: false })
    });
    plan.step(Pace::Together, deletions.collect());
}
