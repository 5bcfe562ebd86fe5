//! Startup, liveness and readiness probes: one task per probe of a running container, which reports changes only.

mod check;
mod grpc;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::memory::ProbeState;
use check::Outcome;
pub(crate) use check::{Programs, http_get};

/// Changes that wait for the worker; each probe adds one at most before it looks again.
const CHANGES_MAX: usize = 16;

/// Which question a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// What a worker learns from its probes.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) news: News,
}

#[derive(Debug)]
pub(crate) enum News {
    /// The threshold of successes or failures was reached.
    Verdict(bool),
    /// One check failed; the sentence is for an event.
    Failed(String),
    /// The check itself did not work, which says nothing about the container; the sentence is for an event.
    Unknown(String),
}

/// The probes of one pod. Dropping it ends them.
pub(crate) struct Probes {
    running: BTreeMap<String, DropGuard>,
    tasks: JoinSet<()>,
    programs: Programs,
    sender: mpsc::Sender<Change>,
    pub(crate) changes: mpsc::Receiver<Change>,
}

impl Probes {
    /// Probes of a pod, whose containers run programs by `programs`.
    pub(crate) fn new(programs: Programs) -> Self {
        let (sender, changes) = mpsc::channel(CHANGES_MAX);
        Self { running: BTreeMap::new(), tasks: JoinSet::new(), programs, sender, changes }
    }

    /// Begins to probe a container that runs; does nothing when it is probed already. Returns its first state.
    pub(crate) fn watch(&mut self, id: &str, container: &Container, address: Option<IpAddr>) -> Option<ProbeState> {
        if self.running.contains_key(id) {
            return None;
        }
        while self.tasks.try_join_next().is_some() {}
        let token = CancellationToken::new();
        let startup = container.startup_probe.clone();
        let state = ProbeState { started: startup.is_none(), ready: container.readiness_probe.is_none() };
        let probe = ContainerProbes {
            id: id.to_owned(),
            container: container.clone(),
            address,
            programs: self.programs.clone(),
            sender: self.sender.clone(),
        };
        let stop = token.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = probe.run(startup) => {}
                () = stop.cancelled() => {}
            }
        });
        self.running.insert(id.to_owned(), token.drop_guard());
        Some(state)
    }

    /// Ends the probes of all containers but these.
    pub(crate) fn retain(&mut self, alive: &[&str]) {
        self.running.retain(|id, _| alive.contains(&id.as_str()));
    }
}

struct ContainerProbes {
    id: String,
    container: Container,
    address: Option<IpAddr>,
    programs: Programs,
    sender: mpsc::Sender<Change>,
}

impl ContainerProbes {
    /// Startup first; liveness and readiness once it has succeeded.
    async fn run(&self, startup: Option<Probe>) {
        if let Some(probe) = &startup {
            self.probe(Kind::Startup, probe).await;
        }
        let liveness = async {
            if let Some(probe) = &self.container.liveness_probe {
                self.probe(Kind::Liveness, probe).await;
            }
        };
        let readiness = async {
            if let Some(probe) = &self.container.readiness_probe {
                self.probe(Kind::Readiness, probe).await;
            }
        };
        tokio::join!(liveness, readiness);
    }

    /// Checks until a startup probe has succeeded, or for ever.
    async fn probe(&self, kind: Kind, probe: &Probe) {
        let seconds = |value: Option<i32>, least: u64, default: u64| {
            Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default).max(least))
        };
        let mut judge = Judge::new(kind, probe);
        tokio::time::sleep(seconds(probe.initial_delay_seconds, 0, 0)).await;
        let mut ticks = tokio::time::interval(seconds(probe.period_seconds, 1, 10));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let limit = seconds(probe.timeout_seconds, 1, 1);
            let target = check::Target { container: &self.container, id: &self.id, address: self.address };
            let outcome = check::check(probe, &target, &self.programs, limit).await;
            let succeeded = match outcome {
                Outcome::Success => true,
                Outcome::Failure(why) => {
                    self.send(kind, News::Failed(format!("{} probe failed: {why}", kind.title()))).await;
                    false
                }
                Outcome::Unknown(why) => {
                    let title = kind.title();
                    self.send(
                        kind,
                        News::Unknown(format!("{title} probe errored and resulted in unknown state: {why}")),
                    )
                    .await;
                    continue;
                }
            };
            if let Some(verdict) = judge.count(succeeded) {
                self.send(kind, News::Verdict(verdict)).await;
                if kind == Kind::Startup && verdict {
                    return;
                }
            }
        }
    }

    async fn send(&self, kind: Kind, news: News) {
        // The worker is gone: so is the need to tell it.
        self.sender.send(Change { id: self.id.clone(), kind, news }).await.ok();
    }
}

/// Counts results in a row against the thresholds.
struct Judge {
    verdict: bool,
    successes_needed: i32,
    failures_needed: i32,
    in_a_row: i32,
    last: Option<bool>,
}

impl Judge {
    fn new(kind: Kind, probe: &Probe) -> Self {
        Self {
            // A container lives until proven dead, and is unready until proven ready.
            verdict: kind == Kind::Liveness,
            successes_needed: probe.success_threshold.unwrap_or(1).max(1),
            failures_needed: probe.failure_threshold.unwrap_or(3).max(1),
            in_a_row: 0,
            last: None,
        }
    }

    /// Returns the verdict when it changes; a startup probe's failure counts as a change each time.
    fn count(&mut self, succeeded: bool) -> Option<bool> {
        self.in_a_row = if self.last == Some(succeeded) { self.in_a_row + 1 } else { 1 };
        self.last = Some(succeeded);
        let needed = if succeeded { self.successes_needed } else { self.failures_needed };
        let decided = self.in_a_row == needed;
        if decided && (succeeded != self.verdict || !succeeded) {
            self.verdict = succeeded;
            return Some(succeeded);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_decide() {
        let probe = Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Probe::default() };
        let mut judge = Judge::new(Kind::Readiness, &probe);
        let verdicts: Vec<Option<bool>> = [true, true, true, false, false, true, false, false, false]
            .into_iter()
            .map(|succeeded| judge.count(succeeded))
            .collect();
        let mut expected = vec![None; 9];
        expected[1] = Some(true);
        expected[8] = Some(false);
        assert_eq!(verdicts, expected);
    }

    #[tokio::test]
    async fn a_listening_container_becomes_ready_and_a_deaf_one_not_live() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let container: Container = serde_json::from_value(serde_json::json!({
            "name": "a",
            "readinessProbe": { "tcpSocket": { "port": port }, "periodSeconds": 1 },
            "livenessProbe": { "tcpSocket": { "port": 1 }, "periodSeconds": 1, "failureThreshold": 1 },
        }))
        .unwrap();
        let mut probes = Probes::new(check::no_programs());
        let state = probes.watch("id", &container, Some("127.0.0.1".parse().unwrap())).unwrap();
        assert_eq!(state, ProbeState { started: true, ready: false });
        assert!(probes.watch("id", &container, None).is_none(), "probed already");
        let (mut ready, mut dead) = (false, false);
        while !(ready && dead) {
            let change = probes.changes.recv().await.unwrap();
            match (change.kind, change.news) {
                (Kind::Readiness, News::Verdict(true)) => ready = true,
                (Kind::Liveness, News::Verdict(false)) => dead = true,
                _ => {}
            }
        }
    }
}
