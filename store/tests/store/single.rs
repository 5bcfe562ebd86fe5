//! One member.

use std::time::{Duration, Instant};

use store::{Config, Start, StartError, Store, etcdserverpb::LeaseGrantRequest};
use testing::eventually;

use crate::cluster::{Cluster, begin, get, put, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_survives_a_stop_and_a_crash() {
    let mut cluster = Cluster::new();
    let started = Instant::now();
    cluster.init().await;
    println!("started and wrote in {:?}", started.elapsed());
    for round in 0..3 {
        for i in 0..50 {
            put(cluster.store(1), &format!("k{i}"), &format!("{round}.{i}")).await.unwrap();
        }
        let before = cluster.store(1).view();
        if round == 1 {
            cluster.nodes.get_mut(&1).unwrap().store.take().unwrap().shutdown().await;
        } else {
            cluster.kill(1).await;
        }
        let started = Instant::now();
        cluster.restart(1).await;
        let store = cluster.store(1);
        assert_eq!(get(store, "k7").await.unwrap(), Some(format!("{round}.7")));
        println!("restarted and read in {:?}", started.elapsed());
        assert_eq!((store.view().revision(), store.view().hash()), (before.revision(), before.hash()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_used_by_its_own_member_only() {
    let mut cluster = Cluster::new();
    cluster.init().await;
    let config = cluster.nodes[&1].config.clone();
    cluster.kill(1).await;
    let refused = async |config: Config| match begin(config).await {
        Ok(_) => panic!("must be refused"),
        Err(error) => error.to_string(),
    };
    assert!(refused(config.clone()).await.contains("is not empty"));
    assert!(refused(Config { start: Start::Join, ..config.clone() }).await.contains("is not empty"));
    let other = Config { start: Start::Restart, member_id: 2, tls: cluster.authority.member(2), ..config.clone() };
    assert!(refused(other).await.contains("belongs to member 0000000000000001"));
    let wrong_certificate = Config { tls: cluster.authority.member(2), ..config.clone() };
    assert!(refused(wrong_certificate).await.contains("/member/0000000000000001"));
    let empty = tempfile::tempdir().unwrap();
    let nothing = Config { dir: empty.path().to_path_buf(), start: Start::Restart, ..config.clone() };
    assert!(refused(nothing).await.contains("holds no member"));
    let port = eventually(Duration::from_secs(10), async || std::net::TcpListener::bind(config.peer_listen)).await;
    let taken = Store::start(Config { start: Start::Restart, ..config }).await;
    assert!(matches!(taken, Err(StartError::Listen { .. })));
    drop(port);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_unless_it_is_renewed() {
    let mut cluster = Cluster::new();
    cluster.init().await;
    let store = cluster.store(1);
    let grant = |ttl| store.lease_grant(LeaseGrantRequest { id: 0, ttl });
    let (kept, left) = (grant(1).await.unwrap().id, grant(1).await.unwrap().id);
    assert_ne!(kept, left);
    let started = Instant::now();
    until(async || {
        assert_eq!(store.lease_keep_alive(kept).await.unwrap().ttl, 1);
        store.view().lease(left).is_none()
    })
    .await;
    assert!(started.elapsed() >= Duration::from_millis(800), "not before its time");
    assert!(store.view().lease(kept).is_some());
    assert_eq!(store.lease_keep_alive(left).await.unwrap().ttl, 0);
    store.lease_revoke(kept).await.unwrap();
    assert!(store.leases().await.unwrap().leases.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_while_it_runs() {
    let mut cluster = Cluster::new();
    cluster.init().await;
    let store = cluster.store(1);
    assert!(store.replace_certificate(&cluster.authority.member(2)).is_err(), "another member's");
    let before = cluster.authority.certificate_of(cluster.nodes[&1].config.client_listen).await;
    store.replace_certificate(&cluster.authority.member(1)).unwrap();
    assert_ne!(cluster.authority.certificate_of(cluster.nodes[&1].config.client_listen).await, before);
    put(store, "still", "here").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_names_dashboards_expect() {
    let mut cluster = Cluster::new();
    cluster.init().await;
    let mut registry = prometheus_client::registry::Registry::default();
    cluster.store(1).register_metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in ["etcd_server_has_leader 1", "etcd_server_is_leader 1", "etcd_server_proposals_applied_total"] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(text.contains("etcd_disk_wal_fsync_duration_seconds_bucket"), "{text}");
}
