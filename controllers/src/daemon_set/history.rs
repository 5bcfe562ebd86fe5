//! The templates that a DaemonSet has had, as ControllerRevisions.

use api::stored::StoredObject;
use client::Key;
use k8s_openapi::api::apps::v1::ControllerRevision;
use serde_json::json;

use super::facts::Facts;
use super::pods::REVISION_HASH;
use super::{View, owner};
use crate::caches::resources::{CONTROLLER_REVISIONS, DAEMON_SETS};
use crate::caches::{Cached, decode};
use crate::controller_revision::{self, normal, template};
use crate::meta;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Act, Action, Pace, Plan};

/// A revision: header and bytes, and the typed form.
pub struct Revision<'a> {
    /// Header and bytes.
    pub object: &'a StoredObject,
    /// The typed form.
    pub typed: ControllerRevision,
}

impl<'a> Revision<'a> {
    /// The revision of a cache entry.
    pub(super) fn of(entry: &'a Cached) -> Option<Self> {
        Some(Self { object: &entry.object, typed: decode(&CONTROLLER_REVISIONS, entry)? })
    }

    fn number(&self) -> i64 {
        self.typed.revision.unwrap_or_default()
    }

    fn hash(&self) -> &str {
        self.object.header().label(REVISION_HASH).unwrap_or_default()
    }
}

/// Its own revisions, oldest first, and the one of the present template.
pub(super) struct History<'a> {
    all: Vec<&'a Revision<'a>>,
    present: &'a Revision<'a>,
}

/// Finds the revision of the template. If it is not there or not the newest, plans that it is, and nothing else.
pub(super) fn settle<'a>(plan: &mut Plan, view: &View<'a>, mut all: Vec<&'a Revision<'a>>) -> Option<History<'a>> {
    all.sort_by_key(|revision| (revision.number(), &*revision.object.header().name));
    let newest = all.last().map_or(0, |last| last.number());
    let wanted = normal(view.daemon_set.spec.template.clone());
    let Some(present) = all.iter().rev().copied().find(|revision| template(&revision.typed).as_ref() == Some(&wanted))
    else {
        create(plan, view, newest + 1);
        return None;
    };
    if present.number() < newest {
        let patch = json!({"revision": newest + 1});
        let patch = meta::at_revision(patch, Some(&present.object.revision().to_string()));
        let key = Key::of(present.object);
        plan.act(Action::Patch { resource: CONTROLLER_REVISIONS, key, subresource: "", patch });
        return None;
    }
    Some(History { all, present })
}

/// Creates the revision of the template, or counts that its name is taken: the next try gets another name.
fn create(plan: &mut Plan, view: &View<'_>, number: i64) {
    let (owner, status) = (owner(view.daemon_set), view.daemon_set.status.as_ref());
    let collisions = status.and_then(|status| status.collision_count).unwrap_or_default();
    let reference = meta::controller_reference(owner.api_version, owner.kind, owner.metadata);
    let (pods, named) = (&view.daemon_set.spec.template, (&*owner.key().name, REVISION_HASH));
    let revision = controller_revision::build(owner.metadata, reference, pods, named, (number, collisions));
    let name = revision.metadata.name.as_deref().unwrap_or_default();
    if view.revisions.iter().any(|other| *other.object.header().name == *name) {
        let patch = json!({"status": {"collisionCount": collisions + 1}});
        let metadata = &view.daemon_set.metadata;
        let patch = meta::at_revision(patch, metadata.resource_version.as_deref());
        plan.act(Action::Patch { resource: DAEMON_SETS, key: owner.key(), subresource: "status", patch });
        return;
    }
    plan.act(Action::Create { resource: CONTROLLER_REVISIONS, body: to_json(&revision) });
}

impl History<'_> {
    /// Tells the pods of the present template.
    pub(super) fn hash(&self) -> String {
        self.present.hash().to_owned()
    }

    /// Deletes the oldest revisions beyond `spec.revisionHistoryLimit`, none that a pod is of.
    pub(super) fn clean_up(&self, plan: &mut Plan, facts: &Facts<'_>) {
        let limit = facts.daemon_set.spec.revision_history_limit.unwrap_or(10);
        let limit = usize::try_from(limit).unwrap_or(0);
        let is_live = |revision: &Revision<'_>| facts.pods.values().flatten().any(|pod| pod.is_of(revision.hash()));
        let present = &self.present.object.header().uid;
        let old: Vec<_> = self.all.iter().filter(|revision| revision.object.header().uid != *present).collect();
        let surplus = old.len().saturating_sub(limit);
        let leaving = |revision: &Revision<'_>| revision.object.header().deleting;
        let going = old.into_iter().filter(|revision| !is_live(revision) && !leaving(revision)).take(surplus);
        let deletions = going.map(|revision| {
            Act::from(Action::Delete {
                resource: CONTROLLER_REVISIONS,
                key: Key::of(revision.object),
                uid: revision.object.header().uid.to_string(),
                grace_seconds: None,
                foreground: false,
            })
        });
        plan.step(Pace::Together, deletions.collect());
    }
}
