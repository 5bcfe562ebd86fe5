//! What a Job's controller sees of a pod.

use client::Key;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::labels::{COMPLETION_INDEX, INDEX_FAILURE_COUNT, INDEX_IGNORED_FAILURE_COUNT, TRACKING};
use crate::caches::Cached;
use crate::pod_digest::{Phase, condition};
use crate::replica_set::{PodView, views};

/// A pod: its digest, and the parts of it that the digest does not keep.
pub struct JobPod<'a> {
    /// Header and digest.
    pub view: PodView<'a>,
    /// Annotations and finalizers are in here.
    pub metadata: ObjectMeta,
    /// Exit codes, conditions and times are in here.
    pub status: PodStatus,
}

/// The parts of a pod that are read; the specification, which is most of it, is passed over.
#[derive(Deserialize)]
struct Parts {
    metadata: ObjectMeta,
    #[serde(default)]
    status: PodStatus,
}

/// The pods of cached entries.
pub(super) fn decode(entries: &[Cached]) -> Vec<JobPod<'_>> {
    let pod = |view: PodView<'_>| match client::cache::decode::<Parts>(view.object) {
        Ok(Parts { metadata, status }) => Some((metadata, status)),
        Err(error) => {
            tracing::error!(name = %Key::of(view.object), %error, "a pod could not be read");
            None
        }
    };
    let views = views(entries).into_iter();
    views.filter_map(|view| pod(view).map(|(metadata, status)| JobPod { view, metadata, status })).collect()
}

impl JobPod<'_> {
    pub(super) fn uid(&self) -> &str {
        &self.view.object.header().uid
    }

    pub(super) fn is_active(&self) -> bool {
        self.view.digest.is_active()
    }

    pub(super) fn has_succeeded(&self) -> bool {
        self.view.digest.phase == Phase::Succeeded
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.view.digest.deletion.is_some()
    }

    /// On its way out and not finished yet.
    pub(super) fn is_terminating(&self) -> bool {
        self.is_leaving() && !self.view.digest.is_finished()
    }

    /// A pod on its way out counts as failed, since it may never come to say so. Where replacements wait for its end, it
    /// counts once nobody looks after its end any longer: it was never on a node, or its node is gone.
    pub(super) fn has_failed(&self, job: &Job) -> bool {
        let given_up = self.metadata.deletion_grace_period_seconds == Some(0);
        match self.view.digest.phase {
            Phase::Failed => true,
            Phase::Succeeded => false,
            Phase::Pending | Phase::Running | Phase::Unknown => {
                self.is_leaving() && (given_up || !replaces_only_failed(job))
            }
        }
    }

    /// Whether it is still to be counted: the finalizer keeps it until it is.
    pub(super) fn is_tracked(&self) -> bool {
        self.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING)
    }

    /// Its finalizers without the one that tracks it.
    pub(super) fn other_finalizers(&self) -> Vec<&str> {
        let finalizers = self.metadata.finalizers.iter().flatten().map(String::as_str);
        finalizers.filter(|finalizer| *finalizer != TRACKING).collect()
    }

    /// The index that it completes.
    pub(super) fn index(&self) -> Option<i32> {
        self.number(COMPLETION_INDEX)
    }

    /// How often its index had failed before.
    pub(super) fn failures_of_index(&self) -> i32 {
        self.number(INDEX_FAILURE_COUNT).unwrap_or(0)
    }

    /// How often its index had failed before in ways that do not count.
    pub(super) fn ignored_failures_of_index(&self) -> i32 {
        self.number(INDEX_IGNORED_FAILURE_COUNT).unwrap_or(0)
    }

    fn number(&self, annotation: &str) -> Option<i32> {
        let text = self.metadata.annotations.as_ref()?.get(annotation)?;
        text.parse().ok().filter(|number| *number >= 0)
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.status.container_statuses.iter().flatten()
    }

    pub(super) fn init_containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.status.init_container_statuses.iter().flatten()
    }

    /// When it ended: by its last container; else since when it is not ready, when it was deleted, or created.
    pub(super) fn finished_at(&self) -> Timestamp {
        let ends = self.containers().map(|container| {
            let terminated = container.state.as_ref().and_then(|state| state.terminated.as_ref());
            terminated.and_then(|terminated| terminated.finished_at.as_ref()).map(|time| time.0)
        });
        let last = ends.collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().max());
        let unready = condition(&self.status, "Ready").filter(|ready| ready.status == "False");
        let unready = unready.and_then(|ready| ready.last_transition_time.as_ref()).map(|time| time.0);
        let grace = SignedDuration::from_secs(self.metadata.deletion_grace_period_seconds.unwrap_or(0));
        let deleted = self.view.digest.deletion.and_then(|deletion| deletion.checked_sub(grace).ok());
        last.or(unready).or(deleted).or(self.view.digest.created).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// Whether a pod is replaced only once it has ended.
pub(super) fn replaces_only_failed(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.pod_replacement_policy.as_deref()) == Some("Failed")
}
