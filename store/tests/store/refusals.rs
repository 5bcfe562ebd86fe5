//! What must be refused, in etcd's own words and codes, and change nothing.

use std::fmt::Debug;

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleGetRequest, AuthRoleListRequest,
        AuthStatusRequest, AuthUserAddRequest, AuthUserDeleteRequest, AuthUserGetRequest, AuthUserListRequest,
        AuthenticateRequest, CompactionRequest, Compare, DeleteRangeRequest, DowngradeRequest, HashKvRequest,
        LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, MemberAddRequest, MemberListRequest,
        MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest, MoveLeaderRequest, PutRequest, RangeRequest,
        RequestOp, TxnRequest, auth_client::AuthClient, cluster_client::ClusterClient,
        downgrade_request::DowngradeAction, lease_client::LeaseClient, maintenance_client::MaintenanceClient,
        request_op::Request,
    },
    v3electionpb::{LeaderRequest, ProclaimRequest, ResignRequest, election_client::ElectionClient},
    v3lockpb::{LockRequest, lock_client::LockClient},
};
use tonic::{
    Code::{
        self, FailedPrecondition, InvalidArgument, NotFound, OutOfRange, ResourceExhausted, Unimplemented, Unknown,
    },
    Response, Status,
};

use crate::target::Target;

fn put(key: &'static str) -> PutRequest {
    PutRequest { key: key.into(), ..PutRequest::default() }
}

fn get(key: &'static str) -> RangeRequest {
    RangeRequest { key: key.into(), ..RangeRequest::default() }
}

fn puts(count: usize) -> Vec<RequestOp> {
    let op = |n: usize| Request::RequestPut(PutRequest { key: n.to_string().into(), ..PutRequest::default() });
    (0..count).map(|n| RequestOp { request: Some(op(n)) }).collect()
}

fn large(bytes: usize) -> PutRequest {
    PutRequest { value: vec![b'x'; bytes].into(), ..put("large") }
}

#[track_caller]
fn refused<T: Debug>(answer: Result<Response<T>, Status>, code: Code, message: &str) {
    let status = answer.map(Response::into_inner).unwrap_err();
    assert_eq!((status.code(), status.message()), (code, message));
}

/// Revision 2 and 3 make a key, and everything before 3 is compacted.
async fn prepare(target: &Target) {
    let mut kv = target.kv().await;
    kv.put(put("a")).await.unwrap();
    kv.put(put("a")).await.unwrap();
    kv.compact(CompactionRequest { revision: 3, physical: true }).await.unwrap();
}

async fn revision(target: &Target) -> i64 {
    target.kv().await.range(get("a")).await.unwrap().into_inner().header.unwrap().revision
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_for_keys_get_etcds_errors() {
    for target in Target::both().await {
        prepare(&target).await;
        let mut kv = target.kv().await;
        let no_key = "etcdserver: key is not provided";
        refused(kv.put(PutRequest::default()).await, InvalidArgument, no_key);
        refused(kv.range(RangeRequest::default()).await, InvalidArgument, no_key);
        refused(kv.delete_range(DeleteRangeRequest::default()).await, InvalidArgument, no_key);
        let txn = TxnRequest { compare: vec![Compare::default()], ..TxnRequest::default() };
        refused(kv.txn(txn).await, InvalidArgument, no_key);
        let keep = |request: PutRequest| PutRequest { ignore_value: true, ..request };
        let both = keep(PutRequest { value: "x".into(), ..put("a") });
        refused(kv.put(both).await, InvalidArgument, "etcdserver: value is provided");
        let both = PutRequest { ignore_lease: true, lease: 1, ..put("a") };
        refused(kv.put(both).await, InvalidArgument, "etcdserver: lease is provided");
        refused(kv.put(keep(put("none"))).await, InvalidArgument, "etcdserver: key not found");
        let unknown = "etcdserver: requested lease not found";
        refused(kv.put(PutRequest { lease: 99, ..put("a") }).await, NotFound, unknown);
        refused(kv.put(large(1600 * 1024)).await, InvalidArgument, "etcdserver: request is too large");
        let message = large(2 * 1024 * 1024);
        let told =
            format!("grpc: received message larger than max ({} vs. 2097152)", prost::Message::encoded_len(&message));
        refused(kv.put(message).await, ResourceExhausted, &told);

        let branch = |success| TxnRequest { success, ..TxnRequest::default() };
        let too_many = "etcdserver: too many operations in txn request";
        refused(kv.txn(branch(puts(129))).await, InvalidArgument, too_many);
        let twice = "etcdserver: duplicate key given in txn request";
        refused(kv.txn(branch([puts(2), puts(1)].concat())).await, InvalidArgument, twice);
        let nothing = vec![RequestOp::default()];
        refused(kv.txn(branch(nothing)).await, InvalidArgument, "etcdserver: key not found");

        let (past, future) = (
            "etcdserver: mvcc: required revision has been compacted",
            "etcdserver: mvcc: required revision is a future revision",
        );
        let at = |revision| RangeRequest { revision, ..get("a") };
        refused(kv.range(at(2)).await, OutOfRange, past);
        refused(kv.range(at(4)).await, OutOfRange, future);
        let compact = |revision| CompactionRequest { revision, physical: false };
        refused(kv.compact(compact(3)).await, OutOfRange, past);
        refused(kv.compact(compact(4)).await, OutOfRange, future);
        assert_eq!(revision(&target).await, 3, "nothing was changed");
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_for_leases_and_members_get_etcds_errors() {
    for target in Target::both().await {
        prepare(&target).await;
        let mut lease = LeaseClient::new(target.channel().await);
        let grant = |id, ttl| LeaseGrantRequest { id, ttl };
        lease.lease_grant(grant(7, 600)).await.unwrap();
        refused(lease.lease_grant(grant(7, 600)).await, FailedPrecondition, "etcdserver: lease already exists");
        refused(lease.lease_grant(grant(8, 9_000_000_001)).await, OutOfRange, "etcdserver: too large lease TTL");
        let unknown = "etcdserver: requested lease not found";
        refused(lease.lease_revoke(LeaseRevokeRequest { id: 8 }).await, NotFound, unknown);
        let gone = lease.lease_time_to_live(LeaseTimeToLiveRequest { id: 8, keys: true }).await.unwrap().into_inner();
        assert_eq!((gone.id, gone.ttl, gone.granted_ttl, gone.keys.len()), (8, -1, 0, 0));

        let mut cluster = ClusterClient::new(target.channel().await);
        let list = MemberListRequest { linearizable: true };
        let members = cluster.member_list(list).await.unwrap().into_inner().members;
        let no_member = "etcdserver: member not found";
        refused(cluster.member_remove(MemberRemoveRequest { id: 99 }).await, NotFound, no_member);
        refused(cluster.member_promote(MemberPromoteRequest { id: 99 }).await, NotFound, no_member);
        let update = MemberUpdateRequest { id: 99, peer_urls: vec!["https://127.0.0.1:1".into()] };
        refused(cluster.member_update(update).await, NotFound, no_member);
        let voter = members[0].id;
        let is_voter = "etcdserver: can only promote a learner member";
        refused(cluster.member_promote(MemberPromoteRequest { id: voter }).await, FailedPrecondition, is_voter);
        let too_few = "etcdserver: re-configuration failed due to not enough started members";
        let code = if target.ours_is_this() { FailedPrecondition } else { Unknown };
        // etcd forgets to give this one its code.
        refused(cluster.member_remove(MemberRemoveRequest { id: voter }).await, code, too_few);
        let add = |url: &str| MemberAddRequest { peer_urls: vec![url.to_owned()], is_learner: true };
        for url in ["127.0.0.1:1", "https://127.0.0.1", "https://127.0.0.1:1/path", "ftp://127.0.0.1:1", ""] {
            let answer = cluster.member_add(add(url)).await;
            refused(answer, InvalidArgument, "etcdserver: given member URLs are invalid");
        }
        let taken = cluster.member_add(add(&members[0].peer_urls[0])).await;
        refused(taken, FailedPrecondition, "etcdserver: Peer URLs already exists");

        let mut maintenance = MaintenanceClient::new(target.channel().await);
        let nobody = maintenance.move_leader(MoveLeaderRequest { target_id: 99 }).await;
        refused(nobody, FailedPrecondition, "etcdserver: bad leader transferee");
        for (at, told) in [
            (1, "etcdserver: mvcc: required revision has been compacted"),
            (9, "etcdserver: mvcc: required revision is a future revision"),
        ] {
            refused(maintenance.hash_kv(HashKvRequest { revision: at }).await, OutOfRange, told);
        }
        assert_eq!(revision(&target).await, 3, "nothing was changed");
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_for_locks_and_elections_get_etcds_errors() {
    for target in Target::both().await {
        let mut lock = LockClient::new(target.channel().await);
        let unknown = lock.lock(LockRequest { name: "m".into(), lease: 99 }).await;
        // etcd, whose own client is in between, forgets the code on the way.
        let code = if target.ours_is_this() { NotFound } else { Unknown };
        refused(unknown, code, "etcdserver: requested lease not found");
        let mut election = ElectionClient::new(target.channel().await);
        let leader = election.leader(LeaderRequest { name: "e".into() }).await;
        refused(leader, Unknown, "election: no leader");
        let missing = r#""leader" field must be provided"#;
        refused(election.proclaim(ProclaimRequest::default()).await, Unknown, missing);
        refused(election.resign(ResignRequest::default()).await, Unknown, missing);
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authentication_is_off_and_stays_off() {
    for target in Target::both().await {
        let mut auth = AuthClient::new(target.channel().await);
        let who = AuthenticateRequest { name: "root".into(), password: "x".into() };
        refused(auth.authenticate(who).await, FailedPrecondition, "etcdserver: authentication is not enabled");
        let (no_user, no_role) = ("etcdserver: user name not found", "etcdserver: role name not found");
        let name = || "ann".to_owned();
        refused(auth.user_get(AuthUserGetRequest { name: name() }).await, FailedPrecondition, no_user);
        refused(auth.user_delete(AuthUserDeleteRequest { name: name() }).await, FailedPrecondition, no_user);
        refused(auth.role_get(AuthRoleGetRequest { role: name() }).await, FailedPrecondition, no_role);
        assert!(auth.user_list(AuthUserListRequest {}).await.unwrap().into_inner().users.is_empty());
        assert!(auth.role_list(AuthRoleListRequest {}).await.unwrap().into_inner().roles.is_empty());
        auth.auth_disable(AuthDisableRequest {}).await.unwrap();
        if target.ours_is_this() {
            let told =
                "kontiki: users and roles are not offered; access is given by certificates of the store's authority";
            refused(auth.user_add(AuthUserAddRequest::default()).await, Unimplemented, told);
            refused(auth.role_add(AuthRoleAddRequest::default()).await, Unimplemented, told);
            refused(auth.auth_enable(AuthEnableRequest {}).await, Unimplemented, told);
            let status = auth.auth_status(AuthStatusRequest {}).await.unwrap().into_inner();
            assert_eq!((status.enabled, status.auth_revision), (false, 1));
        }
        target.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_version_to_go_back_to() {
    let ours = Target::ours().await;
    let mut maintenance = MaintenanceClient::new(ours.channel().await);
    let mut ask = async |action: DowngradeAction, version: &str| {
        maintenance.downgrade(DowngradeRequest { action: action.into(), version: version.to_owned() }).await
    };
    let unsupported = "etcdserver: invalid downgrade target version";
    refused(ask(DowngradeAction::Validate, "3.5").await, InvalidArgument, unsupported);
    refused(ask(DowngradeAction::Enable, "3.5.0").await, InvalidArgument, unsupported);
    let malformed = "etcdserver: wrong downgrade target version format";
    refused(ask(DowngradeAction::Validate, "old").await, InvalidArgument, malformed);
    refused(ask(DowngradeAction::Cancel, "").await, FailedPrecondition, "etcdserver: no inflight downgrade job");
    ours.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_range_takes_no_other_order() {
    let ours = Target::ours().await;
    let mut kv = ours.kv().await;
    let other = RangeRequest { sort_order: 2, ..get("a") };
    refused(kv.range_stream(other).await, Unimplemented, "RangeStream does not support custom sort orders");
    let filtered = RangeRequest { min_mod_revision: 1, ..get("a") };
    refused(kv.range_stream(filtered).await, Unimplemented, "RangeStream does not support revision filters");
    refused(kv.range_stream(RangeRequest::default()).await, InvalidArgument, "etcdserver: key is not provided");
    let sorted = RangeRequest { sort_target: 9, key: Bytes::from_static(b"a"), ..RangeRequest::default() };
    refused(kv.range(sorted).await, InvalidArgument, "etcdserver: invalid sort option");
    ours.stop().await;
}
