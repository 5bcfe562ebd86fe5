//! Bugs that etcd had, by the number of the issue. Each is named after what holds instead.
//!
//! Not here: the loss of unsynced writes in #14370 and the paused process of #20418, which the simulation has; #14571, which needs
//! users: there are none, and `refusals` has what is said of them.

use std::time::Duration;

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
        WatchProgressRequest, WatchResponse, request_op::Request, watch_request::RequestUnion,
    },
    raftpb::{Command, command::Body},
};
use store::{
    Error, Event, Owner, Proposal, Store, WatchRange, WatchStream,
    snapshot::{SnapshotSink, SnapshotSource},
    state_machine::StateMachine,
    watch::Step,
};

use crate::{
    cluster::{Cluster, get, put},
    watching::{Watching, events, prefix},
};

const OWNER: Owner = Owner { cluster_id: 1, member_id: 2 };

async fn delete(store: &Store, key: &'static str) -> i64 {
    let request = DeleteRangeRequest { key: key.into(), ..DeleteRangeRequest::default() };
    store.delete_range(request, Proposal::default()).await.unwrap().header.unwrap().revision
}

async fn compact(store: &Store, revision: i64, physical: bool) {
    store.compact(CompactionRequest { revision, physical }).await.unwrap();
}

async fn one_member() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.init().await;
    cluster
}

fn revision_of(answer: &WatchResponse) -> i64 {
    answer.header.as_ref().unwrap().revision
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_15220_progress_is_never_ahead_of_events() {
    const WRITES: i64 = 400;
    let cluster = one_member().await;
    let mut watching = Watching::start(&cluster).await;
    // Many of them, so that not all are looked at in one go.
    for _ in 0..20 {
        watching.create(prefix("a")).await;
    }
    let store = cluster.store(1).clone();
    let writer = tokio::spawn(async move {
        for n in 0..WRITES {
            put(&store, "a", &n.to_string()).await.unwrap();
        }
    });
    let (mut seen, mut told, mut bookmarks) = (vec![2; 20], 2, 0);
    let last = WRITES + 2;
    while seen.iter().any(|revision| *revision < last) {
        watching.send(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
        let answer = watching.answer().await;
        if answer.events.is_empty() {
            bookmarks += 1;
            told = revision_of(&answer);
            assert!(seen.iter().all(|revision| *revision >= told), "told {told}, delivered {seen:?}");
            continue;
        }
        for (_, revision) in events(&answer) {
            let seen = &mut seen[usize::try_from(answer.watch_id).unwrap()];
            assert_eq!(revision, *seen + 1, "each revision once and in order");
            assert!(revision > told, "an event behind a bookmark");
            *seen = revision;
        }
    }
    writer.await.unwrap();
    assert!(bookmarks > 0, "never a bookmark: nothing was tested");
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_17529_no_event_is_lost_on_a_starved_stream() {
    let cluster = one_member().await;
    let store = cluster.store(1);
    let mut watching = Watching::start(&cluster).await;
    for _ in 0..50 {
        watching.create(prefix("a")).await;
    }
    // 50 watches of 100 events of 20 KiB: far more than the connection takes while nobody reads.
    let value = "x".repeat(20 * 1024);
    for _ in 0..100 {
        put(store, "a", &value).await.unwrap();
    }
    let mut seen = [2; 50];
    while seen.iter().any(|revision| *revision < 102) {
        let answer = watching.answer().await;
        assert!(!answer.canceled);
        for (_, revision) in events(&answer) {
            let seen = &mut seen[usize::try_from(answer.watch_id).unwrap()];
            assert_eq!(revision, *seen + 1);
            *seen = revision;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_18089_a_deletion_at_the_compacted_revision_is_still_told() {
    for physical in [false, true] {
        let mut cluster = one_member().await;
        put(cluster.store(1), "a", "1").await.unwrap();
        let at = delete(cluster.store(1), "a").await;
        put(cluster.store(1), "b", "1").await.unwrap();
        compact(cluster.store(1), at, physical).await;
        for restarted in [false, true] {
            if restarted {
                cluster.nodes.get_mut(&1).unwrap().store.take().unwrap().shutdown().await;
                cluster.restart(1).await;
            }
            let mut watching = Watching::start(&cluster).await;
            watching.create(WatchCreateRequest { start_revision: at, ..prefix("a") }).await;
            let answer = watching.answer().await;
            assert!(!answer.canceled, "physical {physical}, restarted {restarted}");
            assert_eq!(events(&answer), [("a".into(), at)], "physical {physical}, restarted {restarted}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_19179_a_watch_opened_at_the_revision_of_a_compaction_misses_no_deletion() {
    let cluster = one_member().await;
    let store = cluster.store(1);
    for round in 0..40 {
        put(store, "a", "1").await.unwrap();
        let at = delete(store, "a").await;
        let mut watching = Watching::start(&cluster).await;
        let request = WatchCreateRequest { start_revision: at, ..prefix("a") };
        // Both at once, so that every order of the two comes up.
        let ((), created) = tokio::join!(compact(store, at, round % 2 == 0), watching.create(request));
        assert!(created.created && !created.canceled);
        let answer = watching.answer().await;
        assert_eq!((answer.canceled, events(&answer)), (false, vec![("a".into(), at)]), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_18667_a_transaction_that_reads_a_compacted_revision_changes_nothing() {
    let cluster = Cluster::three().await;
    let store = cluster.store(cluster.leader().await);
    for n in 0..5 {
        put(store, "a", &n.to_string()).await.unwrap();
    }
    let before = store.view().revision();
    compact(store, before, true).await;
    let op = |request| RequestOp { request: Some(request) };
    let old = RangeRequest { key: "a".into(), revision: before - 1, ..RangeRequest::default() };
    let write = PutRequest { key: "a".into(), value: "wrong".into(), ..PutRequest::default() };
    for ops in [
        vec![op(Request::RequestPut(write.clone())), op(Request::RequestRange(old.clone()))],
        vec![op(Request::RequestRange(old.clone())), op(Request::RequestPut(write))],
        vec![op(Request::RequestTxn(TxnRequest {
            success: vec![op(Request::RequestRange(old))],
            ..TxnRequest::default()
        }))],
    ] {
        let refused = store.txn(TxnRequest { success: ops, ..TxnRequest::default() }, Proposal::default()).await;
        assert_eq!(refused.unwrap_err(), Error::Compacted { compact_revision: before });
    }
    assert_eq!(store.view().revision(), before);
    assert_eq!(get(store, "a").await.unwrap().as_deref(), Some("4"));
    cluster.until_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_20221_a_watch_of_a_future_revision_is_told_nothing_before_it() {
    let cluster = one_member().await;
    let store = cluster.store(1);
    let mut watching = Watching::start(&cluster).await;
    let start = 40;
    watching.create(WatchCreateRequest { start_revision: start, progress_notify: true, ..prefix("a") }).await;
    for revision in 3..=start {
        put(store, "a", "x").await.unwrap();
        if revision % 10 == 0 {
            watching.send(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
        }
    }
    let first = watching.answer().await;
    assert_eq!(events(&first), [("a".into(), start)], "neither old events nor a bookmark below its start");
    watching.send(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
    let bookmark = watching.answer().await;
    assert_eq!((bookmark.events.len(), revision_of(&bookmark)), (0, start));
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_14370_a_single_member_keeps_what_it_acknowledged() {
    let mut cluster = one_member().await;
    for round in 0..10 {
        let store = cluster.store(1).clone();
        let writer = tokio::spawn(async move {
            let mut acknowledged = None;
            for n in 0.. {
                match put(&store, "a", &format!("{round}.{n}")).await {
                    Ok(revision) => acknowledged = Some((revision, n)),
                    Err(_) => return acknowledged,
                }
            }
            None
        });
        let enough = cluster.store(1).view().revision() + 20 * (round + 1);
        crate::cluster::until(async || cluster.store(1).view().revision() > enough).await;
        cluster.kill(1).await;
        let (revision, n) = writer.await.unwrap().unwrap();
        cluster.restart(1).await;
        let kv = cluster.store(1).range(RangeRequest { key: "a".into(), ..RangeRequest::default() }).await.unwrap();
        let kv = &kv.kvs[0];
        assert!(kv.mod_revision >= revision, "acknowledged {revision}, found {}", kv.mod_revision);
        // One more may have been under way.
        let found: i64 = std::str::from_utf8(&kv.value).unwrap().split_once('.').unwrap().1.parse().unwrap();
        assert!((n..=n + 1).contains(&found), "acknowledged {n}, found {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_13766_members_agree_on_every_revision_after_crashes() {
    let mut cluster = Cluster::three().await;
    for round in 0_u64..4 {
        let leader = cluster.leader().await;
        let victim = if round % 2 == 0 { leader } else { 1 + leader % 3 };
        let survivor = 1 + victim % 3;
        let store = cluster.store(survivor).clone();
        let writer = tokio::spawn(async move {
            for n in 0..60 {
                put(&store, &format!("k{}", n % 5), &format!("{round}.{n}")).await.unwrap();
            }
        });
        let enough = cluster.store(survivor).view().revision() + 20;
        crate::cluster::until(async || cluster.store(survivor).view().revision() > enough).await;
        cluster.kill(victim).await;
        writer.await.unwrap();
        cluster.restart(victim).await;
        cluster.until_equal().await;
    }
    let mut histories = Vec::new();
    for id in 1..=3 {
        let mut watch = cluster.store(id).watch(WatchRange { start_revision: 2, ..everything() });
        histories.push(collect(&mut watch).into_iter().map(|event| event.record).collect::<Vec<_>>());
    }
    assert!(histories[0].len() >= 240);
    assert!(histories[1] == histories[0] && histories[2] == histories[0], "not the same records at the same revisions");
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_17780_a_crash_while_compacting_takes_no_revision_back() {
    let mut cluster = one_member().await;
    for round in 0..5 {
        for n in 0..300 {
            put(cluster.store(1), &format!("k{}", n % 3), "x").await.unwrap();
        }
        let (revision, store) = (cluster.store(1).view().revision(), cluster.store(1).clone());
        // The newest revision is a deletion, which compaction removes altogether.
        let revision = if round % 2 == 0 { delete(&store, "k0").await } else { revision };
        let compaction =
            tokio::spawn(async move { store.compact(CompactionRequest { revision, physical: true }).await });
        crate::cluster::until(async || cluster.store(1).view().compacted() == revision).await;
        cluster.kill(1).await;
        drop(compaction.await.unwrap());
        // First from the log, then from a checkpoint.
        for start in ["after a crash", "after a stop"] {
            cluster.restart(1).await;
            let view = cluster.store(1).view();
            assert_eq!((view.revision(), view.compacted()), (revision, revision), "round {round} {start}");
            cluster.nodes.get_mut(&1).unwrap().store.take().unwrap().shutdown().await;
        }
        cluster.restart(1).await;
        assert_eq!(put(cluster.store(1), "k0", "y").await.unwrap(), revision + 1);
    }
}

/// One state machine without its Raft.
struct Machine(StateMachine);

impl Machine {
    fn apply(&self, body: Body) {
        let index = self.0.view().position().map_or(1, |position| position.index + 1);
        self.0.apply(1, index, &Command { body: Some(body), ..Command::default() }).unwrap();
    }

    fn put(&self, key: &'static str) {
        self.apply(Body::Put(PutRequest { key: key.into(), ..PutRequest::default() }));
    }

    /// Takes the whole state over from another, as a member does that fell behind the log.
    fn catch_up(&self, with: &Self) {
        let mut sink = SnapshotSink::new(OWNER.cluster_id);
        for block in SnapshotSource::new(with.0.view(), OWNER) {
            sink.push(&block.unwrap()).unwrap();
        }
        self.0.install(sink.finish().unwrap());
    }
}

fn everything() -> WatchRange {
    WatchRange { key: Bytes::from_static(&[0]), range_end: Bytes::from_static(&[0]), ..WatchRange::default() }
}

/// All events there are now.
fn collect(watch: &mut WatchStream) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        match watch.step().unwrap() {
            Step::Events(batch) => events.extend(batch.events.iter().cloned()),
            Step::Behind => {}
            Step::Idle => return events,
        }
    }
}

fn revisions(watch: &mut WatchStream) -> Vec<i64> {
    collect(watch).iter().map(Event::revision).collect()
}

#[test]
fn etcd_15271_a_watch_on_a_member_that_was_cut_off_never_goes_back() {
    let (ahead, behind) = (Machine(StateMachine::new()), Machine(StateMachine::new()));
    for machine in [&ahead, &behind] {
        (2..=5).for_each(|_| machine.put("a"));
    }
    let mut watch = behind.0.watch(WatchRange { start_revision: 2, ..everything() });
    let mut slow = behind.0.watch(WatchRange { start_revision: 2, ..everything() });
    assert_eq!(revisions(&mut watch), [2, 3, 4, 5]);
    (6..=20).for_each(|_| ahead.put("a"));
    ahead.apply(Body::Compaction(CompactionRequest { revision: 4, physical: false }));
    behind.catch_up(&ahead);
    assert_eq!(revisions(&mut watch), (6..=20).collect::<Vec<_>>(), "each once, in order, none before");
    // One that has not seen what the snapshot no longer holds is told so.
    assert!(matches!(slow.step(), Err(Error::Compacted { compact_revision: 4 })));
    behind.put("b");
    assert_eq!(revisions(&mut watch), [21]);
}

#[test]
fn etcd_18055_two_snapshots_in_a_row_are_taken() {
    let (ahead, behind) = (Machine(StateMachine::new()), Machine(StateMachine::new()));
    let mut watch = behind.0.watch(WatchRange { start_revision: 2, ..everything() });
    for last in [5, 9] {
        while ahead.0.view().revision() < last {
            ahead.put("a");
        }
        behind.catch_up(&ahead);
    }
    behind.catch_up(&ahead);
    assert_eq!(revisions(&mut watch), (2..=9).collect::<Vec<_>>());
    assert_eq!(behind.0.view().hash(), ahead.0.view().hash());
}

#[test]
fn etcd_17247_a_transaction_makes_one_event_of_each_write() {
    let machine = Machine(StateMachine::new());
    let op = |request| RequestOp { request: Some(request) };
    let write = |key: &'static str| op(Request::RequestPut(PutRequest { key: key.into(), ..PutRequest::default() }));
    let read = || op(Request::RequestRange(RangeRequest { key: "a".into(), ..RangeRequest::default() }));
    let nested = |success| op(Request::RequestTxn(TxnRequest { success, ..TxnRequest::default() }));
    let mut watch = machine.0.watch(everything());
    let success = vec![read(), write("a"), nested(vec![read(), write("b"), nested(vec![write("c")])]), read()];
    machine.apply(Body::Txn(TxnRequest { success, ..TxnRequest::default() }));
    let events = collect(&mut watch);
    let seen: Vec<_> = events.iter().map(|event| (&**event.key(), event.revision())).collect();
    assert_eq!(seen, [(&b"a"[..], 2), (b"b", 2), (b"c", 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_14685_a_member_that_defragments_goes_on_serving() {
    use proto::etcdserverpb::{DefragmentRequest, maintenance_client::MaintenanceClient};
    let mut cluster = one_member().await;
    for n in 0..200 {
        put(cluster.store(1), &format!("k{n}"), "x").await.unwrap();
    }
    let mut maintenance = MaintenanceClient::new(cluster.channel(1).await);
    let writes = async {
        for n in 0..50 {
            put(cluster.store(1), "during", &n.to_string()).await.unwrap();
        }
    };
    let (defragmented, ()) = tokio::join!(maintenance.defragment(DefragmentRequest {}), writes);
    defragmented.unwrap();
    tokio::time::timeout(Duration::from_secs(20), cluster.kill(1)).await.unwrap();
    cluster.restart(1).await;
    assert_eq!(get(cluster.store(1), "during").await.unwrap().as_deref(), Some("49"));
    assert_eq!(cluster.store(1).view().count(b"k"), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_14890_a_write_sent_again_to_another_member_is_not_applied_again() {
    let mut cluster = Cluster::three().await;
    let write = |sequence: u64| {
        let put = PutRequest { key: "k".into(), value: sequence.to_string().into(), ..PutRequest::default() };
        let mut request = tonic::Request::new(put);
        for (name, number) in [("kontiki-session", 77), ("kontiki-sequence", sequence)] {
            request.metadata_mut().insert(name, number.to_string().parse().unwrap());
        }
        request
    };
    let mut first = None;
    for id in [1, 2, 3, 1] {
        let mut client = proto::etcdserverpb::kv_client::KvClient::new(cluster.channel(id).await);
        let answer = client.put(write(1)).await.unwrap().into_inner();
        let revision = answer.header.unwrap().revision;
        assert_eq!(*first.get_or_insert(revision), revision, "member {id} gives the first answer");
    }
    assert_eq!(cluster.store(1).view().get(b"k").unwrap().version, 1);
    // What knows of it outlives the leader.
    let leader = cluster.leader().await;
    cluster.kill(leader).await;
    let survivor = 1 + leader % 3;
    let mut client = proto::etcdserverpb::kv_client::KvClient::new(cluster.channel(survivor).await);
    assert_eq!(client.put(write(1)).await.unwrap().into_inner().header.unwrap().revision, first.unwrap());
    client.put(write(2)).await.unwrap();
    assert_eq!(cluster.store(survivor).view().get(b"k").unwrap().version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_20418_a_leader_that_nobody_follows_answers_no_linearizable_read() {
    let mut cluster = Cluster::three().await;
    put(cluster.store(1), "k", "v").await.unwrap();
    let leader = cluster.leader().await;
    for id in [1, 2, 3].into_iter().filter(|id| *id != leader) {
        cluster.kill(id).await;
    }
    let alone = cluster.store(leader);
    let read = RangeRequest { key: "k".into(), ..RangeRequest::default() };
    let refused = alone.range(read.clone()).await.unwrap_err();
    assert!(matches!(refused, Error::NoLeader | Error::Timeout), "{refused:?}");
    let local = alone.range(RangeRequest { serializable: true, ..read }).await.unwrap();
    assert_eq!(local.kvs.len(), 1, "what it has, it gives to whoever asks for that");
}
