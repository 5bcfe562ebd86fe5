//! The status of each container: from its latest record, from the plan while it waits, from the last report otherwise.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState as State, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus as Status,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Statuses, seconds};
use crate::pod::plan::{Plan, View, is_stopping};
use crate::pod::runs::{self, Run};
use crate::pod::{init_containers, is_sidecar};
use crate::runtime::{ContainerState, ContainerStatus, Exit};

pub(super) fn statuses(view: &View, plan: &Plan) -> Statuses {
    let init = init_containers(view.pod);
    let of = |container: &Container, is_init: bool| status(view, plan, container, is_init);
    Statuses {
        init: init.iter().map(|container| of(container, true)).collect(),
        regular: super::super::containers(view.pod).iter().map(|container| of(container, false)).collect(),
    }
}

pub(super) fn is_running(record: &ContainerStatus) -> bool {
    matches!(record.state, ContainerState::Running { .. })
}

fn status(view: &View, plan: &Plan, container: &Container, is_init: bool) -> Status {
    let name = &container.name;
    let reported = runs::reported(view.previous, name);
    let mut status = reported.cloned().unwrap_or_else(|| Status {
        name: name.clone(),
        image: container.image.clone().unwrap_or_default(),
        ..Status::default()
    });
    let latest = runs::records(view.sandbox, name).max_by_key(|record| record.attempt);
    status.restart_count = i32::try_from(runs::restart_count(view.sandbox, view.previous, name)).unwrap_or(i32::MAX);
    status.ready = false;
    status.started = Some(false);
    match latest.map(|record| (record, &record.state)) {
        Some((record, ContainerState::Running { started_at, .. })) => {
            identity(record, &mut status);
            status.last_state = previous_end(view, name, record.attempt).or(status.last_state);
            status.state = Some(running(*started_at));
            readiness(view, container, record, is_init, &mut status);
        }
        Some((record, ContainerState::Exited(exit))) => {
            identity(record, &mut status);
            let ended = terminated(view, record, exit);
            status.ready = is_init && !is_sidecar(container) && exit.code == 0;
            match plan.waiting.get(name) {
                Some(why) => {
                    status.last_state = Some(ended);
                    status.state = Some(waiting(&why.reason, &why.message));
                }
                None => {
                    status.last_state = previous_end(view, name, record.attempt).or(status.last_state);
                    status.state = Some(ended);
                }
            }
        }
        Some((_, ContainerState::Created)) | None => absent(view, plan, container, is_init, &mut status),
    }
    if status.last_state.as_ref() == status.state.as_ref() {
        status.last_state = None;
    }
    status
}

fn identity(record: &ContainerStatus, status: &mut Status) {
    status.container_id = Some(format!("kontiki://{}", record.id));
    status.image = record.image.clone();
    status.image_id = record.image_id.clone();
}

fn readiness(view: &View, container: &Container, record: &ContainerStatus, is_init: bool, status: &mut Status) {
    let probes = view.memory.probes.get(&record.id);
    let (started, ready) = probes.map_or_else(
        || {
            (
                container.startup_probe.is_none(),
                container.readiness_probe.is_none() && container.startup_probe.is_none(),
            )
        },
        |probes| (probes.started, probes.started && probes.ready),
    );
    status.started = Some(started);
    status.ready = ready && (!is_init || is_sidecar(container));
}

/// A container the runtime knows nothing of: it waits, or it went down with an earlier sandbox.
fn absent(view: &View, plan: &Plan, container: &Container, is_init: bool, status: &mut Status) {
    if let Some(why) = plan.waiting.get(&container.name) {
        remember_end(view, container, status);
        status.state = Some(waiting(&why.reason, &why.message));
        return;
    }
    if is_stopping(view) {
        if status.state.as_ref().is_none_or(|state| state.terminated.is_none()) {
            status.state = Some(vanished(view, status));
        }
        return;
    }
    let ended = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
    let stays = match runs::latest(view.sandbox, view.previous, &container.name) {
        Run::Ended { code, .. } => !super::should_restart(view.pod, container, code),
        Run::Never | Run::Created(_) | Run::Running(_) => false,
    };
    if stays {
        if !ended {
            status.state = Some(vanished(view, status));
        }
        return;
    }
    remember_end(view, container, status);
    let initializing = !is_init && !init_containers(view.pod).is_empty();
    status.state = Some(waiting(if initializing { "PodInitializing" } else { "ContainerCreating" }, ""));
}

/// Moves what the container last did into `lastState` before it becomes a waiting one.
fn remember_end(view: &View, container: &Container, status: &mut Status) {
    let Some(state) = &status.state else { return };
    if state.terminated.is_some() {
        status.last_state = Some(state.clone());
    } else if state.running.is_some() {
        tracing::debug!(container = container.name, "ended with its sandbox");
        status.last_state = Some(vanished(view, status));
    }
}

fn running(started_at: Timestamp) -> State {
    let running = ContainerStateRunning { started_at: Some(Time(seconds(started_at))) };
    State { running: Some(running), ..State::default() }
}

fn waiting(reason: &str, message: &str) -> State {
    let message = Some(message.to_owned()).filter(|message| !message.is_empty());
    State { waiting: Some(ContainerStateWaiting { message, reason: Some(reason.to_owned()) }), ..State::default() }
}

fn terminated(view: &View, record: &ContainerStatus, exit: &Exit) -> State {
    let is_failed_start = view.memory.failed_starts.iter().any(|failed| failed.id == record.id);
    let reason = match exit {
        _ if is_failed_start => "StartError",
        exit if exit.unknown => "ContainerStatusUnknown",
        exit if exit.oom_killed => "OOMKilled",
        exit if exit.code == 0 => "Completed",
        _ => "Error",
    };
    let terminated = ContainerStateTerminated {
        container_id: Some(format!("kontiki://{}", record.id)),
        exit_code: exit.code,
        finished_at: Some(Time(seconds(exit.finished_at))),
        message: view.memory.messages.get(&record.id).cloned(),
        reason: Some(reason.to_owned()),
        signal: None,
        started_at: Some(Time(seconds(exit.started_at))),
    };
    State { terminated: Some(terminated), ..State::default() }
}

/// A container that was to run or ran, and of which nothing is left.
fn vanished(view: &View, status: &Status) -> State {
    let started = status.state.as_ref().and_then(|state| state.running.as_ref()).and_then(|r| r.started_at.clone());
    let message = "The container could not be located when the pod was terminated".to_owned();
    let terminated = ContainerStateTerminated {
        container_id: status.container_id.clone(),
        exit_code: 137,
        finished_at: started.is_some().then(|| Time(seconds(view.time_of_day))),
        message: Some(message),
        reason: Some("ContainerStatusUnknown".to_owned()),
        signal: None,
        started_at: started,
    };
    State { terminated: Some(terminated), ..State::default() }
}

/// How the run before `attempt` ended, if the runtime still has its record.
fn previous_end(view: &View, name: &str, attempt: u32) -> Option<State> {
    let record =
        runs::records(view.sandbox, name).filter(|record| record.attempt < attempt).max_by_key(|r| r.attempt)?;
    match &record.state {
        ContainerState::Exited(exit) => Some(terminated(view, record, exit)),
        ContainerState::Created | ContainerState::Running { .. } => None,
    }
}
