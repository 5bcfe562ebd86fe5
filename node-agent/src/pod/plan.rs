//! What to do for a pod now. Pure: the same view always gives the same plan, and time is part of the view.

mod stop;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};

use super::memory::{Failure, Memory};
use super::runs::{self, Run};
use super::{containers, init_containers, is_sidecar};
use crate::runtime::{ContainerStatus, SandboxState, SandboxStatus};

/// Everything a plan depends on.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// The pod as the API has it.
    pub(crate) pod: &'a Pod,
    /// The object is gone from the API; `pod` is its last state.
    pub(crate) gone: bool,
    /// The pod as the runtime has it.
    pub(crate) sandbox: Option<&'a SandboxStatus>,
    /// The status last reported.
    pub(crate) previous: &'a PodStatus,
    /// What the worker remembers.
    pub(crate) memory: &'a Memory,
    /// The time that waits are measured by ([`super::steady`]).
    pub(crate) now: Timestamp,
    /// The time of day, for what is shown.
    pub(crate) time_of_day: Timestamp,
}

/// One thing to do. The order of a plan's actions is the order to do them in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Set up network, volumes and sandbox.
    CreateSandbox,
    /// Remove a lost sandbox, so that a new one can be made. Network and volumes stay.
    RemoveSandbox,
    /// Start a container for the `attempt`-th time.
    Start {
        /// Its name.
        name: String,
        /// How often it was started before.
        attempt: u32,
    },
    /// Ask a container to stop.
    Terminate {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// How long it may take.
        grace: SignedDuration,
        /// Why, for the event.
        message: String,
    },
    /// End a container at once.
    Kill {
        /// Its id.
        id: String,
    },
    /// Forget an old record of a container.
    RemoveContainer {
        /// Its id.
        id: String,
    },
    /// Remove everything of the pod from the node.
    TearDown,
    /// Remove the object from the API: the last word on the pod.
    DeleteObject,
}

/// Why a container does not run yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// What to do, what to say about containers that wait, and when to look again though nothing happens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) actions: Vec<Action>,
    pub(crate) waiting: BTreeMap<String, Waiting>,
    pub(crate) wake: Option<Timestamp>,
    /// The pod as a whole fails now: reason and message.
    pub(crate) fail: Option<(String, String)>,
}

impl Plan {
    fn wake_at(&mut self, time: Timestamp) {
        self.wake = Some(self.wake.map_or(time, |earlier| earlier.min(time)));
    }

    fn wait(&mut self, container: &Container, reason: &str, message: String) {
        self.waiting.insert(container.name.clone(), Waiting { reason: reason.to_owned(), message });
    }
}

/// How long a failure is shown as itself before it becomes a back-off.
const NEWS: SignedDuration = SignedDuration::from_secs(2);
/// How many records of one container are kept: the present one and the one for `kubectl logs --previous`.
const KEPT_RECORDS: usize = 2;

/// Decides.
pub(crate) fn plan(view: &View) -> Plan {
    if is_stopping(view) { stop::plan(view) } else { run(view) }
}

/// Whether nothing of the pod shall run any more.
pub(crate) fn is_stopping(view: &View) -> bool {
    view.gone || view.pod.metadata.deletion_timestamp.is_some() || view.memory.failed.is_some() || is_finished(view)
}

/// Whether the last word on the pod was said: it ran to its end.
pub(crate) fn is_finished(view: &View) -> bool {
    matches!(view.previous.phase.as_deref(), Some("Succeeded" | "Failed"))
}

/// Whether a container that ended with `code` is started again.
pub(crate) fn should_restart(pod: &Pod, container: &Container, code: i32) -> bool {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    let policy = container.restart_policy.as_deref().or(of_pod).unwrap_or("Always");
    match policy {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

fn run(view: &View) -> Plan {
    let mut plan = Plan::default();
    if let Some(deadline) = active_deadline(view) {
        if view.now >= deadline {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            plan.fail = Some(("DeadlineExceeded".to_owned(), message));
            return plan;
        }
        plan.wake_at(deadline);
    }
    match view.sandbox.map(|sandbox| sandbox.state) {
        None if is_done(view) => {}
        None => create_sandbox(view, &mut plan),
        Some(SandboxState::Lost) if is_done(view) => {}
        Some(SandboxState::Lost) => plan.actions.push(Action::RemoveSandbox),
        Some(SandboxState::Ready) => {
            if run_init_containers(view, &mut plan) {
                for container in containers(view.pod) {
                    run_container(view, container, &mut plan);
                }
            }
            forget_old_records(view, &mut plan);
        }
    }
    plan
}

fn active_deadline(view: &View) -> Option<Timestamp> {
    let seconds = view.pod.spec.as_ref()?.active_deadline_seconds?;
    let start = view.previous.start_time.as_ref()?.0;
    start.checked_add(SignedDuration::from_secs(seconds)).ok()
}

/// Whether every container has ended for good, so that no sandbox is needed.
fn is_done(view: &View) -> bool {
    let all = containers(view.pod);
    !all.is_empty()
        && all.iter().all(|container| match runs::latest(view.sandbox, view.previous, &container.name) {
            Run::Ended { code, .. } => !should_restart(view.pod, container, code),
            Run::Never | Run::Created(_) | Run::Running(_) => false,
        })
}

fn create_sandbox(view: &View, plan: &mut Plan) {
    match &view.memory.sandbox_failure {
        Some(failure) if failure.retry_at > view.now => plan.wake_at(failure.retry_at),
        _ => plan.actions.push(Action::CreateSandbox),
    }
}

/// Brings the init containers forward; returns whether the regular ones may run.
fn run_init_containers(view: &View, plan: &mut Plan) -> bool {
    let past = containers(view.pod).iter().any(|c| !runs::in_sandbox(view.sandbox, &c.name).is_never());
    let init = init_containers(view.pod);
    // A later init container with a record proves that the earlier ones are through.
    let furthest = init.iter().rposition(|c| !runs::in_sandbox(view.sandbox, &c.name).is_never());
    for (index, container) in init.iter().enumerate() {
        let through = past || furthest.is_some_and(|furthest| index < furthest);
        let run = runs::in_sandbox(view.sandbox, &container.name);
        if is_sidecar(container) {
            run_container(view, container, plan);
            let started = matches!(run, Run::Running(record) if is_started(view, record));
            if !started && !through {
                return false;
            }
            continue;
        }
        match run {
            _ if through => {}
            Run::Ended { code: 0, .. } => {}
            Run::Ended { code, .. } if !should_restart_init(view.pod, container, code) => return false,
            Run::Running(_) | Run::Never | Run::Created(_) | Run::Ended { .. } => {
                run_container(view, container, plan);
                return false;
            }
        }
    }
    true
}

/// An init container has to succeed, so `Always` means on failure.
pub(crate) fn should_restart_init(pod: &Pod, container: &Container, code: i32) -> bool {
    code != 0 && should_restart(pod, container, code)
}

pub(crate) fn is_started(view: &View, record: &ContainerStatus) -> bool {
    view.memory.probes.get(&record.id).is_some_and(|probes| probes.started)
}

/// Keeps one container running, as far as its policy wants it to.
fn run_container(view: &View, container: &Container, plan: &mut Plan) {
    match runs::latest(view.sandbox, view.previous, &container.name) {
        Run::Never => start(view, container, plan),
        Run::Created(record) => {
            plan.actions.push(Action::RemoveContainer { id: record.id.clone() });
            start(view, container, plan);
        }
        Run::Running(record) => {
            if view.memory.unhealthy.contains(&record.id) {
                let message = format!("Container {} failed liveness probe, will be restarted", container.name);
                stop::container(view, record, stop::grace_of_container(view, container), &message, plan);
            }
        }
        Run::Ended { code, finished_at, .. } => {
            let is_init = init_containers(view.pod).iter().any(|init| init.name == container.name);
            let again = match is_init && !is_sidecar(container) {
                true => should_restart_init(view.pod, container, code) || runs_anew(view, container),
                false => should_restart(view.pod, container, code),
            };
            if again {
                restart(view, container, finished_at, plan);
            }
        }
    }
}

/// Whether the container's last run was in an earlier sandbox, so that it does not count for this one.
fn runs_anew(view: &View, container: &Container) -> bool {
    runs::in_sandbox(view.sandbox, &container.name).is_never()
}

fn restart(view: &View, container: &Container, finished_at: Option<Timestamp>, plan: &mut Plan) {
    let delay = view.memory.restarts.delay(&container.name);
    let record = runs::last(view.sandbox, &container.name);
    let ended = record.and_then(|record| view.memory.ends.get(&record.id).copied()).or(finished_at);
    let due = ended.and_then(|ended| ended.checked_add(delay).ok());
    match due {
        // Without a delay nothing is due: an end may lie in the future of a clock that was set.
        Some(due) if due > view.now && !delay.is_zero() => {
            let message = format!(
                "back-off {} restarting failed container={} pod={}_{}({})",
                go_duration(delay),
                container.name,
                super::name(view.pod),
                super::namespace(view.pod),
                super::uid(view.pod)
            );
            plan.wait(container, "CrashLoopBackOff", message);
            plan.wake_at(due);
        }
        _ => start(view, container, plan),
    }
}

/// The form in which upstream prints back-offs, which people search their logs for.
pub(crate) fn go_duration(duration: SignedDuration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

fn start(view: &View, container: &Container, plan: &mut Plan) {
    match view.memory.failures.get(&container.name) {
        Some(failure) if failure.retry_at > view.now => wait_for_retry(view, container, failure, plan),
        _ => {
            let attempt = runs::next_attempt(view.sandbox, view.previous, &container.name);
            plan.actions.push(Action::Start { name: container.name.clone(), attempt });
        }
    }
}

fn wait_for_retry(view: &View, container: &Container, failure: &Failure, plan: &mut Plan) {
    let stale_at = failure.at + NEWS;
    match &failure.waiting {
        Some((reason, message)) if view.now >= stale_at => plan.wait(container, reason, message.clone()),
        Some(_) => {
            plan.wait(container, &failure.reason, failure.message.clone());
            plan.wake_at(stale_at);
        }
        None => plan.wait(container, &failure.reason, failure.message.clone()),
    }
    plan.wake_at(failure.retry_at);
}

fn forget_old_records(view: &View, plan: &mut Plan) {
    for container in init_containers(view.pod).iter().chain(containers(view.pod)) {
        let mut records: Vec<&ContainerStatus> = runs::records(view.sandbox, &container.name).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.attempt));
        for record in records.into_iter().skip(KEPT_RECORDS) {
            plan.actions.push(Action::RemoveContainer { id: record.id.clone() });
        }
    }
}

#[cfg(test)]
mod tests;
