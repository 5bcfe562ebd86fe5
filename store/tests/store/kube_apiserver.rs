//! What a stock kube-apiserver asks its etcd, request by request: the answers are those of etcd.

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use proto::{
    etcdserverpb::{
        CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RangeResponse,
        RequestOp, StatusRequest, TxnRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
        compare::{CompareTarget, TargetUnion},
        kv_client::KvClient,
        lease_client::LeaseClient,
        maintenance_client::MaintenanceClient,
        request_op::Request,
        watch_client::WatchClient,
        watch_request::RequestUnion,
    },
    mvccpb::Event,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming, transport::Channel};

use crate::{
    cluster::{Cluster, put},
    target::{DEADLINE, Target},
};

const PODS: &str = "/registry/pods/";
const PODS_END: &str = "/registry/pods0";
const COMPACTED: &str = "compact_rev_key";

fn get(key: &str) -> RangeRequest {
    RangeRequest { key: key.to_owned().into(), limit: 1, ..RangeRequest::default() }
}

fn list() -> RangeRequest {
    RangeRequest { range_end: PODS_END.into(), limit: 0, ..get(PODS) }
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// Writes when the key is as it was; else reads it, when asked to.
fn optimistic(key: &str, revision: i64, write: Request, on_failure: bool) -> TxnRequest {
    let compare = Compare {
        key: key.to_owned().into(),
        target: CompareTarget::Mod.into(),
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..Compare::default()
    };
    let failure = if on_failure { vec![op(Request::RequestRange(get(key)))] } else { Vec::new() };
    TxnRequest { compare: vec![compare], success: vec![op(write)], failure }
}

fn write(key: &str, value: &str, lease: i64) -> Request {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    Request::RequestPut(PutRequest { key, value, lease, ..PutRequest::default() })
}

fn remove(key: &str) -> Request {
    Request::RequestDeleteRange(DeleteRangeRequest { key: key.to_owned().into(), ..DeleteRangeRequest::default() })
}

/// The compactor's turn: whoever changes the key first compacts.
fn compactor(version: i64, revision: i64) -> TxnRequest {
    let compare = Compare {
        key: COMPACTED.into(),
        target: CompareTarget::Version.into(),
        target_union: Some(TargetUnion::Version(version)),
        ..Compare::default()
    };
    let success = vec![op(write(COMPACTED, &revision.to_string(), 0))];
    TxnRequest { compare: vec![compare], success, failure: vec![op(Request::RequestRange(get(COMPACTED)))] }
}

/// What was said, but for who said it.
fn noted<T: Debug>(log: &mut Vec<String>, answer: Result<Response<T>, Status>) {
    let text = match answer {
        Ok(answer) => format!("{:?}", answer.into_inner()),
        Err(status) => format!("{:?} {}", status.code(), status.message()),
    };
    let without = |text: String, name: &str| {
        let parts: Vec<_> = text.split(name).collect();
        parts.iter().map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect::<Vec<_>>().join("")
    };
    log.push(["cluster_id: ", "member_id: ", "raft_term: "].into_iter().fold(text, without));
}

async fn everything_but_watches(target: &Target) -> Vec<String> {
    let mut kv = target.kv().await;
    let mut lease = LeaseClient::new(target.channel().await);
    let mut log = Vec::new();
    let key = |n: usize| format!("{PODS}default/pod-{n}");
    noted(&mut log, lease.lease_grant(LeaseGrantRequest { id: 77, ttl: 3660 }).await);
    for n in 0..6 {
        let create = optimistic(&key(n), 0, write(&key(n), "created", if n == 5 { 77 } else { 0 }), false);
        noted(&mut log, kv.txn(create).await);
    }
    noted(&mut log, kv.txn(optimistic(&key(0), 0, write(&key(0), "again", 0), true)).await);
    noted(&mut log, kv.txn(optimistic(&key(1), 3, write(&key(1), "updated", 0), true)).await);
    noted(&mut log, kv.txn(optimistic(&key(1), 3, write(&key(1), "conflict", 0), true)).await);
    noted(&mut log, kv.txn(optimistic(&key(2), 4, remove(&key(2)), true)).await);
    noted(&mut log, kv.txn(optimistic(&key(2), 4, remove(&key(2)), true)).await);
    for request in [
        get(&key(1)),
        get(&key(2)),
        RangeRequest { revision: 3, ..get(&key(1)) },
        list(),
        RangeRequest { limit: 2, ..list() },
        RangeRequest { limit: 2, revision: 7, key: format!("{}\0", key(1)).into(), ..list() },
        RangeRequest { revision: 5, ..list() },
        RangeRequest { count_only: true, ..list() },
        RangeRequest { keys_only: true, limit: 3, ..list() },
        RangeRequest { revision: 99, ..list() },
        // The current revision, and the health check.
        RangeRequest { limit: 0, ..get("/registry/none") },
        RangeRequest { limit: 0, ..get("/registry/health") },
    ] {
        noted(&mut log, kv.range(request).await);
    }
    noted(&mut log, kv.txn(compactor(0, 6)).await);
    noted(&mut log, kv.compact(CompactionRequest { revision: 6, physical: false }).await);
    noted(&mut log, kv.txn(compactor(0, 6)).await);
    noted(&mut log, kv.range(RangeRequest { revision: 5, ..list() }).await);
    noted(&mut log, kv.range(RangeRequest { revision: 6, limit: 2, ..list() }).await);
    noted(&mut log, kv.compact(CompactionRequest { revision: 6, physical: false }).await);
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kube_apiserver_gets_etcds_answers() {
    let [ours, etcd] = Target::both().await;
    let (said, expected) = tokio::join!(everything_but_watches(&ours), everything_but_watches(&etcd));
    assert_eq!(said.len(), expected.len());
    for (said, expected) in said.iter().zip(&expected) {
        assert_eq!(said, expected);
    }
    let mut maintenance = MaintenanceClient::new(ours.channel().await);
    let version = maintenance.status(StatusRequest {}).await.unwrap().into_inner().version;
    let numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
    assert!(numbers >= vec![3, 5, 13], "{version} is too old for progress requests");
    ours.stop().await;
}

/// A watch as the API server opens it: all of a resource, with old values and bookmarks, only while there is a leader.
async fn watch(channel: Channel, start_revision: i64) -> (mpsc::Sender<WatchRequest>, Streaming<WatchResponse>) {
    let (requests, taken) = mpsc::channel(4);
    let create = WatchCreateRequest {
        key: PODS.into(),
        range_end: PODS_END.into(),
        start_revision,
        prev_kv: true,
        progress_notify: true,
        ..WatchCreateRequest::default()
    };
    requests.send(WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }).await.unwrap();
    let mut request = tonic::Request::new(ReceiverStream::new(taken));
    request.metadata_mut().insert("hasleader", "true".parse().unwrap());
    let answers = WatchClient::new(channel).watch(request).await.unwrap().into_inner();
    (requests, answers)
}

async fn next(answers: &mut Streaming<WatchResponse>) -> WatchResponse {
    tokio::time::timeout(DEADLINE, answers.message()).await.unwrap().unwrap().unwrap()
}

async fn watched(target: &Target) -> Vec<Event> {
    let (requests, mut answers) = watch(target.channel().await, 7).await;
    assert!(next(&mut answers).await.created);
    let mut events = Vec::new();
    while events.len() < 3 {
        events.extend(next(&mut answers).await.events);
    }
    let ask = RequestUnion::ProgressRequest(WatchProgressRequest {});
    requests.send(WatchRequest { request_union: Some(ask) }).await.unwrap();
    let bookmark = next(&mut answers).await;
    // The compactor's key is the last revision, and none of the watch's.
    assert_eq!((bookmark.watch_id, bookmark.events.len(), bookmark.header.unwrap().revision), (-1, 0, 10));
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kube_apiserver_sees_etcds_events() {
    let [ours, etcd] = Target::both().await;
    everything_but_watches(&ours).await;
    everything_but_watches(&etcd).await;
    let (seen, expected) = tokio::join!(watched(&ours), watched(&etcd));
    assert_eq!(seen, expected);
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_requires_a_leader_ends_on_a_member_without_one() {
    let mut cluster = Cluster::three().await;
    let (_requests, mut answers) = watch(cluster.channel(1).await, 0).await;
    assert!(next(&mut answers).await.created);
    // A change of leader is no reason to end.
    let leader = cluster.leader().await;
    let next_leader = 1 + leader % 3;
    cluster.store(1).move_leader(next_leader).await.unwrap();
    put(cluster.store(1), "/registry/pods/a", "1").await.unwrap();
    assert_eq!(next(&mut answers).await.events.len(), 1);
    cluster.kill(2).await;
    cluster.kill(3).await;
    let ended = tokio::time::timeout(DEADLINE, answers.message()).await.unwrap().unwrap_err();
    assert_eq!((ended.code(), ended.message()), (tonic::Code::Unavailable, "etcdserver: no leader"));
    let mut maintenance = MaintenanceClient::new(cluster.channel(1).await);
    let status = maintenance.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.leader, status.errors), (0, vec!["etcdserver: no leader".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_range_adds_up_to_the_range() {
    let ours = Target::ours().await;
    let mut kv: KvClient<Channel> = ours.kv().await;
    for n in 0..60 {
        let value = Bytes::from(vec![b'x'; 100 * 1024]);
        let key = format!("{PODS}{n:03}").into();
        kv.put(PutRequest { key, value, ..PutRequest::default() }).await.unwrap();
    }
    for request in [
        list(),
        RangeRequest { limit: 25, ..list() },
        RangeRequest { limit: 60, ..list() },
        RangeRequest { revision: 30, ..list() },
        RangeRequest { keys_only: true, ..list() },
        RangeRequest { range_end: Bytes::new(), ..get(PODS) },
    ] {
        let whole = kv.clone().max_decoding_message_size(64 << 20).range(request.clone()).await.unwrap().into_inner();
        let mut parts = kv.range_stream(request.clone()).await.unwrap().into_inner();
        let (mut merged, mut count) = (RangeResponse::default(), 0);
        while let Some(part) = tokio::time::timeout(DEADLINE, parts.message()).await.unwrap().unwrap() {
            assert!(merged.header.is_none(), "only the last part has a header");
            let part = part.range_response.unwrap();
            assert!(part.encoded_len() < 2 << 20, "each is small enough for any client");
            merged.merge(&*part.encode_to_vec()).unwrap();
            count += 1;
        }
        assert_eq!(merged, whole, "{request:?}");
        assert!(count > 1 || whole.encoded_len() < 2 << 20);
    }
    // Counting is known to etcd's client as one part.
    let mut parts = kv.range_stream(RangeRequest { count_only: true, ..list() }).await.unwrap().into_inner();
    let only = parts.message().await.unwrap().unwrap().range_response.unwrap();
    assert_eq!((only.count, only.kvs.len(), only.header.is_some()), (60, 0, true));
    assert!(parts.message().await.unwrap().is_none());
    ours.stop().await;
}
