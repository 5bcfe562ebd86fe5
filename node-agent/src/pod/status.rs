//! What to say about a pod: phase, conditions, container statuses. Pure.

mod conditions;
mod containers;

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, PodCondition, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, Value};

use super::plan::{Plan, View, is_finished, is_stopping, should_restart, should_restart_init};
use super::resources::{qos_class, qos_name};
use super::{init_containers, is_host_network, is_sidecar};
use crate::runtime::SandboxState;

/// What the status needs beside the plan's view.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// The node's address.
    pub(crate) host_ip: IpAddr,
    /// The pod's own addresses, while it has some.
    pub(crate) pod_ips: Vec<IpAddr>,
}

/// The status of the pod in `view`, whose plan is `plan`.
pub(crate) fn status(view: &View, plan: &Plan, around: &Surroundings) -> PodStatus {
    let now = seconds(view.time_of_day);
    let mut status = view.previous.clone();
    status.observed_generation = view.pod.metadata.generation;
    status.start_time.get_or_insert(Time(now));
    status.qos_class = Some(qos_name(qos_class(view.pod)).to_owned());
    addresses(view, around, &mut status);
    // A finished pod keeps its last word; what the runtime forgets of it changes nothing.
    if is_finished(view) {
        return status;
    }
    let statuses = containers::statuses(view, plan);
    let phase = phase(view, &statuses);
    if let Some((reason, message)) = plan.fail.as_ref().or(view.memory.failed.as_ref()) {
        status.reason = Some(reason.clone());
        status.message = Some(message.clone());
    }
    status.conditions = Some(conditions::conditions(view, &statuses, phase, now));
    status.phase = Some(phase.to_owned());
    status.container_statuses = Some(statuses.regular);
    status.init_container_statuses = Some(statuses.init).filter(|statuses| !statuses.is_empty());
    status
}

/// The statuses of all containers, in the order of the spec.
pub(crate) struct Statuses {
    pub(crate) init: Vec<ContainerStatus>,
    pub(crate) regular: Vec<ContainerStatus>,
}

/// Kubernetes' times in objects are whole seconds.
pub(crate) fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn addresses(view: &View, around: &Surroundings, status: &mut PodStatus) {
    let host_ip = around.host_ip.to_string();
    status.host_ips = Some(vec![HostIP { ip: host_ip.clone() }]);
    status.host_ip = Some(host_ip.clone());
    let has_sandbox = view.sandbox.is_some_and(|sandbox| sandbox.state == SandboxState::Ready);
    let ips = match is_host_network(view.pod) {
        true if has_sandbox => vec![host_ip],
        true => Vec::new(),
        false => around.pod_ips.iter().map(ToString::to_string).collect(),
    };
    if let Some(first) = ips.first() {
        status.pod_ip = Some(first.clone());
        status.pod_ips = Some(ips.into_iter().map(|ip| PodIP { ip }).collect());
    }
}

/// Whether the pod has ended for good and everything of it has stopped.
fn is_terminal(view: &View) -> bool {
    let anything_alive = view.sandbox.is_some_and(|sandbox| {
        sandbox.state == SandboxState::Ready && sandbox.containers.iter().any(containers::is_running)
    });
    is_stopping(view) && !anything_alive
}

fn phase(view: &View, statuses: &Statuses) -> &'static str {
    let terminal = is_terminal(view);
    let init_failed = init_containers(view.pod).iter().zip(&statuses.init).any(|(container, status)| {
        let code = exit_code(status);
        !is_sidecar(container) && code.is_some_and(|code| code != 0 && !should_restart_init(view.pod, container, code))
    });
    if view.memory.failed.is_some() && terminal || init_failed {
        return "Failed";
    }
    let init_pending = init_containers(view.pod)
        .iter()
        .zip(&statuses.init)
        .any(|(container, status)| !is_sidecar(container) && exit_code(status) != Some(0));
    let mut waiting = 0;
    let mut running = 0;
    let mut for_good = 0;
    let mut succeeded = 0;
    for (container, status) in super::containers(view.pod).iter().zip(&statuses.regular) {
        let state = status.state.as_ref();
        if state.is_some_and(|state| state.running.is_some()) {
            running += 1;
        } else if let Some(code) = exit_code(status) {
            let stays = terminal || !should_restart(view.pod, container, code);
            for_good += i32::from(stays);
            succeeded += i32::from(stays && code == 0);
        } else {
            waiting += 1;
        }
    }
    let total = i32::try_from(statuses.regular.len()).unwrap_or(i32::MAX);
    if terminal {
        return if succeeded == total && waiting == 0 { "Succeeded" } else { "Failed" };
    }
    if waiting > 0 || (init_pending && running == 0) {
        return "Pending";
    }
    match for_good == total {
        true if succeeded == total => "Succeeded",
        true => "Failed",
        false => "Running",
    }
}

/// The exit code of a container that has ended, now or before it waits for its next start.
fn exit_code(status: &ContainerStatus) -> Option<i32> {
    let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().and_then(|state| state.terminated.as_ref()).map(|terminated| terminated.exit_code)
    };
    ended(&status.state).or_else(|| match status.state.as_ref().and_then(|state| state.running.as_ref()) {
        Some(_) => None,
        None => ended(&status.last_state),
    })
}

/// The parts of a pod's status that its node decides. Others write into the rest.
const OWN_KEYS: [&str; 13] = [
    "conditions",
    "containerStatuses",
    "hostIP",
    "hostIPs",
    "initContainerStatuses",
    "message",
    "observedGeneration",
    "phase",
    "podIP",
    "podIPs",
    "qosClass",
    "reason",
    "startTime",
];

/// Takes over what others have said about the pod: every condition that is not the node's own.
pub(crate) fn adopt_foreign(own: &mut PodStatus, api: &PodStatus) {
    let is_foreign = |condition: &PodCondition| !conditions::OWN.contains(&condition.type_.as_str());
    let mut merged: Vec<PodCondition> =
        own.conditions.iter().flatten().filter(|condition| !is_foreign(condition)).cloned().collect();
    merged.extend(api.conditions.iter().flatten().filter(|condition| is_foreign(condition)).cloned());
    own.conditions = Some(merged).filter(|conditions| !conditions.is_empty());
}

/// The body of a strategic merge patch that brings `old` to `new`, or `None` when they are equal. The uid makes the
/// server refuse it for another pod of the same name.
pub(crate) fn patch(uid: &str, old: &PodStatus, new: &PodStatus) -> Option<Value> {
    let (Ok(Value::Object(old)), Ok(Value::Object(new))) = (serde_json::to_value(old), serde_json::to_value(new))
    else {
        return None;
    };
    let mut changed = Map::new();
    for key in OWN_KEYS {
        match (old.get(key), new.get(key)) {
            (before, Some(after)) if before != Some(after) => changed.insert(key.to_owned(), after.clone()),
            (Some(_), None) => changed.insert(key.to_owned(), Value::Null),
            _ => None,
        };
    }
    if changed.is_empty() {
        return None;
    }
    Some(serde_json::json!({ "metadata": { "uid": uid }, "status": changed }))
}

#[cfg(test)]
mod tests;
