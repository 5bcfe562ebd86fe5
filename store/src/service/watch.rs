//! etcd's Watch service: many watches on one stream.
//!
//! The answer stream is its own task: it looks at its watches when something was published and when it has room, so a
//! client that does not read costs one cursor per watch and nothing more.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use prost::Message;
use proto::etcdserverpb::{
    WatchCreateRequest, WatchRequest, WatchResponse, watch_create_request::FilterType, watch_request::RequestUnion,
    watch_server::Watch,
};
use tokio::time::{Instant, MissedTickBehavior};
use tonic::{Request, Response, Status, Streaming};

use super::{Service, leader::LeaderRequired};
use crate::{
    Error, WatchBatch, WatchRange, WatchStream,
    command::REQUEST_BYTES_MAX,
    watch::{Step, Wake},
    world::Planted,
};

/// How often a quiet watch that asked for it is told how far it has come.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Watches of one stream.
const WATCHES_MAX: usize = 4096;
/// Answers made ahead of what the connection has taken.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// An answer that stands for all watches of the stream.
const ALL_WATCHES: i64 = -1;

#[tonic::async_trait]
impl Watch for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        let leader = LeaderRequired::new(&self.store, request.metadata());
        let session = Session::new(self.clone(), request.into_inner(), leader);
        let answers = stream::unfold(Some(session), |session| async {
            let mut session = session?;
            match session.next().await {
                Ok(Some(answer)) => Some((Ok(answer), Some(session))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// One stream of requests and answers.
struct Session {
    service: Service,
    /// None once the client has said all it had to say: its watches go on.
    requests: Option<Streaming<WatchRequest>>,
    leader: LeaderRequired,
    watches: BTreeMap<i64, Watcher>,
    /// Those that may find something when they look.
    ready: BTreeSet<i64>,
    next_id: i64,
    /// Where the next look begins, so that every watch gets its turn.
    turn: i64,
    wake: Arc<Wake>,
    ticks: tokio::time::Interval,
    /// A client asked how far all of its watches are.
    progress_asked: bool,
    answers: VecDeque<WatchResponse>,
}

struct Watcher {
    stream: WatchStream,
    /// The first revision the client wants.
    start: i64,
    previous: bool,
    fragment: bool,
    progress: bool,
    /// The revision up to which the client knows everything.
    told: i64,
}

impl Session {
    fn new(service: Service, requests: Streaming<WatchRequest>, leader: LeaderRequired) -> Self {
        let mut ticks = tokio::time::interval_at(Instant::now() + PROGRESS_INTERVAL, PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wake = Arc::new(service.store.inner.state.wake());
        Self {
            service,
            requests: Some(requests),
            leader,
            watches: BTreeMap::new(),
            ready: BTreeSet::new(),
            next_id: 0,
            turn: 0,
            wake,
            ticks,
            progress_asked: false,
            answers: VecDeque::new(),
        }
    }

    /// The next answer, or none when the client has ended the stream.
    async fn next(&mut self) -> Result<Option<WatchResponse>, Status> {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Ok(Some(answer));
            }
            let behind = self.look()?;
            if !self.answers.is_empty() {
                continue;
            }
            if behind {
                tokio::task::yield_now().await;
                continue;
            }
            if std::mem::take(&mut self.progress_asked) {
                self.tell_all_progress();
                continue;
            }
            if self.requests.is_none() && self.watches.is_empty() {
                return Ok(None);
            }
            tokio::select! {
                biased;
                request = next_request(&mut self.requests) => match request? {
                    Some(request) => self.take(request),
                    None => self.requests = None,
                },
                changed = self.wake.changed() => changed?,
                _ = self.ticks.tick() => self.tell_progress(),
                status = self.leader.lost() => return Err(status),
            }
        }
    }

    /// Lets every watch look once that may find something, or as many as there is room for. True when there is more to look at.
    fn look(&mut self) -> Result<bool, Status> {
        self.ready.append(&mut self.wake.ready());
        let order: Vec<i64> = self.ready.range(self.turn..).chain(self.ready.range(..self.turn)).copied().collect();
        let mut bytes = 0;
        for id in order {
            if bytes >= ANSWER_BYTES_MAX {
                break;
            }
            self.turn = id.saturating_add(1);
            let Some(watcher) = self.watches.get_mut(&id) else {
                self.ready.remove(&id);
                continue;
            };
            match watcher.stream.step() {
                Ok(Step::Events(batch)) => {
                    watcher.told = batch.revision;
                    let header = Some(self.service.header_at(batch.revision));
                    let answers = watcher.answers(id, &batch).inspect(|answer| bytes += answer.encoded_len());
                    self.answers.extend(answers.map(|answer| WatchResponse { header, ..answer }));
                }
                Ok(Step::Behind) => {}
                Ok(Step::Idle) => drop(self.ready.remove(&id)),
                Err(error @ Error::Compacted { compact_revision }) => {
                    self.end(id, compact_revision, error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(!self.ready.is_empty())
    }

    fn end(&mut self, watch_id: i64, compact_revision: i64, cancel_reason: String) {
        self.ready.remove(&watch_id);
        if self.watches.remove(&watch_id).is_some() {
            let header = Some(self.service.store.header());
            let ended = WatchResponse { header, watch_id, canceled: true, ..WatchResponse::default() };
            self.answers.push_back(WatchResponse { compact_revision, cancel_reason, ..ended });
        }
    }

    fn take(&mut self, request: WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(request),
            Some(RequestUnion::CancelRequest(request)) => self.end(request.watch_id, 0, String::new()),
            Some(RequestUnion::ProgressRequest(_)) => self.progress_asked = true,
            None => {}
        }
    }

    fn create(&mut self, request: WatchCreateRequest) {
        let created =
            WatchResponse { header: Some(self.service.store.header()), created: true, ..WatchResponse::default() };
        let refused = |watch_id, reason: &str| WatchResponse {
            watch_id,
            canceled: true,
            cancel_reason: reason.to_owned(),
            ..created.clone()
        };
        if let Some(reason) = self.refusal(&request) {
            self.answers.push_back(refused(ALL_WATCHES, &reason));
            return;
        }
        let watch_id = if request.watch_id == 0 { self.free_id() } else { request.watch_id };
        let mut range = range_of(&request);
        let world = &self.service.store.inner.world;
        if world.has(Planted::ResumeTooLate) && range.start_revision > 1 {
            range.start_revision += 1;
        }
        let stream = self.service.store.inner.state.watch_on(range, &self.wake, watch_id);
        let told = stream.reached();
        let WatchCreateRequest { prev_kv: previous, fragment, progress_notify: progress, .. } = request;
        let start = request.start_revision;
        self.watches.insert(watch_id, Watcher { stream, start, previous, fragment, progress, told });
        self.answers.push_back(WatchResponse { watch_id, ..created });
    }

    /// Why there cannot be such a watch, in etcd's words.
    fn refusal(&self, request: &WatchCreateRequest) -> Option<String> {
        if self.watches.len() >= WATCHES_MAX {
            return Some(Error::TooManyRequests.to_string());
        }
        if request.start_revision < 0 {
            return Some(Error::Compacted { compact_revision: 0 }.to_string());
        }
        let WatchRange { key, range_end, .. } = range_of(request);
        if !range_end.is_empty() && *range_end != [0] && key >= range_end {
            return Some("mvcc: watcher range is empty".to_owned());
        }
        let taken = request.watch_id != 0 && self.watches.contains_key(&request.watch_id);
        taken.then(|| "mvcc: duplicate watch ID provided on the WatchStream".to_owned())
    }

    fn free_id(&mut self) -> i64 {
        while self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    /// Every watch has just been found idle, so all have come as far as the slowest. As long as one of them waits for its
    /// first revision nothing is said: the client would take it for a place to go on from, and be sent what it did not want.
    fn tell_all_progress(&mut self) {
        let Some(mut revision) = self.watches.values().map(|watcher| watcher.stream.reached()).min() else { return };
        if self.service.store.inner.world.has(Planted::ProgressAheadOfEvents) {
            revision += 1;
        }
        if self.watches.values().all(|watcher| watcher.start <= revision) {
            let header = Some(self.service.header_at(revision));
            self.answers.push_back(WatchResponse { header, watch_id: ALL_WATCHES, ..WatchResponse::default() });
        }
    }

    fn tell_progress(&mut self) {
        for (id, watcher) in self.watches.iter_mut().filter(|(_, watcher)| watcher.progress) {
            let reached = watcher.stream.reached();
            if reached >= watcher.start && std::mem::replace(&mut watcher.told, reached) < reached {
                let header = Some(self.service.header_at(reached));
                self.answers.push_back(WatchResponse { header, watch_id: *id, ..WatchResponse::default() });
            }
        }
    }
}

async fn next_request(requests: &mut Option<Streaming<WatchRequest>>) -> Result<Option<WatchRequest>, Status> {
    match requests {
        Some(requests) => requests.message().await,
        None => std::future::pending().await,
    }
}

fn range_of(request: &WatchCreateRequest) -> WatchRange {
    let filters = |filter: FilterType| request.filters.contains(&filter.into());
    WatchRange {
        // As in etcd: no key means the first of all keys.
        key: if request.key.is_empty() { Bytes::from_static(&[0]) } else { request.key.clone() },
        range_end: request.range_end.clone(),
        start_revision: request.start_revision,
        no_put: filters(FilterType::Noput),
        no_delete: filters(FilterType::Nodelete),
        progress: None,
    }
}

impl Watcher {
    /// The answers that carry a batch: one, or several parts when the client can join them.
    fn answers(&self, watch_id: i64, batch: &WatchBatch) -> impl Iterator<Item = WatchResponse> + use<> {
        let mut parts = VecDeque::from([WatchResponse { watch_id, ..WatchResponse::default() }]);
        let mut bytes = 0;
        for event in batch.events.iter() {
            let event = event.to_proto(self.previous);
            let len = event.encoded_len();
            if self.fragment && bytes > 0 && bytes + len > REQUEST_BYTES_MAX {
                if let Some(part) = parts.back_mut() {
                    part.fragment = true;
                }
                parts.push_back(WatchResponse { watch_id, ..WatchResponse::default() });
                bytes = 0;
            }
            bytes += len;
            if let Some(part) = parts.back_mut() {
                part.events.push(event);
            }
        }
        parts.into_iter()
    }
}
