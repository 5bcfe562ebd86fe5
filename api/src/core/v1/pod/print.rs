//! The row of a pod: its phase, or the most telling thing that any of its containers says.

use jiff::Timestamp;

use crate::node::{Node, Struct};
use crate::object::Object;
use crate::table::{Cell, Row, RowCondition, or_none};
use crate::time;

const SUCCEEDED: RowCondition = RowCondition {
    kind: "Completed",
    status: "True",
    reason: "Succeeded",
    message: "The pod has completed successfully.",
};
const FAILED: RowCondition =
    RowCondition { kind: "Completed", status: "True", reason: "Failed", message: "The pod failed." };

/// Restarts and the time of the last one, as RFC 3339 text that sorts by time.
#[derive(Default)]
struct Restarts {
    count: i64,
    last: String,
}

impl Restarts {
    fn add(&mut self, status: &Node) {
        self.count += status.i64_at("restartCount").unwrap_or(0);
        let finished = status.str_at("lastState.terminated.finishedAt");
        if finished > self.last.as_str() {
            finished.clone_into(&mut self.last);
        }
    }

    fn cell(&self, now: Timestamp) -> Cell {
        if self.count == 0 || self.last.is_empty() {
            return Cell::Str(self.count.to_string());
        }
        Cell::Str(format!("{} ({} ago)", self.count, time::age(Some(&self.last), now)))
    }
}

struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: Restarts,
}

pub(super) fn row(pod: &Object, now: Timestamp) -> Row {
    let summary = summarize(pod);
    let mut row = Row::of([
        pod.name().into(),
        Cell::Str(format!("{}/{}", summary.ready, summary.total)),
        summary.reason.into(),
        summary.restarts.cell(now),
        Row::age(pod, now),
        or_none(match pod.str_at("status.podIPs.0.ip") {
            "" => pod.str_at("status.podIP"),
            address => address,
        }),
        or_none(pod.str_at("spec.nodeName")),
        or_none(pod.str_at("status.nominatedNodeName")),
        Cell::Str(readiness_gates(pod)),
    ]);
    match pod.str_at("status.phase") {
        "Succeeded" => row.conditions.push(SUCCEEDED),
        "Failed" => row.conditions.push(FAILED),
        _ => {}
    }
    row
}

fn readiness_gates(pod: &Object) -> String {
    let gates = pod.body.items_at("spec.readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let fulfilled = gates.iter().filter(|gate| condition_is_true(pod, gate.str_at("conditionType"))).count();
    format!("{fulfilled}/{}", gates.len())
}

fn condition_is_true(pod: &Object, name: &str) -> bool {
    let conditions = pod.body.items_at("status.conditions");
    conditions.iter().any(|condition| condition.str_at("type") == name && condition.str_at("status") == "True")
}

fn is_restartable(container: &Node) -> bool {
    container.str_at("restartPolicy") == "Always"
}

fn summarize(pod: &Object) -> Summary {
    let body: &Struct = &pod.body;
    let init = body.items_at("spec.initContainers");
    let total = body.items_at("spec.containers").len() + init.iter().filter(|one| is_restartable(one)).count();
    let phase = body.str_at("status.phase");
    let mut reason = match body.str_at("status.reason") {
        "" => phase.to_owned(),
        reason => reason.to_owned(),
    };
    let is_gated = |condition: &Node| {
        condition.str_at("type") == "PodScheduled" && condition.str_at("reason") == "SchedulingGated"
    };
    if body.items_at("status.conditions").iter().any(is_gated) {
        "SchedulingGated".clone_into(&mut reason);
    }
    let mut summary = Summary { ready: 0, total, reason, restarts: Restarts::default() };
    let mut sidecars = Restarts::default();
    let initializing = summarize_init(body, init, &mut summary, &mut sidecars);
    if !initializing || condition_is_true(pod, "Initialized") {
        summary.restarts = sidecars;
        summarize_containers(pod, &mut summary);
    }
    if pod.is_deleting() {
        if body.str_at("status.reason") == "NodeLost" {
            "Unknown".clone_into(&mut summary.reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut summary.reason);
        }
    }
    summary
}

/// How a container ended, where its runtime gave no reason.
fn ending(terminated: &Node) -> String {
    match (terminated.str_at("reason"), terminated.i64_at("signal").unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", terminated.i64_at("exitCode").unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

/// Goes through the init containers up to the first that is not done; returns whether there is one.
fn summarize_init(body: &Struct, init: &[Node], summary: &mut Summary, sidecars: &mut Restarts) -> bool {
    for (index, status) in body.items_at("status.initContainerStatuses").iter().enumerate() {
        summary.restarts.add(status);
        let restartable =
            init.iter().any(|container| container.str_at("name") == status.str_at("name") && is_restartable(container));
        if restartable {
            sidecars.add(status);
        }
        let waiting = status.str_at("state.waiting.reason");
        match status.at("state.terminated") {
            Some(terminated) if terminated.i64_at("exitCode").unwrap_or(0) == 0 => continue,
            _ if restartable && status.bool_at("started") == Some(true) => {
                summary.ready += usize::from(status.bool_at("ready") == Some(true));
                continue;
            }
            Some(terminated) => summary.reason = format!("Init:{}", ending(terminated)),
            None if !matches!(waiting, "" | "PodInitializing") => summary.reason = format!("Init:{waiting}"),
            None => summary.reason = format!("Init:{index}/{}", init.len()),
        }
        return true;
    }
    false
}

fn summarize_containers(pod: &Object, summary: &mut Summary) {
    let mut has_running = false;
    for status in pod.body.items_at("status.containerStatuses").iter().rev() {
        summary.restarts.add(status);
        let waiting = status.str_at("state.waiting.reason");
        if !waiting.is_empty() {
            waiting.clone_into(&mut summary.reason);
        } else if let Some(terminated) = status.at("state.terminated") {
            summary.reason = ending(terminated);
        } else if status.bool_at("ready") == Some(true) && status.at("state.running").is_some() {
            has_running = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" && has_running {
        summary.reason = if condition_is_true(pod, "Ready") { "Running" } else { "NotReady" }.to_owned();
    }
}
