//! What controllers of workloads do to pods: take in, let go, create, delete; with upstream's words for it.

use api::selector::LabelSelector;
use api::stored::StoredObject;
use client::{Key, Resource};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::caches::resources::PODS;
use crate::meta;
use crate::plan::merge_diff::json as to_json;
use crate::plan::{Act, Action, normal, warning};
use crate::replica_set::{PodView, owner_references};

/// The object whose pods they are.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) metadata: &'a ObjectMeta,
}

/// What becomes of a pod that an owner might have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is the owner's.
    Owned,
    /// It is nobody's and fits: the owner takes it in.
    Adopt,
    /// It is the owner's and fits no longer: the owner lets it go.
    Release,
    /// It is none of the owner's business.
    Foreign,
}

impl Owner<'_> {
    /// Its key.
    pub(crate) fn key(&self) -> Key {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Key::new(text(&self.metadata.namespace), text(&self.metadata.name))
    }

    /// What Events about it refer to.
    pub(crate) fn about(&self) -> ObjectReference {
        meta::reference(self.api_version, self.kind, self.metadata)
    }

    /// Whose a pod is, and whose it should be. Nobody on the way out takes in or lets go.
    pub(crate) fn claim(&self, selector: &LabelSelector, pod: &StoredObject) -> Claim {
        let leaving = self.metadata.deletion_timestamp.is_some();
        let matches = meta::selects(selector, pod.header());
        match meta::controller_uid(pod) {
            Some(uid) if Some(uid) == self.metadata.uid.as_deref() => match (matches, leaving) {
                (true, _) => Claim::Owned,
                (false, false) => Claim::Release,
                (false, true) => Claim::Foreign,
            },
            None if matches && !leaving && !pod.header().deleting => Claim::Adopt,
            _ => Claim::Foreign,
        }
    }

    /// The owners of a pod once it is taken in.
    pub(crate) fn with_us(&self, pod: &StoredObject) -> Vec<Value> {
        let mut owners = owner_references(pod);
        owners.push(to_json(&meta::controller_reference(self.api_version, self.kind, self.metadata)));
        owners
    }

    /// The owners of a pod once it is let go.
    pub(crate) fn without_us(&self, pod: &StoredObject) -> Vec<Value> {
        let ours = self.metadata.uid.as_deref().unwrap_or_default();
        owner_references(pod).into_iter().filter(|owner| owner["uid"] != ours).collect()
    }

    /// A pod of a template.
    pub(crate) fn pod(&self, template: PodTemplateSpec, base: String, name: String) -> Pod {
        let shape = template.metadata.unwrap_or_default();
        Pod {
            metadata: ObjectMeta {
                name: Some(name),
                generate_name: Some(base),
                namespace: self.metadata.namespace.clone(),
                labels: shape.labels,
                annotations: shape.annotations,
                finalizers: shape.finalizers,
                owner_references: Some(vec![meta::controller_reference(self.api_version, self.kind, self.metadata)]),
                ..ObjectMeta::default()
            },
            spec: template.spec,
            status: None,
        }
    }

    /// Creates a pod, and says so.
    pub(crate) fn create(&self, pod: &Pod) -> Act {
        let about = self.about();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        Act::from(Action::Create { resource: PODS, body: to_json(pod) })
            .say(normal(&about, "SuccessfulCreate", format!("Created pod: {name}")))
            .complain(warning(&about, "FailedCreate", "Error creating: "))
    }

    /// Deletes a pod, and says so.
    pub(crate) fn delete(&self, pod: &PodView<'_>) -> Act {
        let (about, header) = (self.about(), pod.object.header());
        let (key, uid) = (Key::of(pod.object), header.uid.to_string());
        Act::from(Action::Delete { resource: PODS, key, uid, grace_seconds: None, foreground: false })
            .say(normal(&about, "SuccessfulDelete", format!("Deleted pod: {}", header.name)))
            .complain(warning(&about, "FailedDelete", "Error deleting: "))
    }
}

/// Changes the metadata of a pod on the condition that it is still as it was seen.
pub(crate) fn patch_metadata(pod: &StoredObject, metadata: Value) -> Action {
    patch_metadata_of(PODS, pod, metadata)
}

/// The same for another object.
pub(crate) fn patch_metadata_of(resource: Resource, object: &StoredObject, mut metadata: Value) -> Action {
    metadata["uid"] = (&*object.header().uid).into();
    let revision = object.revision().to_string();
    let patch = meta::at_revision(json!({ "metadata": metadata }), Some(&revision));
    Action::Patch { resource, key: Key::of(object), subresource: "", patch }
}
