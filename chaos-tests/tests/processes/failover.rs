//! The leader goes away, in three ways and again and again, under clients that write without pause.
//!
//! What must hold: no acknowledged write is lost, the others go on soon, and whoever comes back catches up. The gaps are
//! printed, not asserted to be short (a busy machine is slow): only that they end.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use chaos_tests::{Cluster, cluster::PATIENCE, command::run};
use futures_util::future;
use k8s_openapi::api::core::v1::ConfigMap;
use kontiki::chaos::{Acknowledged, History, Place, Writer};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use nix::sys::signal::Signal;
use rustls::pki_types::ServerName;
use serde_json::json;
use testing::eventually_blocking;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::{
    kube_rs::{self, object, refusal, soon},
    program,
};

/// No gap may be as long as this, on the busiest machine.
const GAP_MAX: Duration = Duration::from_secs(15);
/// A write is given up after 5 s. One that is tried again is at it now.
const AGAIN: Duration = Duration::from_secs(7);
/// How many acknowledged writes show that a writer goes on.
const WRITES_AFTER: usize = 100;

#[test]
fn ten_killed_leaders_lose_no_acknowledged_write() {
    lose_leaders(
        "killed",
        10,
        |cluster, leader| cluster.signal(leader, "server", Signal::SIGKILL),
        |cluster, _| {
            cluster.kontiki("up", &[]);
        },
    );
}

#[test]
fn ten_paused_leaders_lose_no_acknowledged_write() {
    lose_leaders(
        "paused",
        10,
        |cluster, leader| cluster.signal(leader, "server", Signal::SIGSTOP),
        |cluster, leader| cluster.signal(leader, "server", Signal::SIGCONT),
    );
}

#[test]
fn ten_leaders_cut_from_the_network_lose_no_acknowledged_write() {
    lose_leaders("cut off", 10, Cluster::cut, Cluster::mend);
}

/// Otherwise nobody would act for as long as the slowest connection takes to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_ends_in_order_hands_over_before_it_waits_for_connections() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let leader = cluster.leader();
    // Who has begun a request and does not end it is waited for, for ten seconds.
    let slow = soon("a request is under way", request_without_its_body(&cluster, &leader)).await;
    cluster.signal(&leader, "server", Signal::SIGTERM);
    another_leads(&cluster, &leader);
    assert!(cluster.runs(&leader, "server"), "it has ended, and handed over only then");
    drop(slow);
}

/// A request to a master whose body is waited for.
async fn request_without_its_body(cluster: &Cluster, master: &str) -> TlsStream<TcpStream> {
    let kubeconfig = client::Kubeconfig::read(&cluster.dir().join("kubeconfig")).expect("the kubeconfig");
    let access = kubeconfig.masters().into_iter().next().expect("a way to a master");
    let identity = access.identity.as_ref().map(|(certificate, key)| (certificate.as_slice(), key.as_slice()));
    let tls = client::tls::client_config(&access.authority_pem, identity).expect("its certificates");
    let (_, address) = cluster.masters().into_iter().find(|(name, _)| *name == master).expect("it is a master");
    let tcp = TcpStream::connect((address, 6443)).await.expect("the API port is open");
    let name = ServerName::try_from("kubernetes").expect("a name");
    let mut stream = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await.expect("it speaks TLS");
    let head = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nhost: kubernetes\r\nexpect: 100-continue\r\n\
                content-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("it is asked to go on");
    assert_eq!(std::str::from_utf8(&answer), Ok("HTTP/1.1 100"));
    stream
}

/// The leader cannot know what becomes of an entry that nobody else has answered. What it tried a second time would be refused
/// for what it has itself done: a create, since the object is there already, and a deletion, since it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_unknown_outcome_is_not_refused_for_what_it_did() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    let leader = cluster.leader();
    let api: Api<ConfigMap> = Api::namespaced(kube_rs::client_of(&cluster, &leader).await, "default");
    let config_map = |name: &str| object(json!({"metadata": {"name": name}}));
    api.create(&PostParams::default(), &config_map("old")).await.expect("all masters are there");
    let others: Vec<String> = cluster.masters().into_iter().map(|(name, _)| name).filter(|n| *n != leader).collect();
    let signal_others = |signal| others.iter().for_each(|other| cluster.signal(other, "server", signal));
    signal_others(Signal::SIGSTOP);
    let (new, post, delete) = (config_map("new"), PostParams::default(), DeleteParams::default());
    let mut asked = pin!(future::join(api.create(&post, &new), api.delete("old", &delete)));
    let mut told = timeout(AGAIN, &mut asked).await.ok();
    signal_others(Signal::SIGCONT);
    if told.is_none() {
        told = Some(soon("the answers come", asked).await);
    }
    let (created, deleted) = told.expect("there are answers");
    for refused in [refusal(created), refusal(deleted)] {
        assert!(refused.code == 504 && refused.message.contains("timed out"), "{refused:?}");
    }
    all_serve(&cluster);
}

/// A leader that dies, is paused or is cut off takes nothing from the workers: not a container is started anew.
#[test]
fn pods_do_not_notice_that_leaders_are_lost() {
    let cluster = Cluster::up(program(), &[]);
    let kubectl = cluster.kubectl("kubectl");
    kubectl.ok("create deployment web --image=kontiki.io/demo:1 --replicas=4");
    kubectl.ok("rollout status deployment/web --timeout=60s");
    let of = "get pods -l app=web -o jsonpath=";
    let which = "{.items[*].metadata.uid}{.items[*].status.containerStatuses[0].containerID}";
    let restarts = "{.items[*].status.containerStatuses[0].restartCount}";
    let pods = || kubectl.ok(&format!("{of}{which}{restarts}"));
    let before = pods();
    assert!(before.ends_with("0 0 0 0"), "{before}");
    for lose in [Loss::kill, Loss::pause, Loss::cut] {
        lose(&cluster);
        all_serve(&cluster);
        assert_eq!(pods(), before, "the same containers run");
    }
}

#[test]
fn twenty_four_kills_of_one_two_or_all_masters_lose_no_acknowledged_write() {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    rustls::crypto::ring::default_provider().install_default().ok();
    let etcd =
        Writer::through_etcd(&cluster.dir(), &cluster.masters(), &Place::default()).expect("the etcd writer starts");
    let api = Writer::through_kubeconfig(&cluster.dir(), &Place::default()).expect("the API writer starts");
    goes_on(&etcd, &api);
    // Any one, any two, all: each in the middle of writing.
    let victims: [&[&str]; 7] =
        [&["m1"], &["m2"], &["m3"], &["m1", "m2"], &["m2", "m3"], &["m1", "m3"], &["m1", "m2", "m3"]];
    let mut kills = 0;
    for round in 0..2 {
        for victims in victims {
            for victim in victims {
                cluster.signal(victim, "server", Signal::SIGKILL);
                kills += 1;
            }
            cluster.kontiki("up", &[]);
            all_serve(&cluster);
            goes_on(&etcd, &api);
        }
        eprintln!("round {round}: {} writes acknowledged so far, {kills} kills", etcd.acknowledged());
    }
    let (etcd, api) = (etcd.finish(), api.finish());
    let keys = cluster.etcdctl(&["get", "--prefix", "/chaos/", "--keys-only"]);
    all_there(&etcd, |name| keys.contains(&format!("/chaos/{name}\n")));
    let names = cluster.kubectl("kubectl").ok("get configmaps -o name");
    all_there(&api, |name| names.contains(&format!("configmap/{name}\n")));
    same_revision_everywhere(&cluster);
    eprintln!(
        "{kills} kills: {} and {} acknowledged writes, all there",
        etcd.acknowledged.len(),
        api.acknowledged.len()
    );
    assert_eq!(kills, 24);
}

/// One loss of a leader: from the moment of the fault until the writers went on.
struct Loss {
    from: Instant,
    to: Instant,
    /// `from`, on the clock that logs are written by.
    clock: jiff::Timestamp,
}

impl Loss {
    /// The leader goes, another one is found, and the old one comes back.
    fn kill(cluster: &Cluster) {
        let leader = cluster.leader();
        cluster.signal(&leader, "server", Signal::SIGKILL);
        another_leads(cluster, &leader);
        cluster.kontiki("up", &[]);
    }

    fn pause(cluster: &Cluster) {
        let leader = cluster.leader();
        cluster.signal(&leader, "server", Signal::SIGSTOP);
        another_leads(cluster, &leader);
        cluster.signal(&leader, "server", Signal::SIGCONT);
    }

    fn cut(cluster: &Cluster) {
        let leader = cluster.leader();
        cluster.cut(&leader);
        another_leads(cluster, &leader);
        cluster.mend(&leader);
    }
}

fn another_leads(cluster: &Cluster, lost: &str) {
    eventually_blocking(PATIENCE, || {
        let status = cluster.kontiki_said("status", &[]).out;
        let leads = status.lines().any(|line| line.contains("leader") && !line.starts_with(lost));
        if leads { Ok(()) } else { Err(status) }
    });
}

/// Loses the leader `rounds` times, heals after each loss, and checks what the writers were told against what is there.
fn lose_leaders(how: &str, rounds: usize, lose: impl Fn(&Cluster, &str), heal: impl Fn(&Cluster, &str)) {
    let cluster = Cluster::up(program(), &["--workers", "0"]);
    rustls::crypto::ring::default_provider().install_default().ok();
    let etcd =
        Writer::through_etcd(&cluster.dir(), &cluster.masters(), &Place::default()).expect("the etcd writer starts");
    let api = Writer::through_kubeconfig(&cluster.dir(), &Place::default()).expect("the API writer starts");
    goes_on(&etcd, &api);
    let mut losses = Vec::new();
    for _ in 0..rounds {
        let leader = cluster.leader();
        let (lost, clock) = (Instant::now(), jiff::Timestamp::now());
        lose(&cluster, &leader);
        goes_on(&etcd, &api);
        losses.push(Loss { from: lost, to: Instant::now(), clock });
        heal(&cluster, &leader);
        all_serve(&cluster);
    }
    let (etcd, api) = (etcd.finish(), api.finish());
    report(how, "etcd port", &etcd, &losses);
    report(how, "kubeconfig", &api, &losses);
    explain(how, &cluster, &etcd, &losses);
    let keys = cluster.etcdctl(&["get", "--prefix", "/chaos/", "--keys-only"]);
    all_there(&etcd, |name| keys.contains(&format!("/chaos/{name}\n")));
    let names = cluster.kubectl("kubectl").ok("get configmaps -o name");
    all_there(&api, |name| names.contains(&format!("configmap/{name}\n")));
    same_revision_everywhere(&cluster);
}

fn goes_on(etcd: &Writer, api: &Writer) {
    let goal = (etcd.acknowledged() + WRITES_AFTER, api.acknowledged() + WRITES_AFTER);
    eventually_blocking(PATIENCE, || {
        let done = (etcd.acknowledged(), api.acknowledged());
        if done.0 >= goal.0 && done.1 >= goal.1 {
            Ok(())
        } else {
            Err(format!("writers stand still: {done:?} of {goal:?}"))
        }
    });
}

fn all_serve(cluster: &Cluster) {
    eventually_blocking(PATIENCE, || {
        let status = cluster.kontiki_said("status", &[]).out;
        let serving = status.lines().filter(|line| line.contains("leader") || line.contains("follower")).count();
        if serving == 3 { Ok(()) } else { Err(status) }
    });
}

fn all_there(history: &History, is_there: impl Fn(&str) -> bool) {
    let lost: Vec<&Acknowledged> = history.acknowledged.iter().filter(|write| !is_there(&write.name)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged writes are lost: {lost:?}", lost.len(), history.acknowledged.len());
}

/// All members hold the same: equal hashes at an equal revision.
fn same_revision_everywhere(cluster: &Cluster) {
    eventually_blocking(PATIENCE, || {
        let said = run(&mut cluster.etcdctl_command(&["endpoint", "hashkv", "-w", "fields"]));
        let hashes: std::collections::BTreeSet<&str> =
            said.out.lines().filter(|line| line.contains("\"Hash\"")).collect();
        if said.success && hashes.len() == 1 { Ok(()) } else { Err(said.all()) }
    });
}

fn report(how: &str, client: &str, history: &History, losses: &[Loss]) {
    let mut gaps: Vec<Duration> = losses.iter().map(|loss| history.longest_gap(loss.from, loss.to).1).collect();
    let listed: Vec<String> = gaps.iter().map(|gap| format!("{:.2}", gap.as_secs_f64())).collect();
    gaps.sort();
    let (median, worst) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    eprintln!(
        "leader {how}, writes through the {client}: gaps {} s; median {:.2} s, worst {:.2} s; {} acknowledged, {} unknown",
        listed.join(" "),
        median.as_secs_f64(),
        worst.as_secs_f64(),
        history.acknowledged.len(),
        history.unknown.len()
    );
    assert!(worst < GAP_MAX, "the longest gap was {worst:?}");
}

/// Says what each gap was spent on: until a member stood for election, until one led, until the next write.
fn explain(how: &str, cluster: &Cluster, history: &History, losses: &[Loss]) {
    let (stood, led) = (cluster.said("stands for election"), cluster.said("leads"));
    for loss in losses {
        let (began, gap) = history.longest_gap(loss.from, loss.to);
        let written = (began + gap - loss.from).as_secs_f64();
        let after = |times: &[jiff::Timestamp]| {
            let first = times.iter().find(|time| **time > loss.clock);
            first.map(|time| time.duration_since(loss.clock).as_secs_f64())
        };
        let (Some(stood), Some(led)) = (after(&stood), after(&led)) else { continue };
        if stood > written {
            eprintln!("  leader {how}: another member led already, writes went on");
            continue;
        }
        eprintln!(
            "  leader {how}: detect {stood:.2} s, elect {:.2} s, first write {:.2} s",
            led - stood,
            written - led
        );
    }
}
