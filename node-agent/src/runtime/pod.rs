//! One pod in the agent's memory: its containers' states, kept up to date by what its shim says.

use std::{collections::BTreeMap, os::fd::OwnedFd, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{broadcast, oneshot, watch};

use super::{
    ContainerState, ContainerStatus, Error, Event, Exit, SandboxState, SandboxStatus,
    protocol::{ExitRecord, Failure, Reply, Request},
    record::{ContainerRecord, SandboxRecord},
    shim::{Answer, Listener, Shim},
    status::UNKNOWN_CODE,
};

/// A pod.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) record: SandboxRecord,
    pub(super) dir: PathBuf,
    /// The pod's control group.
    pub(super) group: PathBuf,
    /// Held while something is made or removed, so that these never overlap in one pod.
    pub(super) changes: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    events: broadcast::Sender<Event>,
}

#[derive(Debug)]
struct State {
    /// `None`: lost, or not connected yet.
    shim: Option<Shim>,
    /// Made, or found again; before that nobody is told of the pod.
    complete: bool,
    /// Being removed: ends are no news.
    removing: bool,
    containers: BTreeMap<String, Container>,
    /// Who waits for the end of a program that runs in a container.
    execs: BTreeMap<u64, oneshot::Sender<i32>>,
}

#[derive(Debug)]
struct Container {
    record: ContainerRecord,
    state: watch::Sender<ContainerState>,
}

impl Pod {
    pub(super) fn new(record: SandboxRecord, dir: PathBuf, group: PathBuf, events: broadcast::Sender<Event>) -> Self {
        let (containers, execs) = (BTreeMap::new(), BTreeMap::new());
        let state = State { shim: None, complete: false, removing: false, containers, execs };
        Self { record, dir, group, changes: tokio::sync::Mutex::default(), state: Mutex::new(state), events }
    }

    pub(super) fn uid(&self) -> &str {
        &self.record.spec.uid
    }

    pub(super) fn connected(&self, shim: Shim) {
        self.state.lock().shim = Some(shim);
    }

    pub(super) fn complete(&self) {
        self.state.lock().complete = true;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.state.lock().complete
    }

    pub(super) fn begin_removal(&self) {
        self.state.lock().removing = true;
    }

    pub(super) fn add(&self, record: ContainerRecord, state: ContainerState) {
        let container = Container { record, state: watch::Sender::new(state) };
        self.state.lock().containers.insert(container.record.id.clone(), container);
    }

    pub(super) fn drop_container(&self, id: &str) {
        self.state.lock().containers.remove(id);
    }

    /// The program runs, unless its end was heard of first.
    pub(super) fn started(&self, id: &str, pid: u32, started_at: Timestamp) {
        if let Some(container) = self.state.lock().containers.get(id) {
            container.state.send_if_modified(|state| {
                let waiting = *state == ContainerState::Created;
                if waiting {
                    *state = ContainerState::Running { pid, started_at };
                }
                waiting
            });
        }
    }

    pub(super) fn record_of(&self, id: &str) -> Result<ContainerRecord, Error> {
        let state = self.state.lock();
        let found = state.containers.get(id).map(|container| container.record.clone());
        found.ok_or_else(|| Error::ContainerNotFound(id.to_owned()))
    }

    pub(super) fn watch(&self, id: &str) -> Result<watch::Receiver<ContainerState>, Error> {
        let state = self.state.lock();
        let found = state.containers.get(id).map(|container| container.state.subscribe());
        found.ok_or_else(|| Error::ContainerNotFound(id.to_owned()))
    }

    pub(super) fn container(&self, id: &str) -> Option<ContainerStatus> {
        self.state.lock().containers.get(id).map(|container| self.status_of(container))
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.state.lock().containers.keys().cloned().collect()
    }

    pub(super) fn running(&self) -> Vec<String> {
        let state = self.state.lock();
        let runs = |container: &&Container| !matches!(*container.state.borrow(), ContainerState::Exited(_));
        state.containers.values().filter(runs).map(|container| container.record.id.clone()).collect()
    }

    pub(super) fn status(&self) -> SandboxStatus {
        let state = self.state.lock();
        let mut containers: Vec<_> = state.containers.values().map(|container| self.status_of(container)).collect();
        containers.sort_by(|a, b| (&a.name, a.attempt).cmp(&(&b.name, b.attempt)));
        SandboxStatus {
            spec: self.record.spec.clone(),
            state: if state.shim.is_some() { SandboxState::Ready } else { SandboxState::Lost },
            created_at: self.record.created_at,
            containers,
        }
    }

    fn status_of(&self, container: &Container) -> ContainerStatus {
        let record = container.record.clone();
        ContainerStatus {
            id: record.id,
            pod_uid: self.uid().to_owned(),
            name: record.name,
            attempt: record.attempt,
            image: record.image,
            image_id: record.image_id,
            log_path: record.log_path,
            labels: record.labels,
            state: container.state.borrow().clone(),
        }
    }

    /// Asks the shim.
    pub(super) async fn call(&self, request: Request, file: Option<OwnedFd>) -> Result<Reply, Error> {
        self.call_with(request, file.into_iter().collect()).await.map(|(reply, _)| reply)
    }

    /// Asks the shim with several descriptors; one may come back.
    pub(super) async fn call_with(&self, request: Request, files: Vec<OwnedFd>) -> Result<Answer, Error> {
        let lost = || Error::ShimLost(self.uid().to_owned());
        let shim = self.state.lock().shim.clone().ok_or_else(lost)?;
        shim.call(request, files).await.map_err(|_| lost())
    }

    /// Waits for the end of a program that is about to be run. To be called before it is.
    pub(super) fn expect_exec(&self, number: u64) -> oneshot::Receiver<i32> {
        let (sender, exit) = oneshot::channel();
        self.state.lock().execs.insert(number, sender);
        exit
    }

    /// The program was not run after all.
    pub(super) fn forget_exec(&self, number: u64) {
        self.state.lock().execs.remove(&number);
    }

    /// Asks the shim for something about one container that has no answer but success.
    pub(super) async fn command(&self, id: &str, request: Request) -> Result<(), Error> {
        match self.call(request, None).await? {
            Reply::Failed { failure: Failure::NotFound, .. } => Err(Error::ContainerNotFound(id.to_owned())),
            Reply::Failed { message, .. } => Err(Error::Invalid(message)),
            Reply::Done | Reply::Started { .. } | Reply::Attached { .. } | Reply::State { .. } => Ok(()),
        }
    }

    fn end(&self, state: &State, id: &str, exit: Exit) {
        let Some(container) = state.containers.get(id) else { return };
        let fresh = container.state.send_if_modified(|current| {
            let fresh = !matches!(current, ContainerState::Exited(_));
            if fresh {
                *current = ContainerState::Exited(exit.clone());
            }
            fresh
        });
        if fresh && !state.removing {
            let (pod_uid, name, id) = (self.uid().to_owned(), container.record.name.clone(), id.to_owned());
            // Without a receiver nobody needs the event.
            self.events.send(Event::ContainerExited { pod_uid, name, id, exit }).ok();
        }
    }

    /// The end of a container that nobody observed.
    pub(super) fn unobserved(&self, record: &ContainerRecord, started_at: Option<Timestamp>) -> Exit {
        record.exit(&self.dir).unwrap_or_else(|| {
            let now = Timestamp::now();
            Exit {
                code: UNKNOWN_CODE,
                signal: None,
                oom_killed: false,
                unknown: true,
                started_at: started_at.unwrap_or(now),
                finished_at: now,
            }
        })
    }
}

/// A pod listens to its shim without keeping itself alive.
#[derive(Debug)]
pub(super) struct PodListener {
    pub(super) pod: std::sync::Weak<Pod>,
    /// Kills what the shim left.
    pub(super) cgroups: Arc<crate::cgroup::Cgroups>,
}

impl Listener for PodListener {
    fn exited(&self, id: &str, exit: ExitRecord) {
        if let Some(pod) = self.pod.upgrade() {
            pod.end(&pod.state.lock(), id, exit.into());
        }
    }

    fn exec_exited(&self, number: u64, code: i32) {
        let Some(pod) = self.pod.upgrade() else { return };
        let waiting = pod.state.lock().execs.remove(&number);
        if let Some(waiting) = waiting {
            // Whoever ran the program may have lost interest.
            waiting.send(code).ok();
        }
    }

    fn lost(&self) {
        let Some(pod) = self.pod.upgrade() else { return };
        // Containers die with their shim; this is for processes that gave up that tie.
        if let Err(error) = self.cgroups.kill(&pod.group) {
            tracing::warn!(pod = pod.uid(), %error, "processes of a pod without shim may run on");
        }
        let mut state = pod.state.lock();
        state.shim = None;
        state.execs.clear();
        for (id, container) in &state.containers {
            let started_at = match &*container.state.borrow() {
                ContainerState::Created => None,
                ContainerState::Running { started_at, .. } => Some(*started_at),
                ContainerState::Exited(_) => continue,
            };
            let exit = pod.unobserved(&container.record, started_at);
            pod.end(&state, id, exit);
        }
        if !state.removing {
            pod.events.send(Event::SandboxLost { pod_uid: pod.uid().to_owned() }).ok();
        }
    }
}
