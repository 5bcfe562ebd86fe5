//! One pod's task: look, say, act, wait; until nothing of the pod is left.

mod credentials;
mod report;
mod sandbox;
mod start;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::events::PodEvents;
use super::lifecycle;
use super::memory::{Failure, Memory, Stop};
use super::plan::{self, Action, View};
use super::probes::{self, Kind, News, Probes, Programs};
use super::status::{self, Surroundings};
use super::steady::Steady;
use super::{is_host_network, runs};
use crate::runtime::{ContainerState, ContainerStatus, SandboxState, SandboxStatus};
use crate::volumes::Directories;
use report::{Reported, Reporter};

/// How often volumes that come from the API are brought up to date.
const REFRESH: Duration = Duration::from_secs(60);
/// A pod whose last word the API has not taken is looked at again after this time.
const RETRY: Duration = Duration::from_secs(1);

/// What the API wants of the pod.
#[derive(Debug, Clone)]
pub(crate) struct Desired {
    pub(crate) pod: Arc<Pod>,
    /// The object is gone.
    pub(crate) gone: bool,
}

/// Runs the pod until it is gone, or until the agent stops; then the pod goes on without it.
pub(crate) async fn run(
    context: Arc<Context>,
    desired: watch::Receiver<Desired>,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
) {
    let mut worker = Worker::new(context, desired);
    loop {
        let next = tokio::select! {
            next = worker.round() => next,
            () = shutdown.cancelled() => return,
        };
        let pause = match next {
            Next::Again => continue,
            Next::Done => break,
            Next::Wait(pause) => pause,
        };
        let refresh = worker.refresh_at;
        tokio::select! {
            // An error means that the manager is gone, and so is this task soon.
            changed = worker.desired.changed() => if changed.is_err() { return },
            () = wake.notified() => {}
            Some(change) = worker.probes.changes.recv() => worker.take(change),
            Some(_) = worker.stopping.join_next() => {}
            () = tokio::time::sleep(pause) => {}
            () = tokio::time::sleep_until(refresh) => worker.refresh().await,
            () = shutdown.cancelled() => return,
        }
    }
    worker.context.table.remove(&worker.uid);
}

enum Next {
    /// The world has changed by what was done: look again at once.
    Again,
    /// Nothing to do before something happens, or before this time is over.
    Wait(Duration),
    /// Nothing is left of the pod.
    Done,
}

/// What came of a round's actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acted {
    /// There were none.
    Nothing,
    /// The world is not what it was; memory of a failed try, with the time of the next, counts as a change.
    Changed,
    /// One did not work and nothing remembers that: try again a little later.
    Failed,
}

struct Worker {
    context: Arc<Context>,
    desired: watch::Receiver<Desired>,
    /// What waits are measured by.
    steady: Steady,
    /// The sandbox was looked at before.
    has_looked: bool,
    uid: String,
    events: PodEvents,
    memory: Memory,
    /// The newest status, whether or not the API has it.
    status: PodStatus,
    reporter: Reporter,
    probes: Probes,
    /// Containers that are being stopped.
    stopping: JoinSet<()>,
    volumes: Option<Directories>,
    refresh_at: Instant,
    deleted: bool,
}

impl Worker {
    fn new(context: Arc<Context>, desired: watch::Receiver<Desired>) -> Self {
        let pod = desired.borrow().pod.clone();
        let status = pod.status.clone().unwrap_or_default();
        let (runtime, uid) = (context.runtime.clone(), super::uid(&pod).to_owned());
        let programs: Programs = Arc::new(move |id: String, command, limit| {
            let (runtime, uid) = (runtime.clone(), uid.clone());
            Box::pin(
                async move { runtime.exec_sync(&uid, &id, command, limit).await.map_err(|error| error.to_string()) },
            )
        });
        Self {
            steady: Steady::new(api::clock::now()),
            has_looked: false,
            uid: super::uid(&pod).to_owned(),
            events: PodEvents::new(context.recorder.clone(), &pod),
            memory: Memory::default(),
            reporter: Reporter::new(&context.config.client, &pod, status.clone()),
            status,
            probes: Probes::new(programs),
            stopping: JoinSet::new(),
            volumes: None,
            refresh_at: Instant::now() + REFRESH,
            deleted: false,
            desired,
            context,
        }
    }

    /// Looks at everything once, says what is new and does what is due.
    async fn round(&mut self) -> Next {
        let Desired { pod, gone } = self.desired.borrow_and_update().clone();
        if self.reporter.seen(&pod) {
            status::adopt_foreign(&mut self.status, pod.status.as_ref().unwrap_or(&PodStatus::default()));
        }
        let sandbox = self.observe(&pod).await;
        let now = self.steady.now();
        let view = View {
            pod: &pod,
            gone,
            sandbox: sandbox.as_ref(),
            previous: &self.status,
            memory: &self.memory,
            now,
            time_of_day: api::clock::now(),
        };
        if plan::is_stopping(&view) && self.memory.stopping_since.is_none() {
            self.memory.stopping_since = Some(now);
            return Next::Again;
        }
        let plan = plan::plan(&view);
        let around = Surroundings {
            host_ip: self.context.config.node_ip,
            pod_ips: self.context.network.addresses(&self.uid).unwrap_or_default(),
        };
        let said = status::status(&view, &plan, &around);
        let was_finished = plan::is_finished(&view);
        self.announce(&plan, &said);
        self.status = said;
        self.context.table.set(pod.clone(), self.status.clone());
        if let Some(failure) = plan.fail {
            self.events.warn(&failure.0, failure.1.clone());
            self.memory.failed = Some(failure);
            return Next::Again;
        }
        // The API learns the news while the node acts; only the end of the object must come after the last word.
        let (last, first): (Vec<_>, Vec<_>) = plan.actions.into_iter().partition(|a| *a == Action::DeleteObject);
        let mut reporter = std::mem::take(&mut self.reporter);
        let status = self.status.clone();
        let (reported, acted) = tokio::join!(reporter.report(&status, gone), self.act(&pod, first));
        self.reporter = reporter;
        if !last.is_empty() && reported == Reported::Accepted {
            self.deleted = self.reporter.delete_object().await;
        }
        if self.is_over(gone) {
            return Next::Done;
        }
        let finished_now = !was_finished && matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if acted == Acted::Changed || finished_now {
            return Next::Again;
        }
        let mut pause = plan.wake.map_or(REFRESH, |wake| until(wake, self.steady.now()));
        if reported == Reported::Refused || acted == Acted::Failed || !last.is_empty() {
            pause = pause.min(RETRY);
        }
        Next::Wait(pause)
    }

    /// Whether the task may end: the object is gone and so is everything of it on the node.
    fn is_over(&self, gone: bool) -> bool {
        self.memory.torn_down && (gone || self.deleted)
    }

    /// The pod as the runtime has it, with the starts that failed; also keeps the probes in step.
    async fn observe(&mut self, pod: &Pod) -> Option<SandboxStatus> {
        let mut sandbox = self.context.runtime.pod(&self.uid)?;
        self.read_messages(pod, &sandbox).await;
        sandbox.containers.extend(self.memory.failed_starts.iter().cloned());
        let began = !std::mem::replace(&mut self.has_looked, true);
        self.memory.note_ends(&sandbox.containers, self.steady.now(), began);
        let running: Vec<&ContainerStatus> =
            sandbox.containers.iter().filter(|c| matches!(c.state, ContainerState::Running { .. })).collect();
        let ids: Vec<&str> = running.iter().map(|record| record.id.as_str()).collect();
        self.probes.retain(&ids);
        self.memory.probes.retain(|id, _| ids.contains(&id.as_str()));
        self.memory.unhealthy.retain(|id| ids.contains(&id.as_str()));
        self.memory.stops.retain(|id, _| ids.contains(&id.as_str()));
        let address = self.address(pod);
        for record in running {
            let Some(container) = super::container(pod, &record.name) else { continue };
            if let Some(mut state) = self.probes.watch(&record.id, container, address) {
                // What an earlier agent has found out holds until proven otherwise.
                let reported = runs::reported(&self.status, &record.name);
                let id = Some(format!("kontiki://{}", record.id));
                if let Some(known) = reported.filter(|known| known.container_id == id) {
                    state.started |= known.started == Some(true);
                    state.ready |= known.ready;
                }
                self.memory.probes.insert(record.id.clone(), state);
            }
        }
        Some(sandbox)
    }

    /// Notes what a plan's waiting containers mean for people, once per change.
    fn announce(&self, plan: &plan::Plan, said: &PodStatus) {
        for (name, waiting) in &plan.waiting {
            let before = runs::reported(&self.status, name).and_then(|status| status.state.as_ref()?.waiting.as_ref());
            if before.and_then(|before| before.reason.as_deref()) == Some(waiting.reason.as_str()) {
                continue;
            }
            match waiting.reason.as_str() {
                "CrashLoopBackOff" => {
                    let (namespace, pod) = (self.reporter.namespace(), self.reporter.name());
                    let message =
                        format!("Back-off restarting failed container {name} in pod {pod}_{namespace}({})", self.uid);
                    self.events.warn_of(name, "BackOff", message);
                }
                "ImagePullBackOff" => self.events.warn_of(name, "BackOff", waiting.message.clone()),
                _ => {}
            }
        }
        if said.phase != self.status.phase {
            tracing::info!(pod = self.reporter.name(), phase = said.phase, "pod phase");
        }
    }

    /// Carries actions out in their order; a failure ends the round.
    async fn act(&mut self, pod: &Arc<Pod>, actions: Vec<Action>) -> Acted {
        let mut acted = Acted::Nothing;
        for action in actions {
            let done = match action {
                Action::CreateSandbox => {
                    self.create_sandbox(pod).await;
                    true
                }
                Action::RemoveSandbox => self.remove_sandbox().await,
                Action::Start { name, attempt } => {
                    self.start(pod, &name, attempt).await;
                    true
                }
                Action::Terminate { id, name, grace, message } => {
                    self.events.tell_of(&name, "Killing", message);
                    self.memory.stops.insert(id.clone(), Stop { signalled_at: self.steady.now(), killed_at: None });
                    let hook = self.pre_stop(pod, &name, &id);
                    self.stop_container(id, Duration::try_from(grace).unwrap_or(Duration::MAX), hook);
                    true
                }
                Action::Kill { id } => {
                    let now = self.steady.now();
                    let stop =
                        self.memory.stops.entry(id.clone()).or_insert(Stop { signalled_at: now, killed_at: None });
                    stop.killed_at = Some(now);
                    self.stop_container(id, Duration::ZERO, None);
                    true
                }
                Action::RemoveContainer { id } => self.remove_container(&id).await,
                Action::TearDown => self.tear_down(pod).await,
                Action::DeleteObject => true,
            };
            if !done {
                return Acted::Failed;
            }
            acted = Acted::Changed;
        }
        acted
    }

    /// What is to be done before a container is asked to stop.
    fn pre_stop(&self, pod: &Pod, name: &str, id: &str) -> Option<lifecycle::Place> {
        let container = super::container(pod, name)?;
        lifecycle::pre_stop(container)?;
        Some(lifecycle::Place::new(&self.context.runtime, pod, container, id, self.address(pod)))
    }

    /// Where the pod is reached.
    fn address(&self, pod: &Pod) -> Option<IpAddr> {
        match is_host_network(pod) {
            true => Some(self.context.config.node_ip),
            false => self.context.network.addresses(&self.uid).and_then(|all| all.first().copied()),
        }
    }

    /// Stops a container beside the worker, which hears of its end like of any other. What its hook uses of the grace
    /// period is gone.
    fn stop_container(&mut self, id: String, mut grace: Duration, hook: Option<lifecycle::Place>) {
        let runtime = self.context.runtime.clone();
        let (uid, events) = (self.uid.clone(), self.events.clone());
        self.stopping.spawn(async move {
            let begun = Instant::now();
            if let Some(place) = &hook
                && let Some(handler) = lifecycle::pre_stop(&place.container)
            {
                if let Err(why) = place.run(handler, grace).await {
                    events.warn_of(&place.container.name, "FailedPreStopHook", format!("PreStopHook failed: {why}"));
                }
                grace = grace.saturating_sub(begun.elapsed()).max(lifecycle::GRACE_MIN);
            }
            if let Err(error) = runtime.stop_container(&uid, &id, grace).await {
                tracing::debug!(%error, pod = uid, container = id, "cannot stop a container");
            }
        });
    }

    async fn remove_container(&mut self, id: &str) -> bool {
        let before = self.memory.failed_starts.len();
        self.memory.failed_starts.retain(|failed| failed.id != id);
        if self.memory.failed_starts.len() < before {
            return true;
        }
        self.memory.messages.remove(id);
        match self.context.runtime.remove_container(&self.uid, id).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, pod = self.uid, container = id, "cannot forget a container");
                false
            }
        }
    }

    /// Takes over what a probe says.
    fn take(&mut self, change: probes::Change) {
        let probes::Change { id, kind, news } = change;
        let Some(state) = self.memory.probes.get_mut(&id) else { return };
        let name = self.context.runtime.pod(&self.uid).and_then(|sandbox| {
            sandbox.containers.into_iter().find(|record| record.id == id).map(|record| record.name)
        });
        let name = name.unwrap_or_default();
        match (kind, news) {
            (_, News::Failed(message) | News::Unknown(message)) => self.events.warn_of(&name, "Unhealthy", message),
            (Kind::Startup, News::Verdict(true)) => state.started = true,
            (Kind::Readiness, News::Verdict(ready)) => state.ready = ready,
            (Kind::Liveness, News::Verdict(true)) => {}
            (Kind::Startup | Kind::Liveness, News::Verdict(false)) => {
                self.memory.unhealthy.insert(id);
            }
        }
    }

    /// Brings files that come from the API up to date.
    async fn refresh(&mut self) {
        self.refresh_at = Instant::now() + REFRESH;
        let pod = self.desired.borrow().pod.clone();
        let is_up = self.context.runtime.pod(&self.uid).is_some_and(|sandbox| sandbox.state == SandboxState::Ready);
        if is_up && self.memory.stopping_since.is_none() {
            self.set_up_volumes(&pod).await;
        }
    }

    fn fail_start(&mut self, name: &str, failure: Failure) {
        self.memory.failures.insert(name.to_owned(), failure);
    }
}

/// The time from `now` until `then`; never negative, and never so short that a busy loop could come of it.
fn until(then: Timestamp, now: Timestamp) -> Duration {
    const LEAST: Duration = Duration::from_millis(1);
    Duration::try_from(then.duration_since(now)).unwrap_or(LEAST).max(LEAST)
}
