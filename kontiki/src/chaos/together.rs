//! Which two faults may be under way at once (`--at-once 2`), and what that takes from the cluster.
//!
//! Each fault of a pair has to be possible, to show by itself that it bit, and to be healed by itself: so the two are of
//! different kinds and hit different hosts. Two masters may be hit of three. Nothing is promised of writes then, and nothing is
//! counted on that needs a majority ([`super::evidence::Evidence::without_majority`]).

use super::faults::{Action, Fault, Target};

/// How many hosts a cluster has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) masters: usize,
    pub(crate) workers: usize,
}

impl Size {
    /// How many masters may be gone while the others go on.
    pub(crate) fn spare(self) -> usize {
        self.masters.saturating_sub(1) / 2
    }
}

/// Whether the second may begin while the first is under way.
pub(crate) fn may_overlap(first: &Fault, second: &Fault, size: Size) -> bool {
    let faults = [first, second];
    let on_workers = faults.iter().filter(|fault| fault.target == Target::Worker).count();
    let taken: usize = faults.iter().map(|fault| masters_taken(fault, size)).sum();
    let is_moved = |fault: &&Fault| matches!(fault.action, Action::Clock(_));
    first.name != second.name
        && faults.iter().all(|fault| fault.target != Target::Each)
        && faults.iter().filter(|fault| is_moved(fault)).count() < 2
        && on_workers <= size.workers
        // Whoever hits most masters leaves none to another fault.
        && (faults.iter().all(|fault| !fault.stops_writes()) || on_workers > 0)
        // One that needs votes, or what only a leader does, to show that it bit.
        && (faults.iter().all(|fault| !needs_majority(fault)) || taken <= size.spare())
        // There is another leader only where the first has lost its place.
        && (second.target != Target::Leader || !hits_master(first) || (first.target == Target::Leader && first.unseats))
}

/// How many masters a fault takes away from the others.
pub(crate) fn masters_taken(fault: &Fault, size: Size) -> usize {
    match (fault.target, fault.action) {
        (_, Action::Transfer | Action::Clock(_)) | (Target::Worker | Target::Every, _) => 0,
        (Target::Leader | Target::Follower | Target::Master | Target::Each, _) => 1,
        (Target::Majority, _) => size.masters / 2 + 1,
        (Target::Masters, _) => size.masters,
    }
}

fn hits_master(fault: &Fault) -> bool {
    // Clocks of every host are moved beside whatever else is done to a host.
    !matches!(fault.target, Target::Worker | Target::Every)
}

fn needs_majority(fault: &Fault) -> bool {
    matches!(fault.action, Action::Transfer | Action::SlowDisk | Action::Clock(_))
}

/// The pair of two faults in the order in which they may overlap, if there is one.
pub(crate) fn pair(one: &'static Fault, other: &'static Fault, size: Size) -> Option<[&'static Fault; 2]> {
    [[one, other], [other, one]].into_iter().find(|[first, second]| may_overlap(first, second, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::faults::{ALL, find};

    const USUAL: Size = Size { masters: 3, workers: 2 };

    #[test]
    fn pairs_are_those_of_which_each_can_be_made_and_shown() {
        for (first, second, may) in [
            ("kill-leader", "agent-kill", true),
            ("kill-leader", "kill-follower", true),
            ("kill-leader", "partition-leader", true),
            ("slow-link", "kill-leader", false),
            ("kill-leader", "slow-link", true),
            ("one-way", "kill-leader", false),
            ("kill-leader", "kill-leader", false),
            ("kill-all", "pause", false),
            ("kill-all", "reboot-worker", true),
            ("agent-kill", "partition-worker", true),
            ("transfer-leader", "agent-kill", true),
            ("transfer-leader", "pause", true),
            ("slow-disk", "kill-follower", false),
            ("clock-skew", "kill-leader", true),
            ("clock-skew", "clock-jump", false),
            ("rolling-upgrade", "agent-kill", false),
        ] {
            let (first, second) = (find(first).unwrap(), find(second).unwrap());
            assert_eq!(may_overlap(first, second, USUAL), may, "{} then {}", first.name, second.name);
        }
        let one_worker = Size { workers: 1, ..USUAL };
        assert!(pair(find("agent-kill").unwrap(), find("reboot-worker").unwrap(), one_worker).is_none());
    }

    #[test]
    fn every_fault_but_an_upgrade_has_another_that_it_goes_with() {
        for fault in ALL {
            let has = ALL.iter().any(|other| pair(fault, other, USUAL).is_some());
            assert_eq!(has, fault.name != "rolling-upgrade", "{}", fault.name);
        }
    }
}
