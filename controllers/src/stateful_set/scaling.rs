//! Pods that are missing come, those that ended come anew, those that are too many go.

use client::event_recorder::Note;

use super::claims::{self, Fate};
use super::{Next, Set, identity, name};
use crate::plan::{Act, Pace, Plan};
use crate::pod_digest::Phase;
use crate::replica_set::PodView;

/// As upstream: so many pods of a parallel set are made at a time.
const BURST: usize = 500;

/// What is done about the pods that there should be.
#[derive(Default)]
struct Moves {
    removals: Vec<Act>,
    claims: Vec<Act>,
    creations: Vec<Act>,
    repairs: Vec<Act>,
    notes: Vec<Note>,
}

/// From the lowest ordinal up. An ordered set waits at the first pod that is not there and available.
pub(super) fn fill(plan: &mut Plan, set: &Set<'_>) -> Next {
    let mut moves = Moves::default();
    let mut next = Next::Go;
    for ordinal in set.range.clone() {
        let waits = match set.pods.get(&ordinal) {
            None => moves.create(set, ordinal),
            Some(pod) => moves.tend(set, ordinal, pod),
        };
        if waits == Next::Wait && set.is_ordered() {
            next = Next::Wait;
            break;
        }
        if moves.creations.len() == BURST {
            break;
        }
    }
    plan.notes.extend(moves.notes);
    plan.step(Pace::Together, moves.repairs);
    plan.step(Pace::Together, moves.removals);
    plan.step(Pace::Together, moves.claims);
    plan.step(Pace::SlowStart, moves.creations);
    next
}

impl Moves {
    fn create(&mut self, set: &Set<'_>, ordinal: i64) -> Next {
        let pod = identity::pod_name(name(set.view.stateful_set), ordinal);
        if !set.taken.contains(&ordinal) && !claims::hinder(set, &pod) {
            self.claims.extend(claims::missing(set, &pod));
            self.creations.push(identity::create(set, ordinal));
        }
        Next::Wait
    }

    fn tend(&mut self, set: &Set<'_>, ordinal: i64, pod: &PodView<'_>) -> Next {
        let leaves = pod.digest.deletion.is_some();
        if pod.digest.is_finished() {
            if !leaves {
                self.notes.push(identity::recreating(set, pod));
                self.removals.push(identity::delete(set, pod));
            }
            return Next::Wait;
        }
        if pod.digest.phase == Phase::Pending && !leaves {
            self.claims.extend(claims::missing(set, &pod.object.header().name));
        }
        let next = if leaves || !set.is_available(pod) { Next::Wait } else { Next::Go };
        if !leaves && (next == Next::Go || !set.is_ordered()) {
            self.repairs.extend(identity::repair(ordinal, pod));
            self.repairs.extend(claims::settle_owners(set, pod, Fate::Stays));
        }
        next
    }
}

/// From the highest ordinal down. An ordered set takes one, and waits until it is gone.
pub(super) fn shrink(plan: &mut Plan, set: &Set<'_>) -> Next {
    let condemned = || set.pods.iter().rev().filter(|(ordinal, _)| !set.range.contains(ordinal)).map(|(_, pod)| pod);
    let owners = condemned().flat_map(|pod| claims::settle_owners(set, pod, Fate::IsCondemned));
    plan.step(Pace::Together, owners.collect());
    if !set.is_ordered() {
        let present = condemned().filter(|pod| pod.digest.deletion.is_none());
        plan.step(Pace::Together, present.map(|pod| identity::delete(set, pod)).collect());
        return Next::Go;
    }
    let Some(highest) = condemned().next() else { return Next::Go };
    let is_well = |pod: &PodView<'_>| set.is_available(pod) && pod.digest.deletion.is_none();
    // Of those that are not well, upstream begins with the lowest.
    let lowest_ill = condemned().rfind(|pod| !is_well(pod));
    let may_go =
        is_well(highest) || lowest_ill.is_some_and(|ill| ill.object.header().uid == highest.object.header().uid);
    if highest.digest.deletion.is_none() && may_go {
        plan.act(identity::delete(set, highest));
    }
    Next::Wait
}
