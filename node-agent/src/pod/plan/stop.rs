//! How a pod ends: a signal, a grace period, a kill; sidecars after the containers they serve; then nothing is left.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Container;

use super::{Action, Plan, View};
use crate::pod::lifecycle::{GRACE_MIN, pre_stop};
use crate::pod::{init_containers, is_sidecar};
use crate::runtime::{ContainerState, ContainerStatus};

const DEFAULT_GRACE_SECONDS: i64 = 30;
/// A kill that shows no effect is repeated after this time.
const KILL_AGAIN: SignedDuration = SignedDuration::from_secs(2);

pub(super) fn plan(view: &View) -> Plan {
    let mut plan = Plan::default();
    let alive: Vec<&ContainerStatus> =
        view.sandbox.into_iter().flat_map(|sandbox| &sandbox.containers).filter(|record| is_alive(record)).collect();
    if alive.is_empty() {
        if !view.memory.torn_down {
            plan.actions.push(Action::TearDown);
        } else if view.pod.metadata.deletion_timestamp.is_some() && !view.gone {
            plan.actions.push(Action::DeleteObject);
        }
        return plan;
    }
    let (sidecars, others): (Vec<_>, Vec<_>) = alive.into_iter().partition(|record| is_sidecar_of(view, &record.name));
    let grace = grace(view);
    let next = if others.is_empty() { sidecars } else { others };
    for record in next {
        container(view, record, grace, &format!("Stopping container {}", record.name), &mut plan);
    }
    plan
}

/// Stops one container: signal now, kill when its grace is over.
pub(super) fn container(view: &View, record: &ContainerStatus, grace: SignedDuration, message: &str, plan: &mut Plan) {
    let id = record.id.clone();
    let kill = Action::Kill { id: id.clone() };
    match view.memory.stops.get(&record.id) {
        None => {
            let (name, message) = (record.name.clone(), message.to_owned());
            plan.actions.push(Action::Terminate { id, name, grace, message });
        }
        Some(stop) => {
            let due = match stop.killed_at {
                Some(killed) => killed + KILL_AGAIN,
                // Sidecars share the pod's grace period with the containers they served.
                None => {
                    let begun = view.memory.stopping_since.unwrap_or(stop.signalled_at);
                    later(later(begun, grace), after_hook(view, &record.name))
                }
            };
            if due <= view.now {
                plan.actions.push(kill);
            } else {
                plan.wake_at(due);
            }
        }
    }
}

/// A hook may use up the whole grace period; the container itself gets a moment more then.
fn after_hook(view: &View, name: &str) -> SignedDuration {
    let has_hook = crate::pod::container(view.pod, name).is_some_and(|container| pre_stop(container).is_some());
    if has_hook { SignedDuration::try_from(GRACE_MIN).unwrap_or_default() } else { SignedDuration::ZERO }
}

/// Grace periods come from users and may be beyond the end of time.
fn later(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

fn is_alive(record: &ContainerStatus) -> bool {
    match record.state {
        ContainerState::Running { .. } => true,
        ContainerState::Created | ContainerState::Exited(_) => false,
    }
}

fn is_sidecar_of(view: &View, name: &str) -> bool {
    init_containers(view.pod).iter().any(|container| container.name == name && is_sidecar(container))
}

/// How long the pod may take to stop. A pod that has vanished from the API still gets a second.
fn grace(view: &View) -> SignedDuration {
    let metadata = &view.pod.metadata;
    let asked = metadata.deletion_grace_period_seconds.filter(|_| metadata.deletion_timestamp.is_some());
    let own = view.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    SignedDuration::from_secs(asked.or(own).unwrap_or(DEFAULT_GRACE_SECONDS).max(1))
}

/// How long one container may take to stop when its liveness probe has failed.
pub(super) fn grace_of_container(view: &View, container: &Container) -> SignedDuration {
    let probe = container.liveness_probe.as_ref().and_then(|probe| probe.termination_grace_period_seconds);
    let own = view.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    SignedDuration::from_secs(probe.or(own).unwrap_or(DEFAULT_GRACE_SECONDS).max(1))
}
