//! Gives every pod its worker, and what the API, the runtime or nobody knows a worker too, until it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::worker::{self, Desired};
use crate::reflector::Change;
use crate::runtime::{Event, SandboxStatus};

/// The workers of this node.
pub(crate) struct Manager {
    context: Arc<Context>,
    workers: BTreeMap<String, Handle>,
    /// Pods whose worker has ended and whose object has not been seen to go yet.
    over: BTreeSet<String>,
    tasks: JoinSet<String>,
    shutdown: CancellationToken,
    /// What an earlier agent left is known only once the API has listed its pods.
    has_list: bool,
}

struct Handle {
    desired: watch::Sender<Desired>,
    wake: Arc<Notify>,
}

impl Manager {
    pub(crate) fn new(context: Arc<Context>, shutdown: CancellationToken) -> Self {
        Self {
            context,
            workers: BTreeMap::new(),
            over: BTreeSet::new(),
            tasks: JoinSet::new(),
            shutdown,
            has_list: false,
        }
    }

    /// Serves until the shutdown; then waits for the workers, whose pods go on.
    pub(crate) async fn run(
        mut self,
        mut changes: mpsc::Receiver<Change<Pod>>,
        mut events: broadcast::Receiver<Event>,
    ) {
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => self.apply(change).await,
                    None => break,
                },
                event = events.recv() => match event {
                    Ok(Event::ContainerExited { pod_uid, .. } | Event::SandboxLost { pod_uid }) => self.wake(&pod_uid),
                    Err(RecvError::Lagged(_)) => self.workers.values().for_each(|handle| handle.wake.notify_one()),
                    Err(RecvError::Closed) => break,
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                () = self.shutdown.cancelled() => break,
            }
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn wake(&self, uid: &str) {
        if let Some(handle) = self.workers.get(uid) {
            handle.wake.notify_one();
        }
    }

    fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(uid) => {
                self.workers.remove(&uid);
                self.over.insert(uid);
            }
            // Without its worker a pod would be left alone: better to end, be restarted and find everything again.
            Err(error) => {
                tracing::error!(%error, "a pod's worker has failed");
                self.shutdown.cancel();
            }
        }
    }

    async fn apply(&mut self, change: Change<Pod>) {
        match change {
            Change::Reset(pods) => {
                let present: BTreeSet<String> = pods.iter().map(|pod| super::uid(pod).to_owned()).collect();
                self.over.retain(|uid| present.contains(uid));
                for handle in self.workers.iter().filter(|(uid, _)| !present.contains(*uid)).map(|(_, handle)| handle) {
                    handle.desired.send_modify(|desired| desired.gone = true);
                }
                if !self.has_list {
                    self.has_list = true;
                    self.adopt(&present).await;
                }
                for pod in pods {
                    self.want(Desired { pod: Arc::new(pod), gone: false });
                }
            }
            Change::Applied(pod) => self.want(Desired { pod: Arc::new(pod), gone: false }),
            Change::Deleted(pod) => {
                let uid = super::uid(&pod).to_owned();
                if !self.over.remove(&uid) && self.workers.contains_key(&uid) {
                    self.want(Desired { pod: Arc::new(pod), gone: true });
                }
            }
        }
    }

    fn want(&mut self, desired: Desired) {
        let uid = super::uid(&desired.pod).to_owned();
        if self.over.contains(&uid) {
            return;
        }
        if let Some(handle) = self.workers.get(&uid) {
            handle.desired.send_replace(desired);
            return;
        }
        let (sender, receiver) = watch::channel(desired);
        let wake = Arc::new(Notify::new());
        let worker = worker::run(self.context.clone(), receiver, wake.clone(), self.shutdown.clone());
        self.workers.insert(uid.clone(), Handle { desired: sender, wake });
        self.tasks.spawn(async move {
            worker.await;
            uid
        });
    }

    /// Ends what belongs to no pod of the API: pods that were deleted while no agent ran, and leftovers of a crash.
    async fn adopt(&mut self, present: &BTreeSet<String>) {
        let mut alive = present.clone();
        for sandbox in self.context.runtime.pods() {
            let uid = sandbox.spec.uid.clone();
            if alive.insert(uid) {
                self.want(Desired { pod: Arc::new(stand_in(&sandbox)), gone: true });
            }
        }
        if let Err(error) = self.context.network.retain(&alive).await {
            tracing::warn!(%error, "cannot remove stale pod networks");
        }
        let Ok(folders) = std::fs::read_dir(self.context.config.pods_dir()) else { return };
        for folder in folders.flatten() {
            let uid = folder.file_name().to_string_lossy().into_owned();
            if !alive.contains(&uid)
                && let Err(error) = self.context.volumes.tear_down(&uid, &folder.path()).await
            {
                tracing::warn!(%error, uid, "cannot remove the files of a pod that is gone");
            }
        }
    }
}

/// A pod object for a sandbox whose object is gone: enough to stop it in good order.
fn stand_in(sandbox: &SandboxStatus) -> Pod {
    let names: BTreeSet<&str> = sandbox.containers.iter().map(|record| record.name.as_str()).collect();
    let containers = names.into_iter().map(|name| Container { name: name.to_owned(), ..Container::default() });
    Pod {
        metadata: ObjectMeta {
            name: Some(sandbox.spec.name.clone()),
            namespace: Some(sandbox.spec.namespace.clone()),
            uid: Some(sandbox.spec.uid.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: containers.collect(),
            host_network: Some(sandbox.spec.netns.is_none()),
            ..PodSpec::default()
        }),
        status: None,
    }
}
