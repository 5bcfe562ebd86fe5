//! Watchers on both APIs, one through each master: they write down every event, and resume where they were when a stream
//! breaks or falls silent.
//!
//! What must hold of what they heard is in [`super::oracles`].

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::etcd::Access;

mod etcd;
mod kubernetes;

/// A stream is left for another master when it is silent for so long: writers write all the time.
const SILENCE: Duration = Duration::from_secs(2);
/// How long a watch may take to begin.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before the next master is tried.
const PAUSE: Duration = Duration::from_millis(50);

/// A change of a key or an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    pub(crate) key: String,
    pub(crate) revision: i64,
}

/// What one watcher heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// Which watcher.
    pub(crate) name: String,
    /// Events after this revision were to be told.
    pub(crate) after: i64,
    /// In the order in which they were told.
    pub(crate) events: Vec<Event>,
    /// When it went on at another master, or again at the same one.
    pub(crate) resumed: Vec<std::time::Instant>,
    /// Why it cannot go on, if it cannot.
    pub(crate) stuck: Option<String>,
}

impl Heard {
    /// The last revision it was told of.
    fn last(&self) -> i64 {
        self.events.last().map_or(self.after, |event| event.revision)
    }
}

/// Where a watcher listens.
#[derive(Clone)]
enum Source {
    Etcd(etcd::Masters),
    Kubernetes(kubernetes::Masters),
}

/// The last revisions that there will be: of a key, and of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub(crate) key: i64,
    pub(crate) object: i64,
}

/// Why a stream ended.
enum End {
    /// It broke, or was silent: it can be resumed.
    Broken,
    /// It cannot be resumed.
    Stuck(String),
    /// Everything was heard.
    Done,
}

/// The running watchers.
pub(crate) struct Watchers {
    heard: Vec<Arc<Mutex<Heard>>>,
    tasks: JoinSet<()>,
    /// What a watcher has to hear before it may end, once that is known.
    last: watch::Sender<Option<Last>>,
}

impl Watchers {
    /// Begins to watch keys below `prefix`, and the ConfigMaps of a namespace, after these revisions.
    pub(crate) fn start(
        (access, urls, prefix, after): (&Access, &[String], &str, i64),
        (tls, addresses, namespace, after_version): (Arc<rustls::ClientConfig>, &[std::net::SocketAddr], &str, i64),
    ) -> Self {
        let (last, _) = watch::channel(None);
        let mut watchers = Self { heard: Vec::new(), tasks: JoinSet::new(), last };
        let keys = etcd::Masters { access: access.clone(), urls: urls.to_vec(), prefix: prefix.to_owned() };
        let objects = kubernetes::Masters { tls, addresses: addresses.to_vec(), namespace: namespace.to_owned() };
        for first in 0..urls.len() {
            watchers.spawn(format!("etcd watch {}", first + 1), first, after, Source::Etcd(keys.clone()));
            let name = format!("Kubernetes watch {}", first + 1);
            watchers.spawn(name, first, after_version, Source::Kubernetes(objects.clone()));
        }
        watchers
    }

    fn spawn(&mut self, name: String, first: usize, after: i64, source: Source) {
        let heard = Arc::new(Mutex::new(Heard { name, after, ..Heard::default() }));
        self.heard.push(heard.clone());
        self.tasks.spawn(watch_on(source, first, heard, self.last.subscribe()));
    }

    /// Waits until all have heard of the last changes, but not for longer than this; gives what they heard.
    pub(crate) async fn finish(mut self, last: Last, patience: Duration) -> Vec<Heard> {
        self.last.send_replace(Some(last));
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            self.tasks.abort_all();
        }
        self.heard.iter().map(|heard| heard.lock().clone()).collect()
    }
}

async fn watch_on(source: Source, first: usize, heard: Arc<Mutex<Heard>>, last: watch::Receiver<Option<Last>>) {
    let mut began = false;
    for turn in first.. {
        let done = || {
            let last = last.borrow().map(|last| match &source {
                Source::Etcd(_) => last.key,
                Source::Kubernetes(_) => last.object,
            });
            last.is_some_and(|last| heard.lock().last() >= last)
        };
        if done() {
            return;
        }
        let after = heard.lock().last();
        let end = match &source {
            Source::Etcd(masters) => match masters.open(turn, after).await {
                Ok(stream) => {
                    note_resumption(&heard, &mut began);
                    etcd::follow(stream, &heard, done).await
                }
                Err(_) => End::Broken,
            },
            Source::Kubernetes(masters) => match masters.open(turn, after).await {
                Ok(stream) => {
                    note_resumption(&heard, &mut began);
                    kubernetes::follow(stream, &heard, done).await
                }
                Err(_) => End::Broken,
            },
        };
        match end {
            End::Broken => sleep(PAUSE).await,
            End::Stuck(why) => {
                heard.lock().stuck = Some(why);
                return;
            }
            End::Done => return,
        }
    }
}

fn note_resumption(heard: &Mutex<Heard>, began: &mut bool) {
    if std::mem::replace(began, true) {
        heard.lock().resumed.push(std::time::Instant::now());
    }
}

/// When the next silence would be too long.
fn silence_ends() -> Instant {
    Instant::now() + SILENCE
}
