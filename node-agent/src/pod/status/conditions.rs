//! The conditions of a pod that its node decides. Conditions of others are left as they are.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Statuses;
use crate::pod::plan::View;
use crate::pod::{init_containers, is_sidecar};
use crate::runtime::SandboxState;

/// The conditions that the node decides.
pub(super) const OWN: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// A condition's truth, with reason and message when it is false.
struct Verdict {
    kind: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn holds(kind: &'static str) -> Self {
        Self { kind, holds: true, reason: None, message: None }
    }

    fn fails(kind: &'static str, reason: &'static str, message: Option<String>) -> Self {
        Self { kind, holds: false, reason: Some(reason), message }
    }

    fn done(kind: &'static str) -> Self {
        Self { kind, holds: true, reason: Some("PodCompleted"), message: None }
    }
}

pub(super) fn conditions(view: &View, statuses: &Statuses, phase: &str, now: Timestamp) -> Vec<PodCondition> {
    let containers_ready = containers_ready(statuses, phase);
    let ready = ready(view, &containers_ready, phase);
    let mut conditions = view.previous.conditions.clone().unwrap_or_default();
    let verdicts = [
        has_sandbox(view),
        initialized(view, statuses, phase),
        ready,
        containers_ready,
        Verdict::holds("PodScheduled"),
    ];
    for verdict in verdicts {
        apply(&mut conditions, verdict, view.pod.metadata.generation, now);
    }
    conditions
}

fn apply(conditions: &mut Vec<PodCondition>, verdict: Verdict, generation: Option<i64>, now: Timestamp) {
    let status = if verdict.holds { "True" } else { "False" };
    let at = conditions.iter().position(|condition| condition.type_ == verdict.kind);
    // The scheduler has said already that the pod is scheduled.
    if verdict.kind == "PodScheduled" && at.is_some_and(|at| conditions[at].status == "True") {
        return;
    }
    let since = at.map(|at| &conditions[at]).filter(|known| known.status == status);
    let since = since.and_then(|known| known.last_transition_time.clone()).unwrap_or(Time(now));
    let condition = PodCondition {
        last_probe_time: None,
        last_transition_time: Some(since),
        message: verdict.message,
        observed_generation: generation,
        reason: verdict.reason.map(str::to_owned),
        status: status.to_owned(),
        type_: verdict.kind.to_owned(),
    };
    match at {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

fn has_sandbox(view: &View) -> Verdict {
    let holds = view.sandbox.is_some_and(|sandbox| sandbox.state == SandboxState::Ready);
    Verdict { holds, ..Verdict::holds("PodReadyToStartContainers") }
}

fn initialized(view: &View, statuses: &Statuses, phase: &str) -> Verdict {
    if phase == "Succeeded" {
        return Verdict::done("Initialized");
    }
    let incomplete: Vec<&str> = init_containers(view.pod)
        .iter()
        .zip(&statuses.init)
        .filter(|(container, status)| match is_sidecar(container) {
            true => status.started != Some(true),
            false => !status.ready,
        })
        .map(|(container, _)| container.name.as_str())
        .collect();
    if incomplete.is_empty() {
        return Verdict::holds("Initialized");
    }
    let message = format!("containers with incomplete status: [{}]", incomplete.join(" "));
    Verdict::fails("Initialized", "ContainersNotInitialized", Some(message))
}

fn containers_ready(statuses: &Statuses, phase: &str) -> Verdict {
    match phase {
        "Succeeded" => return Verdict::fails("ContainersReady", "PodCompleted", None),
        "Failed" => return Verdict::fails("ContainersReady", "PodFailed", None),
        _ => {}
    }
    // A running init container that reports readiness is a sidecar.
    let sidecars = statuses.init.iter().filter(|status| status.state.as_ref().is_some_and(|s| s.running.is_some()));
    let relevant = statuses.regular.iter().chain(sidecars.filter(|status| status.started == Some(true)));
    let unready: Vec<&str> =
        relevant.filter(|status: &&ContainerStatus| !status.ready).map(|status| status.name.as_str()).collect();
    if unready.is_empty() {
        return Verdict::holds("ContainersReady");
    }
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    Verdict::fails("ContainersReady", "ContainersNotReady", Some(message))
}

fn ready(view: &View, containers: &Verdict, phase: &str) -> Verdict {
    if !containers.holds {
        let Verdict { holds, reason, message, .. } = containers;
        return Verdict { kind: "Ready", holds: *holds, reason: *reason, message: message.clone() };
    }
    let known = view.previous.conditions.as_deref().unwrap_or_default();
    let gates = view.pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
    let api_known = view.pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let closed: Vec<String> = gates
        .iter()
        .filter(|gate| {
            let open = |c: &PodCondition| c.type_ == gate.condition_type && c.status == "True";
            !known.iter().chain(api_known).any(open)
        })
        .map(|gate| {
            format!("corresponding condition of pod readiness gate \"{}\" does not exist.", gate.condition_type)
        })
        .collect();
    let is_deleted = phase == "Running" && view.gone;
    if closed.is_empty() && !is_deleted {
        return Verdict::holds("Ready");
    }
    Verdict::fails("Ready", "ReadinessGatesNotReady", Some(closed.join(", ")))
}
