//! The history of one container: from the runtime as long as it remembers, else from the status last reported.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus as Reported, PodStatus};

use crate::runtime::{ContainerState, ContainerStatus, SandboxStatus};

/// How far the latest start of a container got.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Run<'a> {
    /// It was never started.
    Never,
    /// A start was interrupted before the process ran.
    Created(&'a ContainerStatus),
    /// It runs.
    Running(&'a ContainerStatus),
    /// It has ended.
    Ended {
        /// Its exit code.
        code: i32,
        /// When it was started, if known.
        started_at: Option<Timestamp>,
        /// When it ended, if known.
        finished_at: Option<Timestamp>,
    },
}

impl Run<'_> {
    pub(crate) fn is_never(self) -> bool {
        matches!(self, Run::Never)
    }
}

/// The exit code of a container that vanished without a trace.
const UNKNOWN_EXIT: i32 = 137;

/// The records of a container, oldest first.
pub(crate) fn records<'a>(sandbox: Option<&'a SandboxStatus>, name: &str) -> impl Iterator<Item = &'a ContainerStatus> {
    let name = name.to_owned();
    sandbox.into_iter().flat_map(|sandbox| &sandbox.containers).filter(move |record| record.name == name)
}

/// The latest record of a container.
pub(crate) fn last<'a>(sandbox: Option<&'a SandboxStatus>, name: &str) -> Option<&'a ContainerStatus> {
    records(sandbox, name).max_by_key(|record| record.attempt)
}

/// The latest run inside the present sandbox.
pub(crate) fn in_sandbox<'a>(sandbox: Option<&'a SandboxStatus>, name: &str) -> Run<'a> {
    let Some(record) = last(sandbox, name) else { return Run::Never };
    match &record.state {
        ContainerState::Created => Run::Created(record),
        ContainerState::Running { .. } => Run::Running(record),
        ContainerState::Exited(exit) => {
            Run::Ended { code: exit.code, started_at: Some(exit.started_at), finished_at: Some(exit.finished_at) }
        }
    }
}

/// The latest run, whichever sandbox it was in.
pub(crate) fn latest<'a>(sandbox: Option<&'a SandboxStatus>, previous: &PodStatus, name: &str) -> Run<'a> {
    match in_sandbox(sandbox, name) {
        Run::Never => reported(previous, name).map_or(Run::Never, from_report),
        run => run,
    }
}

fn from_report<'a>(report: &Reported) -> Run<'a> {
    let state = report.state.as_ref();
    let last = report.last_state.as_ref();
    let ended = state.and_then(|s| s.terminated.as_ref()).or_else(|| last.and_then(|s| s.terminated.as_ref()));
    if let Some(running) = state.and_then(|state| state.running.as_ref()) {
        // It ran when last seen, and the runtime does not know it: it went down with its sandbox.
        let started_at = running.started_at.as_ref().map(|time| time.0);
        return Run::Ended { code: UNKNOWN_EXIT, started_at, finished_at: None };
    }
    ended.map_or(Run::Never, |ended| Run::Ended {
        code: ended.exit_code,
        started_at: ended.started_at.as_ref().map(|time| time.0),
        finished_at: ended.finished_at.as_ref().map(|time| time.0),
    })
}

/// What was last said about a container.
pub(crate) fn reported<'a>(previous: &'a PodStatus, name: &str) -> Option<&'a Reported> {
    let init = previous.init_container_statuses.iter().flatten();
    previous.container_statuses.iter().flatten().chain(init).find(|status| status.name == name)
}

/// How often the container was restarted.
pub(crate) fn restart_count(sandbox: Option<&SandboxStatus>, previous: &PodStatus, name: &str) -> u32 {
    let said = reported(previous, name).map_or(0, |status| u32::try_from(status.restart_count).unwrap_or(0));
    let seen = records(sandbox, name).map(|record| record.attempt).max().unwrap_or(0);
    said.max(seen)
}

/// The number of the next start: counts on over agents and sandboxes, so that log files never clash.
pub(crate) fn next_attempt(sandbox: Option<&SandboxStatus>, previous: &PodStatus, name: &str) -> u32 {
    if latest(sandbox, previous, name).is_never() { 0 } else { restart_count(sandbox, previous, name) + 1 }
}
