//! A pod on every node that should have one, and none elsewhere.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::facts::Facts;
use super::node::Fit;
use super::pods::DaemonPod;
use super::{Create, Moves, owner};
use crate::plan::{Plan, normal, warning};
use crate::pod_digest::Phase;

/// After the second failure in a row; doubled with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

pub(super) fn moves<'a>(plan: &mut Plan, facts: &Facts<'a>) -> Moves<'a> {
    let mut moves = Moves::default();
    for (node, fit) in &facts.nodes {
        let pods = facts.pods_on(&node.name);
        match fit {
            Fit::Runs if pods.is_empty() => moves.create.push(Create { node: node.name.clone(), failures: 0 }),
            Fit::Runs | Fit::Keeps => tidy(plan, facts, (&node.name, *fit), &mut moves),
            Fit::Never => moves.delete.extend(pods.iter().filter(|pod| !pod.is_leaving())),
        }
    }
    // Nobody would ever bind these, and so nobody would collect them.
    let known: BTreeSet<&str> = facts.nodes.iter().map(|(node, _)| &*node.name).collect();
    for (node, pods) in &facts.pods {
        let waiting = pods.iter().filter(|pod| pod.view.digest.node.is_empty() && !pod.is_leaving());
        if !known.contains(node) {
            moves.delete.extend(waiting);
        }
    }
    moves
}

/// Replaces what ended on a node, and leaves as many pods as there may be.
fn tidy<'a>(plan: &mut Plan, facts: &Facts<'a>, (node, fit): (&str, Fit), moves: &mut Moves<'a>) {
    let about = owner(facts.daemon_set).about();
    let mut running = Vec::new();
    let (mut failures, mut waits) = (None::<u32>, false);
    for pod in facts.pods_on(node).iter().copied().filter(|pod| !pod.is_leaving()) {
        let header = pod.view.object.header();
        let found = |how: &str| {
            format!("Found {how} daemon pod {}/{} on node {node}, will try to", header.namespace, header.name)
        };
        match pod.view.digest.phase {
            Phase::Failed => match wait(pod, facts.now) {
                Ok(count) => {
                    plan.notes.push(warning(&about, "FailedDaemonPod", format!("{} kill it", found("failed"))));
                    failures = failures.max(Some(count));
                    moves.delete.push(pod);
                }
                Err(left) => {
                    plan.wake(left);
                    waits = true;
                }
            },
            Phase::Succeeded => {
                plan.notes.push(normal(&about, "SucceededDaemonPod", format!("{} delete it", found("succeeded"))));
                moves.delete.push(pod);
            }
            Phase::Pending | Phase::Running | Phase::Unknown => running.push(pod),
        }
    }
    // Of a surge it is the new one that failed, beside one that runs.
    let is_missing = running.is_empty() || facts.may_surge() && running.iter().all(|pod| !pod.is_of(&facts.hash));
    if let Some(failures) = failures.filter(|_| fit == Fit::Runs && is_missing && !waits) {
        moves.create.push(Create { node: node.to_owned(), failures });
    }
    surplus(facts, &running, moves);
}

/// Whether a failed pod may be replaced now, and as which in a row; or how long that must wait. A daemon that always fails
/// must not keep controller and node busy. Whoever ran for long starts from nothing.
fn wait(pod: &DaemonPod<'_>, now: Timestamp) -> Result<u32, Duration> {
    let created = pod.view.digest.created.unwrap_or(now);
    let age = Duration::try_from(now.duration_since(created)).unwrap_or_default();
    if age > LONGEST_WAIT * 2 {
        return Ok(1);
    }
    let next = pod.failures.saturating_add(1);
    let Some(doublings) = pod.failures.checked_sub(1) else { return Ok(next) };
    let wait = FIRST_WAIT.saturating_mul(1 << doublings.min(20)).min(LONGEST_WAIT);
    match wait.checked_sub(age).filter(|left| !left.is_zero()) {
        Some(left) => Err(left),
        None => Ok(next),
    }
}

/// The oldest pod stays. While the template changes with a surge, the oldest of the new one and of the old ones may both
/// stay: until the new one is available, if the old one is ready.
fn surplus<'a>(facts: &Facts<'a>, running: &[&'a DaemonPod<'a>], moves: &mut Moves<'a>) {
    if !facts.may_surge() {
        moves.delete.extend(running.iter().skip(1));
        return;
    }
    if running.len() < 2 {
        return;
    }
    let (new, old): (Vec<_>, Vec<_>) = running.iter().copied().partition(|pod| pod.is_of(&facts.hash));
    moves.delete.extend(new.iter().skip(1).chain(old.iter().skip(1)));
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (old.view.digest.ready_since.is_none() || facts.is_available(new))
    {
        moves.delete.push(old);
    }
}
