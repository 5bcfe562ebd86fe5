//! Members come and go.

use store::{Error, Limits, Start};

use crate::cluster::{Cluster, get, put, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_member_waits_for_a_third_before_it_votes() {
    let mut cluster = Cluster::new();
    cluster.init().await;
    cluster.join(2).await;
    until(async || cluster.store(2).members().len() == 2).await;
    cluster.until_equal().await;
    cluster.until_voters(1).await;
    assert_eq!(get(cluster.store(2), "init").await.unwrap().as_deref(), Some("1"), "a learner reads");
    put(cluster.store(2), "from", "learner").await.unwrap();
    cluster.join(3).await;
    cluster.until_voters(3).await;
    for id in 1..=3 {
        put(cluster.store(id), &format!("by{id}"), "x").await.unwrap();
        for reader in 1..=3 {
            assert_eq!(get(cluster.store(reader), &format!("by{id}")).await.unwrap().as_deref(), Some("x"));
        }
    }
    cluster.until_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_on_request_and_members_leave() {
    let mut cluster = Cluster::three().await;
    let leader = cluster.leader().await;
    let next = 1 + leader % 3;
    let asked = 1 + next % 3;
    cluster.store(asked).move_leader(next).await.unwrap();
    assert_eq!(cluster.leader().await, next);
    assert_eq!(cluster.store(asked).move_leader(99).await, Err(Error::BadLeaderTransferee));
    cluster.store(asked).member_remove(leader).await.unwrap();
    cluster.kill(leader).await;
    put(cluster.store(next), "after", "removal").await.unwrap();
    assert_eq!(cluster.store(asked).member_remove(leader).await, Err(Error::MemberNotFound));
    assert_eq!(cluster.store(asked).members().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_fell_behind_the_log_gets_a_snapshot() {
    let mut cluster = Cluster::new();
    cluster.limits =
        Limits { checkpoint_bytes: 1 << 20, log_bytes_max: 256 << 10, log_bytes_keep: 32 << 10, ..Limits::default() };
    cluster.init().await;
    cluster.join(2).await;
    cluster.join(3).await;
    cluster.until_voters(3).await;
    let leader = cluster.leader().await;
    let behind = 1 + leader % 3;
    cluster.kill(behind).await;
    let value = "v".repeat(4000);
    for i in 0..200 {
        put(cluster.store(leader), &format!("k{}", i % 20), &value).await.unwrap();
    }
    // Less than was written since: what the other one lacks is gone.
    until(async || cluster.store(leader).status().log_bytes < 700_000).await;
    cluster.restart(behind).await;
    cluster.until_equal().await;
    put(cluster.store(behind), "back", "again").await.unwrap();
    // What came as a snapshot is there after the next crash, too.
    cluster.kill(behind).await;
    cluster.restart(behind).await;
    cluster.until_equal().await;
    assert_eq!(get(cluster.store(behind), "k7").await.unwrap(), Some(value));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_start_again_in_any_order_and_from_new_addresses() {
    let mut cluster = Cluster::three().await;
    put(cluster.store(1), "before", "the stop").await.unwrap();
    for id in [1, 2, 3] {
        cluster.kill(id).await;
    }
    cluster.restart(3).await;
    cluster.restart(1).await;
    assert_eq!(get(cluster.store(3), "before").await.unwrap().as_deref(), Some("the stop"));
    cluster.move_to_new_addresses(2);
    cluster.restart(2).await;
    let url = cluster.nodes[&2].config.peer_url.clone();
    let known = |store: &store::Store| store.members().iter().any(|member| member.peer_urls == [url.clone()]);
    until(async || cluster.running().all(known)).await;
    cluster.until_equal().await;
    put(cluster.store(2), "after", "the move").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_gets_in() {
    let mut cluster = Cluster::new();
    cluster.init().await;
    // A member whose certificate names another than the one that was added is not talked to.
    let other = Cluster::new();
    cluster.start_node(2, Start::Join, other.authority.member(2)).await;
    let config = cluster.nodes[&2].config.clone();
    cluster.store(1).member_add(2, config.name, vec![config.peer_url], vec![config.client_url]).await.unwrap();
    cluster.start_node(3, Start::Join, cluster.authority.member(3)).await;
    let config = cluster.nodes[&3].config.clone();
    // Number 3 answers where number 4 is expected.
    cluster.store(1).member_add(4, config.name, vec![config.peer_url], vec![config.client_url]).await.unwrap();
    for _ in 0..20 {
        put(cluster.store(1), "k", "v").await.unwrap();
    }
    assert_eq!(cluster.store(2).members(), []);
    assert_eq!(cluster.store(3).members(), []);
    // The members' port is not for clients.
    let client = cluster.authority.client("test");
    assert!(cluster.authority.connects(&client, cluster.nodes[&1].config.client_listen).await);
    assert!(!cluster.authority.connects(&client, cluster.nodes[&1].config.peer_listen).await);
    let stranger = cluster.authority.issue("kontiki://00000000000000ff/client/test");
    assert!(!cluster.authority.connects(&stranger, cluster.nodes[&1].config.client_listen).await);
}
