//! Everything that a run saw: what the oracles judge and the report shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    faults::Action, observer::Look, probes::Probed, registers::Operation, schedule::Planned, watchers::Heard,
    workload::Ended, writer::History,
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
    pub(crate) probes: Vec<Probed>,
    pub(crate) workload: Option<Ended>,
    /// What went wrong with the run itself.
    pub(crate) troubles: Vec<String>,
    pub(crate) limits: Limits,
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
            probes: vec![Probed {
                name: "web".into(),
                samples: (0..50)
                    .map(|n| Sample { began: at(epoch, 200 * n), took: Duration::from_millis(3), failure: None })
                    .collect(),
            }],
            workload: None,
            troubles: Vec::new(),
            limits: Limits { gap: Duration::from_secs(30), outage: Duration::from_secs(10) },
        }
    }

    fn killed_leader(epoch: Instant) -> Injected {
        let planned = Planned {
            at: Duration::from_secs(3),
            fault: find("kill-leader").unwrap(),
            lasts: Duration::from_secs(2),
            pick: 0,
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
