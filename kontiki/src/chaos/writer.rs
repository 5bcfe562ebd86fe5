//! Clients that write without pause and remember what was acknowledged, and when.
//!
//! A write whose answer never came is *unknown*: it may or may not be there. Only acknowledged ones must be.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Result;
use bytes::Bytes;
use client::Kubeconfig;
use http::Method;
use parking_lot::Mutex;
use proto::etcdserverpb::PutRequest;
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::transport::Channel;

use super::api::Api;
use crate::etcd;

/// Where a writer writes, and how often.
#[derive(Clone, Debug)]
pub struct Place {
    /// What the keys written through the etcd port begin with.
    pub prefix: String,
    /// The namespace of the ConfigMaps created through the Kubernetes API.
    pub namespace: String,
    /// The pause between two writes.
    pub period: Duration,
    /// How long to wait for one answer before asking elsewhere.
    pub patience: Duration,
}

impl Default for Place {
    fn default() -> Self {
        let (period, patience) = (Duration::from_millis(4), Duration::from_millis(300));
        Self { prefix: "/chaos/".into(), namespace: "default".into(), period, patience }
    }
}

/// A write that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The key, or the ConfigMap's name.
    pub name: String,
    /// When it was first tried.
    pub began: Instant,
    /// When it was acknowledged.
    pub ended: Instant,
    /// The revision that the answer named; none when an earlier try had been taken and its answer was lost.
    pub revision: Option<i64>,
}

/// What a writer did.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// All acknowledged writes, in order.
    pub acknowledged: Vec<Acknowledged>,
    /// When attempts ended whose outcome is unknown.
    pub unknown: Vec<Instant>,
}

impl History {
    /// The longest time without an acknowledgement within a window, and when it began.
    pub fn longest_gap(&self, from: Instant, to: Instant) -> (Instant, Duration) {
        self.gaps(from, to).into_iter().max_by_key(|(_, gap)| *gap).unwrap_or((from, Duration::ZERO))
    }

    /// All times between two acknowledgements within a window: when each began, and how long it was.
    pub(crate) fn gaps(&self, from: Instant, to: Instant) -> Vec<(Instant, Duration)> {
        let times = self.acknowledged.iter().map(|write| write.ended);
        let inside = times.filter(|time| (from..=to).contains(time));
        let marks: Vec<Instant> = std::iter::once(from).chain(inside).chain([to]).collect();
        marks.windows(2).map(|pair| (pair[0], pair[1].saturating_duration_since(pair[0]))).collect()
    }
}

/// A running writer, on a thread of its own so that nothing else delays its clock.
pub struct Writer {
    history: Arc<Mutex<History>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Writes keys through the etcd ports of these masters (name, address); it turns to the next when one is silent.
    ///
    /// # Errors
    /// When the cluster's etcd certificate cannot be read.
    pub fn through_etcd(cluster: &Path, masters: &[(String, String)], place: &Place) -> Result<Self> {
        let access = etcd::Access::load(&cluster.join("etcd"))?;
        let urls: Vec<String> = masters.iter().map(|(_, address)| format!("https://{address}:2379")).collect();
        let prefix = place.prefix.clone();
        Self::start(place, move || {
            let channels = urls.iter().map(|url| access.channel(url)).collect::<Result<_>>()?;
            Ok(Target::Etcd { channels, turn: 0, prefix })
        })
    }

    /// Creates ConfigMaps with the address and the certificate of the written kubeconfig, as kubectl does.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub fn through_kubeconfig(cluster: &Path, place: &Place) -> Result<Self> {
        let api = Api::of_kubeconfig(&Kubeconfig::read(&cluster.join("kubeconfig"))?)?;
        let path = format!("/api/v1/namespaces/{}/configmaps", place.namespace);
        Self::start(place, move || Ok(Target::Api { api, path }))
    }

    fn start(place: &Place, target: impl FnOnce() -> Result<Target> + Send + 'static) -> Result<Self> {
        let history = Arc::new(Mutex::new(History::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (history.clone(), stop.clone());
        let pace = (place.period, place.patience);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                match target() {
                    Ok(mut target) => write_on(&mut target, pace, &shared, &stopped).await,
                    Err(error) => tracing::error!(%error, "a writer cannot begin"),
                }
            });
        });
        Ok(Self { history, stop, thread })
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.history.lock().acknowledged.len()
    }

    /// Ends the writing and gives its history.
    ///
    /// # Panics
    /// When the writer's thread panicked.
    pub fn finish(self) -> History {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the writer ran to its end");
        std::mem::take(&mut self.history.lock())
    }
}

async fn write_on(
    target: &mut Target,
    (period, patience): (Duration, Duration),
    history: &Mutex<History>,
    stopped: &AtomicBool,
) {
    let mut pace = interval(period);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        let name = format!("write-{number:08}");
        pace.tick().await;
        let began = Instant::now();
        let revision = loop {
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            if let Ok(Ok(revision)) = timeout(patience, target.write(&name)).await {
                break revision;
            }
            history.lock().unknown.push(Instant::now());
            target.turn();
            pace.tick().await;
        };
        history.lock().acknowledged.push(Acknowledged { name, began, ended: Instant::now(), revision });
    }
}

enum Target {
    Etcd { channels: Vec<Channel>, turn: usize, prefix: String },
    Api { api: Api, path: String },
}

impl Target {
    async fn write(&mut self, name: &str) -> Result<Option<i64>> {
        match self {
            Self::Etcd { channels, turn, prefix } => {
                let value = Bytes::from_static(&[b'x'; 256]);
                let put = PutRequest { key: format!("{prefix}{name}").into(), value, ..PutRequest::default() };
                let channel = channels[*turn % channels.len()].clone();
                let answer = proto::etcdserverpb::kv_client::KvClient::new(channel).put(put).await?.into_inner();
                Ok(answer.header.map(|header| header.revision))
            }
            Self::Api { api, path } => {
                let body = format!(
                    r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"k":"v"}}}}"#
                );
                let (status, answer) = api.ask(Method::POST, path, body.into()).await?;
                // 409: an earlier attempt with this name had been taken, and its answer was lost.
                if status == 409 {
                    return Ok(None);
                }
                anyhow::ensure!(status.is_success(), "status {status}");
                Ok(Some(serde_json::from_slice::<Object>(&answer)?.revision()?))
            }
        }
    }

    /// After a failure: the next master, or a new connection.
    fn turn(&mut self) {
        match self {
            Self::Etcd { turn, .. } => *turn += 1,
            Self::Api { api, .. } => api.forget(),
        }
    }
}

/// What is read of an object.
#[derive(Deserialize)]
pub(crate) struct Object {
    pub(crate) metadata: Metadata,
}

/// What is read of its metadata.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) resource_version: String,
}

impl Object {
    /// Kontiki's resource versions are the store's revisions.
    pub(crate) fn revision(&self) -> Result<i64> {
        Ok(self.metadata.resource_version.parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_counts_the_edges_of_the_window() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let write = |millis| Acknowledged { name: String::new(), began: at(0), ended: at(millis), revision: None };
        let history = History { acknowledged: [10, 20, 90].map(write).to_vec(), unknown: Vec::new() };
        assert_eq!(history.longest_gap(at(0), at(100)), (at(20), Duration::from_millis(70)));
        assert_eq!(history.longest_gap(at(0), at(300)), (at(90), Duration::from_millis(210)));
        assert_eq!(history.longest_gap(at(400), at(500)), (at(400), Duration::from_millis(100)));
    }
}
