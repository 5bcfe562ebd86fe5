//! The faults: what each does to whom, how long, and what must be seen of it.
//!
//! A fault that left no trace proves nothing: each names the observation that shows that it bit, and a run in which one
//! did not bite fails. How a fault is made is in the modules below, and where they are put together in
//! [`super::injection`]; how it is undone is data ([`super::record::Undo`]), written down before it is made.

use std::time::Duration;

use self::{cgroup::Short, clock::Moved};
use crate::up::cluster::Cluster;

pub(crate) mod cgroup;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod filter;
pub(crate) mod flushes;
pub(crate) mod link;
pub(crate) mod process;

/// A fault that can be named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// One line for `kontiki chaos list`.
    pub(crate) about: &'static str,
    pub(crate) target: Target,
    pub(crate) action: Action,
    /// How long it is left to work at most.
    pub(crate) lasts: Duration,
    /// Another master has to lead before it is healed.
    pub(crate) unseats: bool,
}

/// Which hosts a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The master that leads.
    Leader,
    /// A master that does not lead.
    Follower,
    /// Any master.
    Master,
    /// The leader, and as many others as make a majority.
    Majority,
    /// All masters.
    Masters,
    /// Any worker.
    Worker,
    /// All hosts at once.
    Every,
    /// All hosts, one after the other: masters, of them the leader last, then workers.
    Each,
}

/// What is done to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// SIGKILL; started again when healed.
    Kill,
    /// SIGTERM: it hands over and ends; started again when healed.
    Stop,
    /// Everything on it ends at once, as in a power cut; started again when healed.
    PowerOff,
    /// SIGSTOP, then SIGCONT.
    Pause,
    /// Its packets are dropped, in a direction, from and to some hosts.
    Filter(Lost),
    /// Its network link goes down and up again and again.
    Flap,
    /// Its network link carries little, with queues before it.
    Slow,
    /// It is asked to hand over.
    Transfer,
    /// It may open nothing more, and more and more connections wait at its ports.
    LimitDescriptors,
    /// It gets no more memory, so that the kernel ends it; started again when healed.
    LimitMemory,
    /// Its disk carries a few writes a second.
    SlowDisk,
    /// It is ended in order and started with another file.
    Upgrade,
    /// The clock of its processes is moved.
    Clock(Moved),
}

/// Which packets a host loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// All, both ways, with every other host.
    All,
    /// All that it should receive; what it sends arrives.
    Incoming,
    /// All, both ways, with one other master only.
    WithOneMaster,
    /// Each one with this probability, in percent, both ways.
    Some(u8),
}

impl Fault {
    /// How many masters a cluster needs so that this fault can be made.
    pub(crate) fn masters_min(&self) -> usize {
        match (self.target, self.action) {
            (Target::Masters | Target::Worker | Target::Every, _) => 1,
            _ => 3,
        }
    }

    /// Whether it hits workers.
    pub(crate) fn needs_worker(&self) -> bool {
        self.target == Target::Worker
    }

    /// Whether no leader can be elected while it lasts: writes stand still, by design.
    pub(crate) fn stops_writes(&self) -> bool {
        matches!(self.target, Target::Majority | Target::Masters)
    }

    /// The program of a command line that it needs besides `ip`, and the package that has it.
    pub(crate) fn program(&self) -> Option<(&'static str, &'static str)> {
        match self.action {
            Action::Filter(_) => Some(("nft", "nftables")),
            Action::Slow => Some(("tc", "iproute2")),
            Action::Kill | Action::Stop | Action::PowerOff | Action::Pause | Action::Flap | Action::Transfer => None,
            Action::LimitDescriptors | Action::LimitMemory | Action::SlowDisk => None,
            Action::Upgrade | Action::Clock(_) => None,
        }
    }

    /// What the machine lacks for it, where the cluster is.
    pub(crate) fn machine_lacks(&self, cluster: &Cluster) -> Option<String> {
        match self.action {
            Action::LimitMemory => cgroup::lacks(cluster, Short::Memory),
            Action::SlowDisk => cgroup::lacks(cluster, Short::Disk),
            _ => None,
        }
    }

    /// The role of the process that is hit.
    pub(crate) fn role(&self) -> &'static str {
        if self.needs_worker() { "agent" } else { "server" }
    }
}

const fn fault(
    name: &'static str,
    about: &'static str,
    target: Target,
    action: Action,
    lasts_ms: u64,
    unseats: bool,
) -> Fault {
    Fault { name, about, target, action, lasts: Duration::from_millis(lasts_ms), unseats }
}

/// All faults, by name.
#[rustfmt::skip]
pub(crate) const ALL: &[Fault] = &[
    fault("agent-kill", "kill -9 the agent of a worker; its pods must run on", Target::Worker, Action::Kill, 2500, false),
    fault("agent-pause", "stop the agent of a worker for a moment (SIGSTOP); its pods must run on", Target::Worker, Action::Pause, 3000, false),
    fault("clock-jump", "set the clock of the leader ahead by up to an hour, then behind by as much", Target::Leader, Action::Clock(Moved::Jumps), 5000, false),
    fault("clock-jump-worker", "set the clock of a worker ahead by up to an hour, then behind by as much", Target::Worker, Action::Clock(Moved::Jumps), 10_000, false),
    fault("clock-skew", "set the clocks of all hosts apart, by up to an hour between any two", Target::Every, Action::Clock(Moved::Apart), 6000, false),
    fault("clock-strobe", "set the clock of a master to and fro, each half second", Target::Master, Action::Clock(Moved::Strobes), 4000, false),
    fault("flap", "take the network link of a master down and up again, each half second", Target::Master, Action::Flap, 4000, false),
    fault("kill-all", "kill -9 all masters at once, and start them again", Target::Masters, Action::Kill, 1000, false),
    fault("kill-follower", "kill -9 a master that does not lead", Target::Follower, Action::Kill, 2500, false),
    fault("kill-leader", "kill -9 the master that leads", Target::Leader, Action::Kill, 2500, true),
    fault("kill-majority", "kill -9 the leader and as many others as make a majority", Target::Majority, Action::Kill, 1500, false),
    fault("limit-descriptors", "let a master open no more files and connections for a moment", Target::Master, Action::LimitDescriptors, 3000, false),
    fault("limit-memory", "give the leader no more memory, so that the kernel ends it (OOM)", Target::Leader, Action::LimitMemory, 2500, true),
    fault("lossy-link", "drop one packet in five of a master, both ways", Target::Master, Action::Filter(Lost::Some(20)), 4000, false),
    fault("one-way", "the leader is heard and hears nobody", Target::Leader, Action::Filter(Lost::Incoming), 3000, false),
    fault("partial-partition", "the leader and one follower lose each other; the others see both", Target::Leader, Action::Filter(Lost::WithOneMaster), 3000, false),
    fault("partition", "cut a master that does not lead off the network", Target::Follower, Action::Filter(Lost::All), 3000, false),
    fault("partition-leader", "cut the leader off the network", Target::Leader, Action::Filter(Lost::All), 3000, true),
    fault("partition-worker", "cut a worker off the network for a moment; its pods must run on", Target::Worker, Action::Filter(Lost::All), 3000, false),
    fault("pause", "stop a master for longer than its lease (SIGSTOP)", Target::Master, Action::Pause, 3000, false),
    fault("pause-leader", "stop the leader for longer than its lease (SIGSTOP)", Target::Leader, Action::Pause, 3000, true),
    fault("reboot-worker", "cut the power of a worker; it comes back, and its pods run again", Target::Worker, Action::PowerOff, 2500, false),
    fault("rolling-upgrade", "start every process with another file, one after the other, the leader last", Target::Each, Action::Upgrade, 5000, true),
    fault("slow-disk", "let the disk of the leader carry four writes a second", Target::Leader, Action::SlowDisk, 5000, false),
    fault("slow-link", "let the link of a master carry 1 Mbit/s, with up to 300 ms of queue", Target::Master, Action::Slow, 4000, false),
    fault("stop-leader", "end the leader in order (SIGTERM); it hands over first", Target::Leader, Action::Stop, 2500, true),
    fault("transfer-leader", "ask the leader to hand over to another master", Target::Leader, Action::Transfer, 1000, true),
];

/// What a run injects when nothing else is said.
pub(crate) const DEFAULT: &str = "kill-leader,kill-follower,pause-leader,partition-leader,one-way,kill-all";

/// The fault of this name.
pub(crate) fn find(name: &str) -> Option<&'static Fault> {
    ALL.iter().find(|fault| fault.name == name)
}

/// The name that was probably meant: the nearest by edits, if it is near.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let distance = |fault: &&Fault| edits(name, fault.name);
    let nearest = ALL.iter().min_by_key(distance)?;
    let part_of = !name.is_empty() && nearest.name.contains(name);
    (part_of || distance(&nearest) <= nearest.name.len() / 2).then_some(nearest.name)
}

/// How many characters have to be inserted, deleted or replaced (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_sorted_by_name_and_described_in_one_line() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(ALL.iter().all(|fault| !fault.about.contains('\n') && fault.about.len() <= 100));
        assert!(DEFAULT.split(',').all(|name| find(name).is_some()));
    }

    #[test]
    fn a_misspelt_name_is_answered_by_the_one_that_was_meant() {
        for (given, meant) in [
            ("kil-leader", Some("kill-leader")),
            ("kill_leader", Some("kill-leader")),
            ("partiton", Some("partition")),
            ("flaps", Some("flap")),
            ("meteorite-strike", None),
        ] {
            assert_eq!(nearest(given), meant, "{given}");
        }
    }
}
