//! The way of a pod's status into the API, and the end of its object.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};

use crate::pod::status;

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    /// The API has the status, or has no such pod any more.
    Accepted,
    /// It could not be delivered.
    Refused,
}

/// Remembers what the API knows, so that only changes travel.
#[derive(Default)]
pub(super) struct Reporter {
    target: Option<Target>,
    acknowledged: PodStatus,
    /// The revision at which the API had that status.
    revision: u64,
}

struct Target {
    pods: Api<Pod>,
    namespace: String,
    name: String,
    uid: String,
}

impl Reporter {
    pub(super) fn new(client: &kube::Client, pod: &Pod, acknowledged: PodStatus) -> Self {
        let namespace = crate::pod::namespace(pod).to_owned();
        let target = Target {
            pods: Api::namespaced(client.clone(), &namespace),
            namespace,
            name: crate::pod::name(pod).to_owned(),
            uid: crate::pod::uid(pod).to_owned(),
        };
        Self { target: Some(target), acknowledged, revision: revision(pod) }
    }

    /// Takes note of an object the watch has brought. When it is newer than the last answer, someone else has written:
    /// what it says counts, so that a wrong word of another (a node taken for dead) is corrected.
    pub(super) fn seen(&mut self, pod: &Pod) -> bool {
        let revision = revision(pod);
        let is_newer = revision > self.revision;
        if is_newer {
            self.revision = revision;
            self.acknowledged = pod.status.clone().unwrap_or_default();
        }
        is_newer
    }

    pub(super) fn name(&self) -> &str {
        self.target.as_ref().map_or("", |target| &target.name)
    }

    pub(super) fn namespace(&self) -> &str {
        self.target.as_ref().map_or("", |target| &target.namespace)
    }

    /// Sends what is new in `status`.
    pub(super) async fn report(&mut self, status: &PodStatus, gone: bool) -> Reported {
        let Some(target) = self.target.as_ref().filter(|_| !gone) else { return Reported::Accepted };
        let Some(patch) = status::patch(&target.uid, &self.acknowledged, status) else { return Reported::Accepted };
        let answer = target.pods.patch_status(&target.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        match answer {
            Ok(pod) => {
                self.acknowledged = status.clone();
                self.revision = self.revision.max(revision(&pod));
                Reported::Accepted
            }
            // Nobody wants the status any more.
            Err(kube::Error::Api(answer)) if answer.code == 404 => Reported::Accepted,
            Err(error) => {
                tracing::warn!(%error, pod = target.name, namespace = target.namespace, "cannot report a pod's status");
                Reported::Refused
            }
        }
    }

    /// Removes the object; returns whether it is gone.
    pub(super) async fn delete_object(&self) -> bool {
        let Some(target) = &self.target else { return true };
        let only_this = Preconditions { uid: Some(target.uid.clone()), resource_version: None };
        let parameters = DeleteParams::default().grace_period(0).preconditions(only_this);
        match target.pods.delete(&target.name, &parameters).await {
            Ok(_) => true,
            Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => true,
            Err(error) => {
                tracing::warn!(%error, pod = target.name, namespace = target.namespace, "cannot remove a pod's object");
                false
            }
        }
    }
}

fn revision(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or(0)
}
