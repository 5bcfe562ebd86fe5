//! Thousands of random requests, the same to us and to etcd: every answer must be the same, and so must every event.
//!
//! The seed is fixed, so a difference comes again; `KONTIKI_SEED` and `KONTIKI_REQUESTS` look further. What etcd itself leaves open is left out of the comparison: the order
//! of keys with equal sort values.

use std::fmt::Debug;

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
        RangeRequest, RequestOp, ResponseOp, TxnRequest, WatchCreateRequest, WatchRequest, compare::TargetUnion,
        kv_client::KvClient, lease_client::LeaseClient, request_op::Request, response_op::Response,
        watch_client::WatchClient, watch_request::RequestUnion,
    },
    mvccpb::{Event, KeyValue},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tonic::{Status, transport::Channel};

use crate::target::{DEADLINE, Target};

const SEED: u64 = 0x5EED;
const REQUESTS: u64 = 2500;
const KEYS: &[&str] = &["a", "a/1", "a/2", "b", "b/1", "b/\u{0}", "c", "c/x", "d", "e"];

/// One of the services' calls.
#[derive(Debug, Clone)]
enum Call {
    Range(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
    Grant(LeaseGrantRequest),
    Revoke(LeaseRevokeRequest),
}

struct Generator {
    random: SmallRng,
    /// The newest revision and the compacted one, as the answers tell.
    revision: i64,
    compacted: i64,
}

impl Generator {
    fn one_in(&mut self, n: u32) -> bool {
        self.random.random_range(0..n) == 0
    }

    fn below(&mut self, n: i32) -> i32 {
        self.random.random_range(0..n)
    }

    fn key(&mut self) -> Bytes {
        if self.one_in(200) {
            return Bytes::new();
        }
        KEYS[self.random.random_range(0..KEYS.len())].into()
    }

    fn end(&mut self) -> Bytes {
        match self.below(8) {
            0 => Bytes::from_static(&[0]),
            1 | 2 => self.key(),
            3 => "c".into(),
            _ => Bytes::new(),
        }
    }

    fn value(&mut self) -> Bytes {
        ["", "x", "y", "z"][self.random.random_range(0..4)].into()
    }

    /// Mostly one that exists, sometimes a bit outside of what can be read.
    fn some_revision(&mut self) -> i64 {
        match self.below(12) {
            0 => self.revision + i64::from(self.below(3)),
            1 => self.compacted - i64::from(self.below(3)),
            2 => -1,
            _ => self.random.random_range(self.compacted..=self.revision),
        }
    }

    fn bound(&mut self) -> i64 {
        if self.one_in(6) { self.some_revision() } else { 0 }
    }

    fn lease(&mut self) -> i64 {
        if self.one_in(3) { i64::from(self.below(6)) } else { 0 }
    }

    fn range(&mut self) -> RangeRequest {
        let mut request = RangeRequest {
            key: self.key(),
            range_end: self.end(),
            limit: i64::from(self.below(6)) - 1,
            revision: if self.one_in(3) { self.some_revision() } else { 0 },
            sort_order: self.below(3),
            sort_target: if self.one_in(3) { self.below(5) } else { 0 },
            serializable: self.one_in(4),
            keys_only: self.one_in(4),
            count_only: self.one_in(8),
            min_mod_revision: self.bound(),
            max_mod_revision: self.bound(),
            min_create_revision: self.bound(),
            max_create_revision: self.bound(),
        };
        if request.sort_target != 0 {
            // Which of the equal ones are within a limit is open, and in no order etcd even limits before it sorts.
            request.limit = 0;
        }
        request
    }

    fn put(&mut self) -> PutRequest {
        PutRequest {
            key: self.key(),
            value: self.value(),
            lease: self.lease(),
            prev_kv: self.one_in(2),
            ignore_value: self.one_in(10),
            ignore_lease: self.one_in(10),
        }
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        DeleteRangeRequest { key: self.key(), range_end: self.end(), prev_kv: self.one_in(2) }
    }

    fn compare(&mut self) -> Compare {
        let number = i64::from(self.below(4));
        let (target, union) = match self.below(5) {
            0 => (0, TargetUnion::Version(number)),
            1 => (1, TargetUnion::CreateRevision(if self.one_in(2) { 0 } else { self.some_revision() })),
            2 => (2, TargetUnion::ModRevision(self.some_revision())),
            3 => (3, TargetUnion::Value(self.value())),
            _ => (4, TargetUnion::Lease(number)),
        };
        let range_end = if self.one_in(4) { self.end() } else { Bytes::new() };
        let target_union = (!self.one_in(20)).then_some(union);
        Compare { result: self.below(4), target, key: self.key(), range_end, target_union }
    }

    fn ops(&mut self, depth: u32) -> Vec<RequestOp> {
        let count = self.below(4);
        let op = |generator: &mut Self| match generator.below(10) {
            0..=3 => Some(Request::RequestPut(generator.put())),
            4..=6 => Some(Request::RequestRange(generator.range())),
            7 => Some(Request::RequestDeleteRange(generator.delete())),
            _ if depth > 0 => Some(Request::RequestTxn(generator.txn(depth - 1))),
            _ => (!generator.one_in(8)).then(|| Request::RequestRange(generator.range())),
        };
        (0..count).map(|_| RequestOp { request: op(self) }).collect()
    }

    fn txn(&mut self, depth: u32) -> TxnRequest {
        let compares = self.below(3);
        TxnRequest {
            compare: (0..compares).map(|_| self.compare()).collect(),
            success: self.ops(depth),
            failure: self.ops(depth),
        }
    }

    /// A transaction that deletes a key and then puts it with what it had before ends the process of etcd 3.4.
    fn survivable_txn(&mut self) -> TxnRequest {
        loop {
            let txn = self.txn(3);
            let text = format!("{txn:?}");
            let keeps = text.contains("ignore_value: true") || text.contains("ignore_lease: true");
            if !(keeps && text.contains(r#"range_end: b"\0", prev_kv"#)) {
                return txn;
            }
        }
    }

    fn call(&mut self) -> Call {
        match self.below(100) {
            0..=29 => Call::Range(self.range()),
            30..=54 => Call::Put(self.put()),
            55..=64 => Call::Delete(self.delete()),
            65..=92 => Call::Txn(self.survivable_txn()),
            93 | 94 => {
                let revision = if self.one_in(3) { self.some_revision() } else { self.compacted + 20 };
                Call::Compact(CompactionRequest { revision, physical: self.one_in(2) })
            }
            95..=97 => Call::Grant(LeaseGrantRequest { id: i64::from(self.below(5)) + 1, ttl: 9999 }),
            _ => Call::Revoke(LeaseRevokeRequest { id: i64::from(self.below(5)) + 1 }),
        }
    }
}

/// The calls of one server, on one connection.
struct Server {
    kv: KvClient<Channel>,
    lease: LeaseClient<Channel>,
    watch: WatchClient<Channel>,
}

/// What was answered, without who answered; and the revision it tells.
type Said = (String, i64);

fn said<T: Debug>(answer: Result<tonic::Response<T>, Status>, comparable: impl FnOnce(&mut T) -> Option<i64>) -> Said {
    match answer {
        Ok(answer) => {
            let mut answer = answer.into_inner();
            let revision = comparable(&mut answer);
            (format!("{revision:?} {answer:?}"), revision.unwrap_or(0))
        }
        Err(status) => (format!("{:?}: {}", status.code(), status.message()), 0),
    }
}

macro_rules! plain {
    ($answer:expr) => {
        said($answer, |answer| answer.header.take().map(|header| header.revision))
    };
}

impl Server {
    async fn of(target: &Target) -> Self {
        let channel = target.channel().await;
        Self {
            kv: KvClient::new(channel.clone()),
            lease: LeaseClient::new(channel.clone()),
            watch: WatchClient::new(channel),
        }
    }

    async fn say(&mut self, call: Call) -> Said {
        match call {
            Call::Range(request) => {
                let unordered = request.sort_target != 0;
                said(self.kv.range(request).await, |answer| {
                    order(&mut answer.kvs, unordered);
                    answer.header.take().map(|header| header.revision)
                })
            }
            Call::Put(request) => plain!(self.kv.put(request).await),
            Call::Delete(request) => plain!(self.kv.delete_range(request).await),
            Call::Txn(request) => said(self.kv.txn(request).await, |answer| {
                answer.responses.iter_mut().for_each(strip);
                answer.header.take().map(|header| header.revision)
            }),
            Call::Compact(request) => plain!(self.kv.compact(request).await),
            Call::Grant(request) => plain!(self.lease.lease_grant(request).await),
            Call::Revoke(request) => plain!(self.lease.lease_revoke(request).await),
        }
    }

    /// All events of a watch up to a revision.
    async fn events(&mut self, request: WatchCreateRequest, upto: i64) -> Vec<Event> {
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(request)) };
        let requests =
            futures_util::StreamExt::chain(tokio_stream::once(create), futures_util::stream::pending::<WatchRequest>());
        let mut answers = self.watch.watch(requests).await.unwrap().into_inner();
        let mut events: Vec<Event> = Vec::new();
        while events.last().is_none_or(|event| event.kv.as_ref().unwrap().mod_revision < upto) {
            let answer = tokio::time::timeout(DEADLINE, answers.message()).await.unwrap().unwrap().unwrap();
            assert!(!answer.canceled, "{answer:?}");
            events.extend(answer.events);
        }
        events
    }
}

fn order(kvs: &mut [KeyValue], unordered: bool) {
    if unordered {
        kvs.sort_by(|a, b| a.key.cmp(&b.key));
    }
}

/// Inside a transaction nobody says who answered; the order of a range is not known here, so none is compared.
fn strip(op: &mut ResponseOp) {
    match &mut op.response {
        Some(Response::ResponseTxn(txn)) => {
            // etcd leaves the header of a nested transaction empty.
            txn.header = None;
            txn.responses.iter_mut().for_each(strip);
        }
        Some(Response::ResponseRange(range)) => order(&mut range.kvs, true),
        Some(Response::ResponsePut(_) | Response::ResponseDeleteRange(_)) | None => {}
    }
}

/// A transaction with several reasons to be refused names one: etcd 3.4 looks at puts first, later ones go in order.
fn depends_on_state(said: &str) -> bool {
    ["required revision", "requested lease not found", "etcdserver: key not found"].iter().any(|why| said.contains(why))
}

#[tokio::test(flavor = "multi_thread")]
async fn random_requests_are_answered_as_by_etcd() {
    let [ours, etcd] = Target::both().await;
    let (mut here, mut there) = (Server::of(&ours).await, Server::of(&etcd).await);
    let number = |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (seed, requests) = (number("KONTIKI_SEED", SEED), number("KONTIKI_REQUESTS", REQUESTS));
    let mut generator = Generator { random: SmallRng::seed_from_u64(seed), revision: 1, compacted: 0 };
    for n in 0..20 {
        let put = PutRequest { key: KEYS[n % KEYS.len()].into(), ..PutRequest::default() };
        assert_eq!(here.say(Call::Put(put.clone())).await, there.say(Call::Put(put)).await);
        generator.revision += 1;
    }
    let first = Call::Compact(CompactionRequest { revision: 2, physical: true });
    assert_eq!(here.say(first.clone()).await, there.say(first).await);
    generator.compacted = 2;
    let mut answered = 0;
    for n in 0..requests {
        let call = generator.call();
        let ((said, revision), (expected, _)) = tokio::join!(here.say(call.clone()), there.say(call.clone()));
        if matches!(call, Call::Txn(_)) && depends_on_state(&said) && depends_on_state(&expected) {
            continue;
        }
        assert_eq!(said, expected, "request {n} at revision {}: {call:?}", generator.revision);
        generator.revision = generator.revision.max(revision);
        if let (Call::Compact(request), true) = (&call, revision > 0) {
            generator.compacted = request.revision;
        }
        answered += u64::from(revision > 0);
    }
    println!("{answered} of {requests} were granted, up to revision {}", generator.revision);
    assert!(answered > requests / 2, "too many refusals to say anything: {answered}");

    // One revision that every watch sees, as the end.
    for server in [&mut here, &mut there] {
        for key in KEYS {
            server.say(Call::Put(PutRequest { key: (*key).into(), ..PutRequest::default() })).await;
        }
        let all = DeleteRangeRequest { key: "a".into(), range_end: Bytes::from_static(&[0]), prev_kv: false };
        server.say(Call::Delete(all)).await;
        let again: Vec<_> = KEYS.iter().map(|key| PutRequest { key: (*key).into(), ..PutRequest::default() }).collect();
        let success = again.into_iter().map(|put| RequestOp { request: Some(Request::RequestPut(put)) }).collect();
        server.say(Call::Txn(TxnRequest { success, ..TxnRequest::default() })).await;
    }
    let last = generator.revision + KEYS.len() as i64;
    for (key, range_end, prev_kv, filters, upto) in [
        ("a", Bytes::from_static(&[0]), true, vec![], last + 2),
        ("a/", "a0".into(), false, vec![0], last + 1),
        ("b", "c".into(), true, vec![1], last + 2),
        ("c", Bytes::new(), false, vec![], last + 2),
    ] {
        let (key, start_revision) = (key.into(), generator.compacted + 1);
        let request =
            WatchCreateRequest { key, range_end, prev_kv, filters, start_revision, ..WatchCreateRequest::default() };
        let (seen, expected) = tokio::join!(here.events(request.clone(), upto), there.events(request.clone(), upto));
        assert_eq!(seen, expected, "{request:?}");
    }
    ours.stop().await;
}
