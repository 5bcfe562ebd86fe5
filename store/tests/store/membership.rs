//! Members come and go.

use store::{Error, Limits};

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
    until(async || cluster.store(leader).status().log_bytes < 256 << 10).await;
    cluster.restart(behind).await;
    cluster.until_equal().await;
    put(cluster.store(behind), "back", "again").await.unwrap();
    // What came as a snapshot is there after the next crash, too.
    cluster.kill(behind).await;
    cluster.restart(behind).await;
    cluster.until_equal().await;
    assert_eq!(get(cluster.store(behind), "k7").await.unwrap(), Some(value));
}
