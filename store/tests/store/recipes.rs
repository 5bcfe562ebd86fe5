//! Locks, elections and compare-and-swap, as clients use them, on us and on etcd.

use std::time::Duration;

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        Compare, LeaseGrantRequest, LeaseRevokeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
        compare::{CompareTarget, TargetUnion},
        kv_client::KvClient,
        lease_client::LeaseClient,
        request_op::Request,
    },
    v3electionpb::{
        CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ResignRequest,
        election_client::ElectionClient,
    },
    v3lockpb::{LockRequest, LockResponse, UnlockRequest, lock_client::LockClient},
};
use testing::eventually;
use tokio::task::JoinHandle;
use tonic::{Status, Streaming, transport::Channel};

use crate::{
    cluster::{Cluster, put},
    target::{DEADLINE, Target},
};

async fn grant(channel: &Channel, id: i64) -> i64 {
    let request = LeaseGrantRequest { id, ttl: 600 };
    LeaseClient::new(channel.clone()).lease_grant(request).await.unwrap().into_inner().id
}

async fn revoke(channel: &Channel, id: i64) {
    LeaseClient::new(channel.clone()).lease_revoke(LeaseRevokeRequest { id }).await.unwrap();
}

fn lock(channel: &Channel, lease: i64) -> JoinHandle<Result<LockResponse, Status>> {
    let mut client = LockClient::new(channel.clone());
    tokio::spawn(
        async move { client.lock(LockRequest { name: "m".into(), lease }).await.map(tonic::Response::into_inner) },
    )
}

async fn unlock(channel: &Channel, key: Bytes) {
    LockClient::new(channel.clone()).unlock(UnlockRequest { key }).await.unwrap();
}

/// The keys of everybody in line, in the order of the keys.
async fn line(channel: &Channel, prefix: &str) -> Vec<String> {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    let request =
        RangeRequest { key: prefix.to_owned().into(), range_end: end.into(), keys_only: true, ..Default::default() };
    let kvs = KvClient::new(channel.clone()).range(request).await.unwrap().into_inner().kvs;
    kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

async fn until_line(channel: &Channel, prefix: &str, expected: &[&str]) {
    eventually(DEADLINE, async || match line(channel, prefix).await {
        found if found == expected => Ok(()),
        found => Err(format!("{found:?}")),
    })
    .await;
}

async fn soon<T>(task: JoinHandle<Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_goes_from_one_lease_to_the_next() {
    for target in Target::both().await {
        let channel = target.channel().await;
        for id in [0x1a, 0x2b, 0x3c] {
            grant(&channel, id).await;
        }
        let first = soon(lock(&channel, 0x1a)).await.unwrap();
        assert_eq!((&*first.key, first.header.unwrap().revision), (&b"m/1a"[..], 2));
        let again = soon(lock(&channel, 0x1a)).await.unwrap();
        assert_eq!((again.key, again.header.unwrap().revision), (first.key.clone(), 2), "its holder has it already");

        let second = lock(&channel, 0x3c);
        until_line(&channel, "m/", &["m/1a", "m/3c"]).await;
        let third = lock(&channel, 0x2b);
        until_line(&channel, "m/", &["m/1a", "m/2b", "m/3c"]).await;
        assert!(!second.is_finished() && !third.is_finished());
        unlock(&channel, first.key).await;
        assert_eq!(&*soon(second).await.unwrap().key, b"m/3c", "who came first, not whose key is first");
        assert!(!third.is_finished());
        revoke(&channel, 0x3c).await;
        let third = soon(third).await.unwrap();
        assert_eq!(&*third.key, b"m/2b");
        unlock(&channel, third.key).await;
        let leased = soon(lock(&channel, 0)).await.unwrap();
        assert!(leased.key.starts_with(b"m/") && leased.key.len() > 2, "without a lease, one is granted");
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_while_waiting_gives_its_place_up() {
    for target in Target::both().await {
        let channel = target.channel().await;
        for id in 1..=3 {
            grant(&channel, id).await;
        }
        let first = soon(lock(&channel, 1)).await.unwrap();
        let impatient = lock(&channel, 2);
        until_line(&channel, "m/", &["m/1", "m/2"]).await;
        let patient = lock(&channel, 3);
        until_line(&channel, "m/", &["m/1", "m/2", "m/3"]).await;
        impatient.abort();
        until_line(&channel, "m/", &["m/1", "m/3"]).await;
        unlock(&channel, first.key).await;
        assert_eq!(&*soon(patient).await.unwrap().key, b"m/3");
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ends_while_waiting_gets_no_lock() {
    let ours = Target::ours().await;
    let channel = ours.channel().await;
    for id in 1..=2 {
        grant(&channel, id).await;
    }
    let first = soon(lock(&channel, 1)).await.unwrap();
    let late = lock(&channel, 2);
    until_line(&channel, "m/", &["m/1", "m/2"]).await;
    revoke(&channel, 2).await;
    unlock(&channel, first.key).await;
    let refused = soon(late).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (tonic::Code::Unknown, "mutex: session is expired"));
    ours.stop().await;
}

fn campaign(channel: &Channel, lease: i64, value: &'static str) -> JoinHandle<Result<CampaignResponse, Status>> {
    let mut client = ElectionClient::new(channel.clone());
    tokio::spawn(async move {
        let request = CampaignRequest { name: "e".into(), lease, value: value.into() };
        client.campaign(request).await.map(tonic::Response::into_inner)
    })
}

async fn news(observed: &mut Streaming<LeaderResponse>) -> (String, String) {
    let kv = tokio::time::timeout(DEADLINE, observed.message()).await.unwrap().unwrap().unwrap().kv.unwrap();
    (String::from_utf8_lossy(&kv.key).into_owned(), String::from_utf8_lossy(&kv.value).into_owned())
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_election_has_one_leader_at_a_time_and_everybody_can_see_whom() {
    for target in Target::both().await {
        let channel = target.channel().await;
        let mut election = ElectionClient::new(channel.clone());
        for id in [0x1a, 0x2b, 0x3c] {
            grant(&channel, id).await;
        }
        let name = LeaderRequest { name: "e".into() };
        // etcd answers no sooner than it has news.
        let (mut observer, observed) = (election.clone(), name.clone());
        let observed = tokio::spawn(async move { observer.observe(observed).await });
        let first = soon(campaign(&channel, 0x2b, "b")).await.unwrap().leader.unwrap();
        assert_eq!(first, LeaderKey { name: "e".into(), key: "e/2b".into(), rev: 2, lease: 0x2b });
        let mut observed = soon(observed).await.unwrap().into_inner();
        assert_eq!(news(&mut observed).await, pair("e/2b", "b"));
        let second = campaign(&channel, 0x1a, "a");
        until_line(&channel, "e/", &["e/1a", "e/2b"]).await;
        let leader = election.leader(name.clone()).await.unwrap().into_inner().kv.unwrap();
        assert_eq!((&*leader.key, &*leader.value, leader.lease), (&b"e/2b"[..], &b"b"[..], 0x2b));

        let proclaim = |leader: &LeaderKey, value: &str| {
            let value = value.to_owned().into();
            ProclaimRequest { leader: Some(leader.clone()), value }
        };
        election.proclaim(proclaim(&first, "b2")).await.unwrap();
        assert_eq!(news(&mut observed).await, pair("e/2b", "b2"));
        let stranger = LeaderKey { rev: 1, ..first.clone() };
        let refused = election.proclaim(proclaim(&stranger, "x")).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (tonic::Code::Unknown, "election: not leader"));
        // Standing again with another value is a proclamation.
        let again = soon(campaign(&channel, 0x2b, "b3")).await.unwrap().leader.unwrap();
        assert_eq!(again, first);
        assert_eq!(news(&mut observed).await, pair("e/2b", "b3"));

        assert!(!second.is_finished());
        election.resign(ResignRequest { leader: Some(first.clone()) }).await.unwrap();
        let second = soon(second).await.unwrap().leader.unwrap();
        assert_eq!((&*second.key, second.lease), (&b"e/1a"[..], 0x1a));
        assert_eq!(news(&mut observed).await, pair("e/1a", "a"));
        election.resign(ResignRequest { leader: Some(first) }).await.unwrap();
        assert_eq!(line(&channel, "e/").await, ["e/1a"], "who has resigned takes nobody else along");
        let third = campaign(&channel, 0x3c, "c");
        until_line(&channel, "e/", &["e/1a", "e/3c"]).await;
        revoke(&channel, 0x1a).await;
        assert_eq!(&*soon(third).await.unwrap().leader.unwrap().key, b"e/3c");
        assert_eq!(news(&mut observed).await, pair("e/3c", "c"));
        target.stop().await;
    }
}

/// Reads a number and writes the next one, unless somebody else did, again and again.
async fn count_up(mut kv: KvClient<Channel>, times: usize) {
    let key = Bytes::from_static(b"counter");
    let mut left = times;
    while left > 0 {
        let get = RangeRequest { key: key.clone(), ..RangeRequest::default() };
        let found = kv.range(get).await.unwrap().into_inner().kvs.pop();
        let (seen, value) = found
            .map_or((0, 0), |kv| (kv.mod_revision, std::str::from_utf8(&kv.value).unwrap().parse::<usize>().unwrap()));
        let put = PutRequest { key: key.clone(), value: (value + 1).to_string().into(), ..PutRequest::default() };
        let compare = Compare {
            key: key.clone(),
            target: CompareTarget::Mod.into(),
            target_union: Some(TargetUnion::ModRevision(seen)),
            ..Compare::default()
        };
        let success = vec![RequestOp { request: Some(Request::RequestPut(put)) }];
        let txn = TxnRequest { compare: vec![compare], success, failure: Vec::new() };
        left -= usize::from(kv.txn(txn).await.unwrap().into_inner().succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_between_a_read_and_a_conditional_write() {
    let ours = Target::ours().await;
    let kv = ours.kv().await;
    let writers: Vec<_> = (0..8).map(|_| tokio::spawn(count_up(kv.clone(), 25))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let get = RangeRequest { key: "counter".into(), ..RangeRequest::default() };
    let counted = kv.clone().range(get).await.unwrap().into_inner().kvs.pop().unwrap();
    assert_eq!((&*counted.value, counted.version), (&b"200"[..], 200));
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_taken_and_waited_for_on_any_member() {
    let mut cluster = Cluster::three().await;
    let mut channels = Vec::new();
    for id in 1..=3 {
        channels.push(cluster.channel(id).await);
    }
    for (channel, id) in channels.iter().zip(1..) {
        grant(channel, id).await;
    }
    let leader = cluster.leader().await;
    let others: Vec<usize> = (0..3).filter(|at| *at as u64 + 1 != leader).collect();
    let first = soon(lock(&channels[others[0]], others[0] as i64 + 1)).await.unwrap();
    let waiting = lock(&channels[others[1]], others[1] as i64 + 1);
    let both = async || line(&channels[others[1]], "m/").await.len() == 2;
    crate::cluster::until(both).await;
    // The wait outlives the leader.
    cluster.kill(leader).await;
    put(cluster.store(others[0] as u64 + 1), "after", "1").await.unwrap();
    assert!(!waiting.is_finished());
    unlock(&channels[others[0]], first.key).await;
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap();
}
