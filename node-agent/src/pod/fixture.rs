//! Pods and sandboxes for the tables of this module's tests.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};

use super::memory::Memory;
use super::plan::View;
use crate::runtime::{ContainerState, ContainerStatus, Exit, SandboxSpec, SandboxState, SandboxStatus};

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + seconds)
}

/// A pod with these parts of its spec.
pub(crate) fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "u1", "generation": 1 }, "spec": spec
    }))
    .unwrap()
}

/// A pod of one container `a`.
pub(crate) fn single(policy: &str) -> Pod {
    pod(json!({ "restartPolicy": policy, "containers": [{ "name": "a", "image": "demo" }] }))
}

pub(crate) fn deleted(mut pod: Pod, grace: i64) -> Pod {
    pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(grace)));
    pod.metadata.deletion_grace_period_seconds = Some(grace);
    pod
}

pub(crate) fn running(name: &str, attempt: u32) -> ContainerStatus {
    record(name, attempt, ContainerState::Running { pid: 42, started_at: at(0) })
}

/// Ran from second 0 to `finished`.
pub(crate) fn exited(name: &str, attempt: u32, code: i32, finished: i64) -> ContainerStatus {
    let exit =
        Exit { code, signal: None, oom_killed: false, unknown: false, started_at: at(0), finished_at: at(finished) };
    record(name, attempt, ContainerState::Exited(exit))
}

pub(crate) fn record(name: &str, attempt: u32, state: ContainerState) -> ContainerStatus {
    ContainerStatus {
        id: format!("{name}-{attempt}"),
        pod_uid: "u1".to_owned(),
        name: name.to_owned(),
        attempt,
        image: "docker.io/library/demo:latest".to_owned(),
        image_id: "sha256:00".to_owned(),
        log_path: format!("/log/{name}/{attempt}.log").into(),
        labels: Default::default(),
        state,
    }
}

pub(crate) fn sandbox(containers: Vec<ContainerStatus>) -> SandboxStatus {
    SandboxStatus { spec: SandboxSpec::default(), state: SandboxState::Ready, created_at: at(0), containers }
}

pub(crate) fn lost(containers: Vec<ContainerStatus>) -> SandboxStatus {
    SandboxStatus { state: SandboxState::Lost, ..sandbox(containers) }
}

/// Everything a view borrows.
pub(crate) struct World {
    pub(crate) pod: Pod,
    pub(crate) gone: bool,
    pub(crate) sandbox: Option<SandboxStatus>,
    pub(crate) previous: PodStatus,
    pub(crate) memory: Memory,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn new(pod: Pod, sandbox: Option<SandboxStatus>) -> Self {
        Self { pod, gone: false, sandbox, previous: PodStatus::default(), memory: Memory::default(), now: at(10) }
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            pod: &self.pod,
            gone: self.gone,
            sandbox: self.sandbox.as_ref(),
            previous: &self.previous,
            memory: &self.memory,
            now: self.now,
            time_of_day: self.now,
        }
    }
}
