//! Space that is given back while everything goes on.

use std::{fs, path::Path};

use proto::etcdserverpb::{DefragmentRequest, StatusRequest, maintenance_client::MaintenanceClient};
use store::{
    Limits, Proposal,
    etcdserverpb::{CompactionRequest, PutRequest},
};

use crate::cluster::{Cluster, get, put, until};

const MEBIBYTE: u64 = 1 << 20;

fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => size_of(&entry.path()),
        Ok(data) => data.len(),
        // Removed meanwhile.
        Err(_) => 0,
    });
    sizes.sum()
}

/// A member that has overwritten a few keys until its checkpoint holds far more than they do.
async fn bloated(limits: Limits) -> (Cluster, i64) {
    let mut cluster = Cluster::new();
    cluster.limits = limits;
    cluster.init().await;
    let store = cluster.store(1).clone();
    for n in 0..320 {
        let (key, value) = (format!("k{}", n % 4).into(), vec![n as u8; 256 * 1024].into());
        store.put(PutRequest { key, value, ..PutRequest::default() }, Proposal::default()).await.unwrap();
    }
    let dir = cluster.nodes[&1].config.dir.join("state");
    until(async || size_of(&dir) > 64 * MEBIBYTE).await;
    let revision = store.view().revision();
    (cluster, revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn defragmenting_gives_space_back_while_writes_go_on() {
    // Nothing is given back without being asked.
    let (mut cluster, revision) = bloated(Limits { checkpoint_bytes: 1 << 40, ..Limits::default() }).await;
    let store = cluster.store(1).clone();
    store.compact(CompactionRequest { revision, physical: true }).await.unwrap();
    let mut maintenance = MaintenanceClient::new(cluster.channel(1).await);
    // What a checkpoint takes is known when it is written.
    until(async || {
        let before = store.status();
        before.disk_bytes > 64 * MEBIBYTE && before.state_bytes < 2 * MEBIBYTE
    })
    .await;
    let writes = async {
        for n in 0..50 {
            put(&store, "during", &n.to_string()).await.unwrap();
        }
    };
    let (defragmented, ()) = tokio::join!(maintenance.defragment(DefragmentRequest {}), writes);
    defragmented.unwrap();
    let after = maintenance.status(StatusRequest {}).await.unwrap().into_inner();
    assert!((after.db_size as u64) < 16 * MEBIBYTE, "{after:?}");
    assert!(size_of(&cluster.nodes[&1].config.dir.join("state")) < 16 * MEBIBYTE);
    put(&store, "after", "x").await.unwrap();
    let hash = store.view().hash();
    cluster.kill(1).await;
    cluster.restart(1).await;
    assert_eq!(get(cluster.store(1), "during").await.unwrap().as_deref(), Some("49"));
    until(async || cluster.store(1).view().hash() == hash).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn space_comes_back_after_a_compaction_without_being_asked_for() {
    let limits = Limits { checkpoint_bytes: 4 * MEBIBYTE, ..Limits::default() };
    let (mut cluster, revision) = bloated(limits).await;
    let store = cluster.store(1).clone();
    store.compact(CompactionRequest { revision, physical: true }).await.unwrap();
    let dir = cluster.nodes[&1].config.dir.join("state");
    until(async || {
        // A checkpoint follows something that was written.
        put(&store, "tick", "x").await.unwrap();
        size_of(&dir) < 24 * MEBIBYTE
    })
    .await;
    cluster.kill(1).await;
    cluster.restart(1).await;
    assert!(get(cluster.store(1), "k3").await.unwrap().is_some());
}
