//! The Watch service over the wire, where etcdctl does not look.

use std::time::Duration;

use proto::etcdserverpb::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
    watch_client::WatchClient, watch_create_request::FilterType, watch_request::RequestUnion,
};
use store::{
    Proposal,
    etcdserverpb::{CompactionRequest, DeleteRangeRequest, PutRequest},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::cluster::{Cluster, put};

const DEADLINE: Duration = Duration::from_secs(20);

/// One stream of watches.
pub(crate) struct Watching {
    requests: mpsc::Sender<WatchRequest>,
    pub(crate) answers: Streaming<WatchResponse>,
}

impl Watching {
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        let channel = cluster.channel(1).await;
        let (requests, taken) = mpsc::channel(16);
        let answers = WatchClient::new(channel).watch(ReceiverStream::new(taken)).await.unwrap().into_inner();
        Self { requests, answers }
    }

    pub(crate) async fn send(&self, request: RequestUnion) {
        self.requests.send(WatchRequest { request_union: Some(request) }).await.unwrap();
    }

    pub(crate) async fn answer(&mut self) -> WatchResponse {
        tokio::time::timeout(DEADLINE, self.answers.message()).await.unwrap().unwrap().unwrap()
    }

    pub(crate) async fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        self.send(RequestUnion::CreateRequest(request)).await;
        self.answer().await
    }
}

pub(crate) fn prefix(key: &str) -> WatchCreateRequest {
    let mut end = key.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    WatchCreateRequest { key: key.to_owned().into(), range_end: end.into(), ..WatchCreateRequest::default() }
}

pub(crate) fn events(answer: &WatchResponse) -> Vec<(String, i64)> {
    let kvs = answer.events.iter().map(|event| event.kv.as_ref().unwrap());
    kvs.map(|kv| (String::from_utf8_lossy(&kv.key).into_owned(), kv.mod_revision)).collect()
}

async fn one_member() -> (Cluster, Watching) {
    let mut cluster = Cluster::new();
    cluster.init().await;
    let watching = Watching::start(&cluster).await;
    (cluster, watching)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_watches_share_one_stream() {
    let (cluster, mut watching) = one_member().await;
    let store = cluster.store(1);
    let first = watching.create(prefix("a")).await;
    let second = watching.create(WatchCreateRequest { watch_id: 7, ..prefix("b") }).await;
    assert_eq!((first.watch_id, first.created, first.canceled), (0, true, false));
    assert_eq!((second.watch_id, second.created), (7, true));
    let twice = watching.create(WatchCreateRequest { watch_id: 7, ..prefix("b") }).await;
    assert!(twice.created && twice.canceled && !twice.cancel_reason.is_empty());

    put(store, "a1", "x").await.unwrap();
    put(store, "b1", "x").await.unwrap();
    let (one, other) = (watching.answer().await, watching.answer().await);
    assert_eq!((one.watch_id, events(&one)), (0, vec![("a1".into(), 3)]));
    assert_eq!((other.watch_id, events(&other)), (7, vec![("b1".into(), 4)]));

    watching.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 7 })).await;
    let ended = watching.answer().await;
    assert_eq!((ended.watch_id, ended.canceled, ended.compact_revision), (7, true, 0));
    put(store, "b2", "x").await.unwrap();
    put(store, "a2", "x").await.unwrap();
    assert_eq!(events(&watching.answer().await), [("a2".into(), 6)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bookmark_tells_how_far_all_watches_are() {
    let (cluster, mut watching) = one_member().await;
    let store = cluster.store(1);
    put(store, "a1", "x").await.unwrap();
    watching.create(WatchCreateRequest { start_revision: 3, progress_notify: true, ..prefix("a") }).await;
    assert_eq!(events(&watching.answer().await), [("a1".into(), 3)]);
    put(store, "z", "x").await.unwrap();
    watching.send(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
    let progress = watching.answer().await;
    assert_eq!((progress.watch_id, progress.events.len(), progress.header.unwrap().revision), (-1, 0, 4));
    // The periodic one comes by itself, for the watch that asked for it.
    put(store, "z", "y").await.unwrap();
    let progress = watching.answer().await;
    assert_eq!((progress.watch_id, progress.events.len(), progress.header.unwrap().revision), (0, 0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_previous_values_are_as_asked() {
    let (cluster, mut watching) = one_member().await;
    let store = cluster.store(1);
    let filters = vec![FilterType::Noput.into()];
    watching.create(WatchCreateRequest { filters, prev_kv: true, ..prefix("a") }).await;
    put(store, "a1", "x").await.unwrap();
    let delete = DeleteRangeRequest { key: "a1".into(), ..DeleteRangeRequest::default() };
    store.delete_range(delete, Proposal::default()).await.unwrap();
    let answer = watching.answer().await;
    assert_eq!(events(&answer), [("a1".into(), 4)]);
    assert_eq!(answer.events[0].prev_kv.as_ref().unwrap().value, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_is_split_only_for_clients_that_can_join_it() {
    let (cluster, mut watching) = one_member().await;
    let store = cluster.store(1);
    let large = "x".repeat(1024 * 1024);
    for key in ["a1", "a2", "a3"] {
        put(store, key, &large).await.unwrap();
    }
    // With their old values the three deletions are one answer of 3 MiB.
    watching.create(WatchCreateRequest { prev_kv: true, fragment: true, ..prefix("a") }).await;
    let delete = DeleteRangeRequest { key: "a".into(), range_end: "b".into(), prev_kv: false };
    store.delete_range(delete, Proposal::default()).await.unwrap();
    let parts = [watching.answer().await, watching.answer().await, watching.answer().await];
    assert_eq!(parts.each_ref().map(|part| part.fragment), [true, true, false]);
    assert_eq!(parts.iter().flat_map(events).map(|(_, revision)| revision).collect::<Vec<_>>(), [6, 6, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_of_the_future_waits_and_one_of_the_compacted_past_ends() {
    let (cluster, mut watching) = one_member().await;
    let store = cluster.store(1);
    watching.create(WatchCreateRequest { start_revision: 4, ..prefix("a") }).await;
    for n in 3..6 {
        put(store, "a", &n.to_string()).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(events(&watching.answer().await).into_iter().map(|(_, revision)| revision));
    }
    assert_eq!(seen, [4, 5]);
    store.compact(CompactionRequest { revision: 5, physical: false }).await.unwrap();
    let created = watching.create(WatchCreateRequest { start_revision: 4, ..prefix("a") }).await;
    assert!(created.created);
    let ended = watching.answer().await;
    assert_eq!((ended.canceled, ended.compact_revision, ended.watch_id), (true, 5, created.watch_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_nobody_up() {
    let (cluster, mut lazy) = one_member().await;
    let store = cluster.store(1);
    lazy.create(prefix("a")).await;
    let value = "x".repeat(64 * 1024);
    for n in 0..200 {
        let request =
            PutRequest { key: format!("a{n:03}").into(), value: value.clone().into(), ..PutRequest::default() };
        store.put(request, Proposal::default()).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 200 {
        seen.extend(events(&lazy.answer().await).into_iter().map(|(_, revision)| revision));
    }
    assert_eq!(seen, (3..203).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_told_when_its_history_is_gone() {
    let (cluster, mut lazy) = one_member().await;
    let store = cluster.store(1);
    let created = lazy.create(prefix("a")).await;
    let value = "x".repeat(256 * 1024);
    // More than is made ahead of a client and than its connection holds.
    for n in 0..200 {
        let key = format!("a{n:03}").into();
        let request = PutRequest { key, value: value.clone().into(), ..PutRequest::default() };
        store.put(request, Proposal::default()).await.unwrap();
    }
    let last = store.view().revision();
    store.compact(CompactionRequest { revision: last, physical: true }).await.unwrap();
    let mut seen = Vec::new();
    let ended = loop {
        let answer = lazy.answer().await;
        if answer.canceled {
            break answer;
        }
        seen.extend(events(&answer).into_iter().map(|(_, revision)| revision));
    };
    assert_eq!((ended.watch_id, ended.compact_revision), (created.watch_id, last));
    let expected: Vec<i64> = (created.header.unwrap().revision + 1..).take(seen.len()).collect();
    assert!(seen == expected && seen.len() < 200, "all of the first ones, and no later one: {seen:?}");
    // Others are served by the same member, and it by the same stream.
    lazy.create(prefix("b")).await;
    put(store, "b", "x").await.unwrap();
    assert_eq!(events(&lazy.answer().await), [("b".to_owned(), last + 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_watches_of_one_member_all_hear_of_a_write() {
    const STREAMS: usize = 50;
    const WATCHES: usize = 200;
    let (cluster, first) = one_member().await;
    let mut streams = vec![first];
    while streams.len() < STREAMS {
        streams.push(Watching::start(&cluster).await);
    }
    for stream in &mut streams {
        for _ in 0..WATCHES {
            assert!(stream.create(prefix("k")).await.created);
        }
    }
    put(cluster.store(1), "k", "v").await.unwrap();
    let revision = cluster.store(1).view().revision();
    for stream in &mut streams {
        let mut told = std::collections::BTreeSet::new();
        while told.len() < WATCHES {
            let answer = stream.answer().await;
            assert_eq!(events(&answer), [("k".to_owned(), revision)]);
            assert!(told.insert(answer.watch_id), "once each");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_watched_is_refused_in_etcds_words() {
    let (_cluster, mut watching) = one_member().await;
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    for (request, reason) in [
        (WatchCreateRequest { start_revision: -1, ..prefix("a") }, compacted),
        (WatchCreateRequest { range_end: "a".into(), ..prefix("b") }, "mvcc: watcher range is empty"),
        (WatchCreateRequest { range_end: "a".into(), ..prefix("a") }, "mvcc: watcher range is empty"),
    ] {
        let answer = watching.create(request).await;
        assert_eq!((answer.watch_id, answer.created, answer.canceled), (-1, true, true));
        assert_eq!((answer.cancel_reason.as_str(), answer.compact_revision), (reason, 0));
    }
    let all = WatchCreateRequest { key: "".into(), range_end: vec![0].into(), ..WatchCreateRequest::default() };
    assert!(!watching.create(all).await.canceled);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_watch_is_free_again_after_its_end() {
    let (_cluster, mut watching) = one_member().await;
    let with = |watch_id| WatchCreateRequest { watch_id, ..prefix("a") };
    assert_eq!(watching.create(with(1)).await.watch_id, 1);
    assert_eq!(watching.create(with(0)).await.watch_id, 0);
    assert_eq!(watching.create(with(0)).await.watch_id, 2, "the next one that nobody has");
    watching.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 1 })).await;
    assert!(watching.answer().await.canceled);
    // The end of a watch that there is none of is not answered.
    watching.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 1 })).await;
    let again = watching.create(with(1)).await;
    assert_eq!((again.watch_id, again.created, again.canceled), (1, true, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_go_on_when_the_client_has_nothing_more_to_ask() {
    let (cluster, mut watching) = one_member().await;
    watching.create(prefix("a")).await;
    let Watching { requests, mut answers } = watching;
    drop(requests);
    put(cluster.store(1), "a", "x").await.unwrap();
    let answer = tokio::time::timeout(DEADLINE, answers.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(events(&answer), [("a".into(), 3)]);
}
