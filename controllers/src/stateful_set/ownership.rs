//! Which pods and revisions are a set's own.

use api::selector::LabelSelector;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::{View, identity, key, name};
use crate::caches::resources::CONTROLLER_REVISIONS;
use crate::meta;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Act, Action};
use crate::replica_set::{PodView, owner_references, owners_patch};

/// What is its own, and the patches that make or unmake others so.
#[derive(Default)]
pub(super) struct Own<'a> {
    pub(super) pods: Vec<PodView<'a>>,
    pub(super) revisions: Vec<&'a ControllerRevision>,
    pub(super) claims: Vec<Act>,
}

/// A pod belongs by its name and its labels; a set on its way out takes nothing in and lets nothing go.
pub(super) fn claim<'a>(view: &View<'a>, selector: &LabelSelector) -> Own<'a> {
    let metadata = &view.stateful_set.metadata;
    let uid = metadata.uid.as_deref().unwrap_or_default();
    let leaving = metadata.deletion_timestamp.is_some();
    let mut own = Own::default();
    for pod in view.pods {
        let header = pod.object.header();
        let named = identity::ordinal(name(view.stateful_set), &header.name).is_some();
        let matches = named && meta::selects(selector, header);
        match meta::controller_uid(pod.object) {
            Some(owner) if owner == uid && matches => own.pods.push(*pod),
            Some(owner) if owner == uid && !leaving => {
                let owners = owner_references(pod.object).into_iter();
                own.claims.push(owners_patch(pod, owners.filter(|owner| owner["uid"] != uid).collect()).into());
            }
            None if matches && !leaving && pod.digest.deletion.is_none() => {
                let mut owners = owner_references(pod.object);
                owners.push(to_json(&meta::controller_reference("apps/v1", "StatefulSet", metadata)));
                own.claims.push(owners_patch(pod, owners).into());
            }
            _ => {}
        }
    }
    for revision in view.revisions {
        let labels = revision.metadata.labels.clone().unwrap_or_default();
        match controller(&revision.metadata) {
            Some(owner) if owner == uid => own.revisions.push(revision),
            None if !leaving
                && meta::selects_labels(selector, &labels)
                && revision.metadata.deletion_timestamp.is_none() =>
            {
                own.claims.push(adopt_revision(revision, metadata));
            }
            _ => {}
        }
    }
    own
}

fn controller(metadata: &ObjectMeta) -> Option<&str> {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

fn adopt_revision(revision: &ControllerRevision, metadata: &ObjectMeta) -> Act {
    let mut owners = revision.metadata.owner_references.clone().unwrap_or_default();
    owners.push(meta::controller_reference("apps/v1", "StatefulSet", metadata));
    let patch = json!({"metadata": {"ownerReferences": owners}});
    let patch = meta::at_revision(patch, revision.metadata.resource_version.as_deref());
    Action::Patch { resource: CONTROLLER_REVISIONS, key: key(&revision.metadata), subresource: "", patch }.into()
}
