//! Everything that a run saw: what the oracles judge and the report shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    faults::{Action, Target},
    observer::Look,
    probes::Probed,
    registers::Operation,
    schedule::Planned,
    service::Asked,
    together::{Size, masters_taken},
    watchers::Heard,
    workload::Ended,
    writer::History,
};
use crate::objects::Containers;

/// What a run saw.
pub(crate) struct Evidence {
    /// When the run began: all times are shown from here.
    pub(crate) epoch: Instant,
    /// How long faults were injected.
    pub(crate) length: Duration,
    pub(crate) writers: Vec<Written>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) heard: Vec<Heard>,
    /// Changes of the leader.
    pub(crate) leaders: Vec<Look>,
    /// Who was called leader of a term, by anybody.
    pub(crate) claims: BTreeMap<u64, BTreeSet<String>>,
    pub(crate) injected: Vec<Injected>,
    /// Each member's hash of all keys at one revision, or why there is none.
    pub(crate) hashes: Vec<(String, Result<u32, String>)>,
    /// The containers of all pods before and after.
    pub(crate) containers: (BTreeMap<String, Containers>, BTreeMap<String, Containers>),
    /// Since when each node is Ready, before and after; nothing for one that is not.
    pub(crate) nodes: (BTreeMap<String, Option<String>>, BTreeMap<String, Option<String>>),
    /// The run's own Service, where the cluster has workers.
    pub(crate) service: Option<Asked>,
    pub(crate) probes: Vec<Probed>,
    pub(crate) workload: Option<Ended>,
    /// What went wrong with the run itself.
    pub(crate) troubles: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) size: Size,
}

/// What the user allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest time without an acknowledged write.
    pub(crate) gap: Duration,
    /// The longest outage of a probe.
    pub(crate) outage: Duration,
}

/// A writer, what it was told, and what is there.
pub(crate) struct Written {
    /// "etcd port" or "Kubernetes API".
    pub(crate) name: &'static str,
    pub(crate) history: History,
    /// The revision of every key or object that is there in the end; its events carry the same key.
    pub(crate) found: BTreeMap<String, i64>,
}

/// A fault that was injected.
#[derive(Clone, Debug)]
pub(crate) struct Injected {
    pub(crate) planned: Planned,
    pub(crate) hosts: Vec<String>,
    pub(crate) began: Instant,
    pub(crate) healed: Instant,
    /// When all masters followed one leader again.
    pub(crate) recovered: Option<Instant>,
    /// What showed that it bit, or why nothing did.
    pub(crate) proof: Result<String, String>,
    /// Who led before and when it was healed.
    pub(crate) leaders: (String, Option<String>),
}

impl Evidence {
    /// Seconds from the beginning of the run.
    pub(crate) fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.epoch).as_secs_f64()
    }

    /// When the last fault had been healed and the run ended.
    pub(crate) fn end(&self) -> Instant {
        self.epoch + self.length
    }

    /// The longest time without an acknowledged write of any one writer: which one, when, how long.
    pub(crate) fn longest_gap(&self) -> Option<(&'static str, Instant, Duration)> {
        let gaps = self.writers.iter().map(|writer| {
            let (from, gap) = writer.history.longest_gap(self.epoch, self.end());
            (writer.name, from, gap)
        });
        gaps.max_by_key(|(_, _, gap)| *gap)
    }

    /// Each fault's longest gap of a writer, from its injection until all masters followed one leader again.
    pub(crate) fn gap_of(&self, injected: &Injected, writer: &Written) -> Duration {
        let until = injected.recovered.unwrap_or_else(|| self.end()) + Duration::from_millis(200);
        writer.history.longest_gap(injected.began, until.min(self.end()).max(injected.began)).1
    }

    /// How many writes were acknowledged, and how many of them are not there.
    pub(crate) fn acknowledged_and_lost(&self) -> (usize, usize) {
        let acknowledged = self.writers.iter().map(|writer| writer.history.acknowledged.len()).sum();
        (acknowledged, self.writers.iter().map(|writer| writer.lost().count()).sum())
    }

    /// How many times watches went on elsewhere.
    pub(crate) fn resumed(&self) -> usize {
        self.heard.iter().map(|heard| heard.resumed.len()).sum()
    }
}

impl Evidence {
    /// The faults in their rounds: one, or those that were under way at once.
    pub(crate) fn rounds(&self) -> impl Iterator<Item = &[Injected]> {
        self.injected.chunk_by(|_, next| next.planned.beside)
    }

    /// The faults that were under way at the same moment as this one.
    pub(crate) fn beside<'a>(&'a self, one: &'a Injected) -> impl Iterator<Item = &'a Injected> {
        let others = self.injected.iter().filter(move |other| !std::ptr::eq(*other, one));
        others.filter(move |other| other.began < one.healed && one.began < other.healed)
    }

    /// When so many masters were hit at once that no majority was left: nothing is promised of writes then.
    pub(crate) fn without_majority(&self) -> Vec<(Instant, Instant)> {
        // An upgrade names all hosts and ends one at a time.
        let takes = |one: &&Injected| {
            one.planned.fault.target != Target::Each && masters_taken(one.planned.fault, self.size) > 0
        };
        let taking: Vec<&Injected> = self.injected.iter().filter(takes).collect();
        let mut times: Vec<Instant> = taking.iter().flat_map(|one| [one.began, one.healed]).collect();
        times.sort_unstable();
        let mut windows: Vec<(Instant, Instant)> = Vec::new();
        for pair in times.windows(2) {
            let under_way = taking.iter().filter(|one| one.began <= pair[0] && pair[1] <= one.healed);
            let gone: BTreeSet<&str> = under_way.flat_map(|one| one.hosts.iter().map(String::as_str)).collect();
            if gone.len() <= self.size.spare() {
                continue;
            }
            match windows.last_mut() {
                Some((_, to)) if *to == pair[0] => *to = pair[1],
                _ => windows.push((pair[0], pair[1])),
            }
        }
        windows
    }
}

/// How much of a time lies in these windows, which do not overlap.
pub(crate) fn inside((from, to): (Instant, Instant), windows: &[(Instant, Instant)]) -> Duration {
    let parts = windows.iter().map(|(begins, ends)| to.min(*ends).saturating_duration_since(from.max(*begins)));
    parts.sum()
}

/// The hosts that these faults cut the power of.
pub(crate) fn rebooted(injected: &[Injected]) -> BTreeSet<&str> {
    let reboots = injected.iter().filter(|one| one.planned.fault.action == Action::PowerOff);
    reboots.flat_map(|one| one.hosts.iter().map(String::as_str)).collect()
}

impl Written {
    /// The names of acknowledged writes that are not there.
    pub(crate) fn lost(&self) -> impl Iterator<Item = &str> {
        let names = self.history.acknowledged.iter().map(|write| write.name.as_str());
        names.filter(|name| !self.found.contains_key(*name))
    }
}

#[cfg(test)]
pub(crate) mod sample {
    //! A small run in which everything is as it should be: tests spoil one thing of it.

    use super::*;
    use crate::chaos::{faults::find, linearizability::Effect, probes::Sample, watchers::Event, writer::Acknowledged};

    pub(crate) fn at(epoch: Instant, millis: u64) -> Instant {
        epoch + Duration::from_millis(millis)
    }

    /// Ten seconds: the leader m1 is killed at 3 s, m2 leads from 3.4 s on, m1 is back at 6 s.
    pub(crate) fn evidence() -> Evidence {
        let epoch = Instant::now();
        let ended = |number: u64| if (30..34).contains(&number) { 3400 } else { 100 * number };
        let write = |number: u64, revision: i64| Acknowledged {
            name: format!("write-{number:08}"),
            began: at(epoch, 100 * number),
            ended: at(epoch, ended(number)),
            revision: Some(revision),
        };
        let written = |name, offset: i64| {
            let writes: Vec<_> = (0..100_u64).map(|n| write(n, 10 + 2 * n.cast_signed() + offset)).collect();
            let found = writes.iter().map(|one| (one.name.clone(), one.revision.unwrap_or(0))).collect();
            Written { name, history: History { acknowledged: writes, unknown: vec![at(epoch, 3200)] }, found }
        };
        let writers = vec![written("etcd port", 0), written("Kubernetes API", 1)];
        let heard = writers.iter().map(|writer| {
            let events = writer.found.iter().map(|(key, revision)| Event { key: key.clone(), revision: *revision });
            Heard {
                name: writer.name.into(),
                after: 9,
                events: events.collect(),
                resumed: vec![at(epoch, 3500)],
                stuck: None,
            }
        });
        let look =
            |millis, term, leader: Option<&str>| Look { at: at(epoch, millis), term, leader: leader.map(Into::into) };
        let step = |began, effect| Operation {
            register: "r".into(),
            effect,
            began: at(epoch, began),
            ended: Some(at(epoch, began + 5)),
            revision: None,
        };
        let containers = Containers { node: "w1".into(), which: "web id restarts=0".into(), run: true };
        let pods = BTreeMap::from([("default/web-1 uid".to_owned(), containers)]);
        Evidence {
            epoch,
            length: Duration::from_secs(10),
            heard: heard.collect(),
            writers,
            operations: vec![
                step(0, Effect::Write(Some("a".into()))),
                step(10, Effect::Swap(Some("a".into()), Some("b".into()))),
                step(20, Effect::Read(Some("b".into()))),
            ],
            leaders: vec![look(0, 1, Some("m1")), look(3100, 1, None), look(3400, 2, Some("m2"))],
            claims: BTreeMap::from([(1, BTreeSet::from(["m1".into()])), (2, BTreeSet::from(["m2".into()]))]),
            injected: vec![killed_leader(epoch)],
            hashes: vec![("m1".into(), Ok(7)), ("m2".into(), Ok(7)), ("m3".into(), Ok(7))],
            containers: (pods.clone(), pods),
            nodes: ([ready("w1")].into(), [ready("w1")].into()),
            service: Some(Asked { clients: vec![Probed { name: "w1".into(), samples: looks(epoch, 100) }] }),
            probes: vec![Probed { name: "web".into(), samples: looks(epoch, 200) }],
            workload: None,
            troubles: Vec::new(),
            limits: Limits { gap: Duration::from_secs(30), outage: Duration::from_secs(10) },
            size: Size { masters: 3, workers: 1 },
        }
    }

    fn ready(node: &str) -> (String, Option<String>) {
        (node.to_owned(), Some("2026-01-01T00:00:00Z".to_owned()))
    }

    /// Good looks for ten seconds, one each so many milliseconds.
    fn looks(epoch: Instant, period: u64) -> Vec<Sample> {
        let look = |n| Sample { began: at(epoch, period * n), took: Duration::from_millis(3), failure: None };
        (0..10_000 / period).map(look).collect()
    }

    fn killed_leader(epoch: Instant) -> Injected {
        let planned = Planned {
            at: Duration::from_secs(3),
            fault: find("kill-leader").unwrap(),
            lasts: Duration::from_secs(2),
            pick: 0,
            beside: false,
        };
        Injected {
            planned,
            hosts: vec!["m1".into()],
            began: at(epoch, 3000),
            healed: at(epoch, 5000),
            recovered: Some(at(epoch, 6000)),
            proof: Ok("process 7 ended; m2 leads after 0.40 s".into()),
            leaders: ("m1".into(), Some("m2".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{evidence::sample::at, faults::find};

    #[test]
    fn two_masters_of_three_are_hit_where_both_faults_are_under_way() {
        let mut evidence = sample::evidence();
        assert_eq!(evidence.without_majority(), []);
        let mut second = evidence.injected[0].clone();
        second.planned = Planned { fault: find("pause").unwrap(), beside: true, ..second.planned };
        let epoch = evidence.epoch;
        second.hosts = vec!["m2".into()];
        (second.began, second.healed) = (at(epoch, 4000), at(epoch, 7000));
        evidence.injected.push(second);
        assert_eq!(evidence.without_majority(), [(at(epoch, 4000), at(epoch, 5000))]);
        assert_eq!((evidence.rounds().count(), evidence.beside(&evidence.injected[0]).count()), (1, 1));
        // A fault of all masters, for as long as it lasts; one of clocks takes nobody away.
        evidence.injected[1].planned.fault = find("kill-all").unwrap();
        evidence.injected[1].hosts = ["m1", "m2", "m3"].map(str::to_owned).to_vec();
        assert_eq!(evidence.without_majority(), [(at(epoch, 4000), at(epoch, 7000))]);
        evidence.injected[1].planned.fault = find("clock-skew").unwrap();
        assert_eq!(evidence.without_majority(), []);
    }

    #[test]
    fn of_a_time_that_part_counts_which_lies_in_a_window() {
        let epoch = Instant::now();
        let windows = [(at(epoch, 100), at(epoch, 200)), (at(epoch, 300), at(epoch, 900))];
        assert_eq!(inside((at(epoch, 150), at(epoch, 400)), &windows), Duration::from_millis(150));
        assert_eq!(inside((at(epoch, 200), at(epoch, 300)), &windows), Duration::ZERO);
    }
}
