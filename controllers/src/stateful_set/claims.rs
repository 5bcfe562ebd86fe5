//! The storage of a set's pods: a claim of each template for each ordinal, which stays unless its retention policy says
//! otherwise.

use k8s_openapi::api::apps::v1::StatefulSetSpec;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;

use super::{Set, identity, key, name};
use crate::caches::resources::PERSISTENT_VOLUME_CLAIMS;
use crate::meta;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Act, Action, normal, warning};
use crate::replica_set::PodView;

/// What becomes of a pod that is scaled away, or stays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    IsCondemned,
}

fn templates(spec: &StatefulSetSpec) -> impl Iterator<Item = &PersistentVolumeClaim> {
    spec.volume_claim_templates.iter().flatten()
}

fn claim_name(template: &PersistentVolumeClaim, pod: &str) -> String {
    format!("{}-{pod}", template.metadata.name.as_deref().unwrap_or_default())
}

/// Whether a claim has a name as those of the pods of a set.
pub(super) fn may_belong(claim: &str, set: &str) -> bool {
    let ends_so = |(before, _): (&str, &str)| before.strip_suffix(set).is_some_and(|before| before.ends_with('-'));
    claim.rsplit_once('-').is_some_and(ends_so)
}

/// The volumes of a pod: a template's volume is replaced by the claim of the same name.
pub(super) fn volumes(spec: &StatefulSetSpec, pod: &str, volumes: Option<Vec<Volume>>) -> Option<Vec<Volume>> {
    let claimed = templates(spec).map(|template| Volume {
        name: template.metadata.name.clone().unwrap_or_default(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(template, pod),
            read_only: None,
        }),
        ..Volume::default()
    });
    let mut all: Vec<Volume> = claimed.collect();
    let others = volumes.into_iter().flatten().filter(|volume| all.iter().all(|claimed| claimed.name != volume.name));
    let others: Vec<Volume> = others.collect();
    all.extend(others);
    (!all.is_empty()).then_some(all)
}

fn find<'a>(set: &Set<'a>, name: &str) -> Option<&'a PersistentVolumeClaim> {
    set.view.claims.iter().find(|claim| claim.metadata.name.as_deref() == Some(name))
}

/// Creates those of a pod's claims that are not there.
pub(super) fn missing(set: &Set<'_>, pod: &str) -> Vec<Act> {
    let absent = templates(set.spec()).filter(|template| find(set, &claim_name(template, pod)).is_none());
    absent.map(|template| create(set, template, pod)).collect()
}

/// Whether a new pod has to wait: a claim leaves, or leaves with an earlier pod of the name.
pub(super) fn hinder(set: &Set<'_>, pod: &str) -> bool {
    let deletes = when_scaled(set) == "Delete";
    templates(set.spec()).filter_map(|template| find(set, &claim_name(template, pod))).any(|claim| {
        let mut owners = claim.metadata.owner_references.iter().flatten();
        let leaves_with_it = owners.any(|owner| owner.kind == "Pod" && owner.name == pod);
        claim.metadata.deletion_timestamp.is_some() || (deletes && leaves_with_it)
    })
}

fn when_scaled<'a>(set: &Set<'a>) -> &'a str {
    let policy = set.spec().persistent_volume_claim_retention_policy.as_ref();
    policy.and_then(|policy| policy.when_scaled.as_deref()).unwrap_or("Retain")
}

fn when_deleted<'a>(set: &Set<'a>) -> &'a str {
    let policy = set.spec().persistent_volume_claim_retention_policy.as_ref();
    policy.and_then(|policy| policy.when_deleted.as_deref()).unwrap_or("Retain")
}

fn create(set: &Set<'_>, template: &PersistentVolumeClaim, pod: &str) -> Act {
    let mut labels = template.metadata.labels.clone().unwrap_or_default();
    labels.extend(set.spec().selector.match_labels.clone().unwrap_or_default());
    let chosen = claim_name(template, pod);
    let owners: Vec<OwnerReference> = set_owns(set).into_iter().collect();
    let claim = PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(chosen.clone()),
            namespace: set.metadata().namespace.clone(),
            labels: (!labels.is_empty()).then_some(labels),
            annotations: template.metadata.annotations.clone(),
            owner_references: (!owners.is_empty()).then_some(owners),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    };
    let about = identity::about(set.view.stateful_set);
    let set_name = name(set.view.stateful_set);
    let done = format!("create Claim {chosen} Pod {pod} in StatefulSet {set_name} success");
    let failed = format!("create Claim {chosen} for Pod {pod} in StatefulSet {set_name} failed error: ");
    Act::from(Action::Create { resource: PERSISTENT_VOLUME_CLAIMS, body: to_json(&claim) })
        .say(normal(&about, "SuccessfulCreate", done))
        .complain(warning(&about, "FailedCreate", failed))
}

fn set_owns(set: &Set<'_>) -> Option<OwnerReference> {
    let owns = when_deleted(set) == "Delete";
    owns.then(|| meta::controller_reference("apps/v1", "StatefulSet", set.metadata()))
}

/// Who takes a claim along: a pod that is scaled away, the set, or nobody.
fn owner(set: &Set<'_>, pod: &PodView<'_>, fate: Fate) -> Option<OwnerReference> {
    if fate == Fate::Stays || when_scaled(set) != "Delete" {
        return set_owns(set);
    }
    let header = pod.object.header();
    let metadata =
        ObjectMeta { name: Some(header.name.to_string()), uid: Some(header.uid.to_string()), ..ObjectMeta::default() };
    Some(meta::controller_reference("v1", "Pod", &metadata))
}

/// Makes the owners of a pod's claims what the retention policy wants.
pub(super) fn settle_owners(set: &Set<'_>, pod: &PodView<'_>, fate: Fate) -> Vec<Act> {
    let claims =
        templates(set.spec()).filter_map(|template| find(set, &claim_name(template, &pod.object.header().name)));
    claims.filter_map(|claim| settle_owner(set, claim, pod, fate)).collect()
}

fn settle_owner(set: &Set<'_>, claim: &PersistentVolumeClaim, pod: &PodView<'_>, fate: Fate) -> Option<Act> {
    let header = pod.object.header();
    let (uid, set_name) = (set.metadata().uid.as_deref().unwrap_or_default(), name(set.view.stateful_set));
    let is_ours = |owner: &&OwnerReference| {
        (owner.kind == "StatefulSet" && owner.name == set_name) || (owner.kind == "Pod" && owner.name == *header.name)
    };
    let owners = claim.metadata.owner_references.clone().unwrap_or_default();
    let (ours, others): (Vec<_>, Vec<_>) = owners.iter().partition(is_ours);
    // Of an earlier set or pod: it goes with that.
    if ours.iter().any(|owner| owner.uid != uid && owner.uid != *header.uid) {
        return None;
    }
    let has_another = others.iter().any(|owner| owner.controller == Some(true));
    let wanted: Vec<OwnerReference> = owner(set, pod, fate).filter(|_| !has_another).into_iter().collect();
    if ours.into_iter().eq(&wanted) {
        return None;
    }
    let owners: Vec<&OwnerReference> = others.into_iter().chain(&wanted).collect();
    let patch = json!({"metadata": {"ownerReferences": owners}});
    let patch = meta::at_revision(patch, claim.metadata.resource_version.as_deref());
    let (resource, key) = (PERSISTENT_VOLUME_CLAIMS, key(&claim.metadata));
    Some(Action::Patch { resource, key, subresource: "", patch }.into())
}

#[cfg(test)]
mod tests {
    use super::may_belong;

    #[test]
    fn claims_are_told_by_their_names() {
        for (claim, set, expect) in [
            ("data-web-0", "web", true),
            ("more-data-web-12", "web", true),
            ("data-web-0", "eb", false),
            ("web-0", "web", false),
            ("data-web", "web", false),
            ("data", "web", false),
        ] {
            assert_eq!(may_belong(claim, set), expect, "{claim} {set}");
        }
    }
}
