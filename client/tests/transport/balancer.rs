//! The balancer over real TLS: requests stick to a master, move when it dies, and streams to a frozen one are cut.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::masters::Health;
use client::{Balancer, Masters};
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::client::Body;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::master::{Authority, Master};

/// Far longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Cluster {
    balancer: Balancer,
    masters: Vec<Master>,
    _stop: DropGuard,
}

async fn cluster(count: usize) -> Cluster {
    let authority = Authority::new();
    let mut masters = Vec::new();
    for _ in 0..count {
        masters.push(Master::start(&authority).await);
    }
    let stop = CancellationToken::new();
    let addresses = masters.iter().map(|master| master.address).collect();
    let balancer = Balancer::new(Masters::start(addresses, authority.client(), stop.clone()));
    Cluster { balancer, masters, _stop: stop.drop_guard() }
}

impl Cluster {
    async fn send(&self, method: Method, path: &str) -> Result<String, client::balancer::Error> {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let answer = timeout(PATIENCE, self.balancer.clone().oneshot(request)).await.unwrap()?;
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

    /// Which master answers.
    async fn name(&self) -> SocketAddr {
        self.send(Method::GET, "/name").await.unwrap().trim().parse().unwrap()
    }

    fn master(&mut self, address: SocketAddr) -> &mut Master {
        self.masters.iter_mut().find(|master| master.address == address).unwrap()
    }

    /// All have answered a probe.
    async fn all_ready(&self) {
        eventually(|| self.balancer.masters().list().iter().all(|(_, health)| *health == Health::Ready)).await;
    }
}

async fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn requests_stick_to_a_master_and_move_when_it_is_killed() {
    let mut cluster = cluster(3).await;
    cluster.all_ready().await;
    let first = cluster.name().await;
    for _ in 0..5 {
        assert_eq!(cluster.name().await, first);
    }
    cluster.master(first).kill();
    let begin = Instant::now();
    assert_ne!(cluster.name().await, first);
    assert!(begin.elapsed() < PATIENCE / 4, "a killed master is noticed by its broken connection");
}

#[tokio::test]
async fn a_stream_to_a_frozen_master_is_cut() {
    let mut cluster = cluster(2).await;
    cluster.all_ready().await;
    let first = cluster.name().await;
    let request = Request::get("/drip").body(Body::empty()).unwrap();
    let mut body = cluster.balancer.clone().oneshot(request).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "drop\n");
    // The stream itself still drips, but the prober gets no answer any more.
    cluster.master(first).freeze();
    let cut = async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
    timeout(PATIENCE, cut).await.unwrap();
    assert_ne!(cluster.name().await, first);
}

#[tokio::test]
async fn a_read_in_flight_is_repeated_and_a_write_is_not() {
    let mut cluster = cluster(2).await;
    cluster.all_ready().await;
    let first = cluster.name().await;
    let counted = cluster.master(first).counted.clone();
    let balancer = cluster.balancer.clone();
    let send = |method: Method| {
        let request = Request::builder().method(method).uri("/hang").body(Body::empty()).unwrap();
        tokio::spawn(balancer.clone().oneshot(request))
    };
    let (read, write) = (send(Method::GET), send(Method::POST));
    eventually(|| counted.load(Ordering::SeqCst) == 2).await;
    cluster.master(first).kill();
    let error = timeout(PATIENCE, write).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, client::balancer::Error::Broken { address, .. } if address == first), "{error}");
    let other = cluster.masters.iter().find(|master| master.address != first).unwrap();
    eventually(|| other.counted.load(Ordering::SeqCst) == 1).await;
    read.abort();
}

#[tokio::test]
async fn masters_are_learned_from_the_endpoint_slice() {
    let authority = Authority::new();
    let (mut known, other) = (Master::start(&authority).await, Master::start(&authority).await);
    *known.masters.lock() = vec![other.address];
    let stop = CancellationToken::new();
    let masters = Masters::start(vec![known.address], authority.client(), stop.clone());
    let cluster = Cluster { balancer: Balancer::new(masters), masters: Vec::new(), _stop: stop.drop_guard() };
    eventually(|| cluster.balancer.masters().list().len() == 2).await;
    cluster.all_ready().await;
    known.kill();
    assert_eq!(cluster.name().await, other.address);
}

#[tokio::test]
async fn a_server_of_another_authority_is_never_asked() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let foreign = Master::start(&theirs).await;
    let stop = CancellationToken::new();
    let masters = Masters::start(vec![foreign.address], ours.client(), stop.clone());
    eventually(|| masters.list() == [(foreign.address, Health::Dead)]).await;
    let error = masters.pick(Instant::now()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no master answers ({} Dead): check that the cluster runs and that this machine reaches it",
            foreign.address
        )
    );
    stop.cancel();
}
