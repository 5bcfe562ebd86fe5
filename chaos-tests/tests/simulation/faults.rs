//! What is done to the cluster, drawn by seed.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::{
    chance::Chance,
    cluster::{Cluster, Crash},
    network::Place,
};

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    KillLeader,
    KillAny,
    KillAll,
    PowerLoss,
    PowerLossOfAll,
    IsolateLeader,
    IsolateAny,
    Split,
    OneWay,
    /// Two members cannot reach each other; both reach the others.
    Bridge,
    SlowLink,
    BreakConnections,
    SlowDisk,
    BrokenDisk,
    FailedFlush,
    FullDisk,
    BitRot,
    PauseLeader,
    PauseAny,
    StopInOrder,
    MemberJoins,
    MemberLeaves,
    TransferLeader,
    Compact,
}

pub(crate) const ALL: &[Fault] = &[
    Fault::KillLeader,
    Fault::KillAny,
    Fault::KillAll,
    Fault::PowerLoss,
    Fault::PowerLossOfAll,
    Fault::IsolateLeader,
    Fault::IsolateAny,
    Fault::Split,
    Fault::OneWay,
    Fault::Bridge,
    Fault::SlowLink,
    Fault::BreakConnections,
    Fault::SlowDisk,
    Fault::BrokenDisk,
    Fault::FailedFlush,
    Fault::FullDisk,
    Fault::BitRot,
    Fault::PauseLeader,
    Fault::PauseAny,
    Fault::StopInOrder,
    Fault::MemberJoins,
    Fault::MemberLeaves,
    Fault::TransferLeader,
    Fault::Compact,
];

/// A full disk has less room than this left.
const ROOM_MAX: usize = 64 << 10;

/// One fault of a run.
#[derive(Clone, Debug)]
pub(crate) struct Step<F> {
    /// After the one before.
    pause: Duration,
    fault: F,
    /// Decides what the fault leaves open.
    seed: u64,
    /// The network is whole again afterwards.
    heals: bool,
}

/// The faults of a run, in their order.
pub(crate) type Schedule<F = Fault> = Vec<Step<F>>;

/// How often each fault was injected.
pub(crate) type Injected<F = Fault> = BTreeMap<F, u64>;

/// Draws the faults for a time.
pub(crate) fn draw(chance: &Chance, during: Duration) -> Schedule {
    draw_from(chance, during, |chance| *chance.pick(ALL))
}

/// Draws for a time what `fault` draws for one moment.
pub(crate) fn draw_from<F>(chance: &Chance, during: Duration, fault: impl Fn(&Chance) -> F) -> Schedule<F> {
    let mut schedule = Schedule::new();
    let mut at = Duration::ZERO;
    loop {
        let pause = chance.millis(200..2600);
        at += pause;
        if at > during {
            return schedule;
        }
        let (fault, seed, heals) = (fault(chance), chance.bits(), chance.one_in(2));
        schedule.push(Step { pause, fault, seed, heals });
    }
}

/// Does harm as scheduled for a time; then everything is whole again.
pub(crate) async fn torment(cluster: Cluster, schedule: Schedule, during: Duration) -> Injected {
    let injected = go_through(&cluster, schedule, during, async |chance, fault| inject(&cluster, chance, fault).await);
    let injected = injected.await;
    heal(&cluster).await;
    injected
}

/// Injects what is scheduled, each at its time, until the time is over.
pub(crate) async fn go_through<F: Copy + Ord>(
    cluster: &Cluster,
    schedule: Schedule<F>,
    during: Duration,
    inject: impl AsyncFn(&Chance, F),
) -> Injected<F> {
    let mut injected = Injected::new();
    let end = Instant::now() + during;
    for step in schedule {
        tokio::time::sleep(step.pause).await;
        *injected.entry(step.fault).or_default() += 1;
        cluster.note_overlap();
        inject(&Chance::new(step.seed), step.fault).await;
        if step.heals {
            cluster.net.heal();
        }
    }
    tokio::time::sleep_until(end).await;
    injected
}

/// Ends every fault.
pub(crate) async fn heal(cluster: &Cluster) {
    cluster.net.heal();
    cluster.wake_all();
    for member in cluster.places() {
        cluster.disk(member).repair();
        cluster.bring_back(member).await;
    }
}

pub(crate) async fn inject(cluster: &Cluster, chance: &Chance, fault: Fault) {
    let places = cluster.places();
    let any = *chance.pick(&places);
    let leader = cluster.leader().unwrap_or(any);
    let others = |member: Place| places.iter().copied().filter(move |other| *other != member);
    let cut_off = |member: Place| {
        for other in others(member) {
            cluster.net.cut(member, other);
            cluster.net.cut(other, member);
        }
    };
    match fault {
        Fault::KillLeader => down(cluster, chance, &[leader], Crash::Process),
        Fault::KillAny => down(cluster, chance, &[any], Crash::Process),
        Fault::KillAll => down(cluster, chance, &places, Crash::Process),
        Fault::PowerLoss => down(cluster, chance, &[any], Crash::Power),
        Fault::PowerLossOfAll => down(cluster, chance, &places, Crash::Power),
        Fault::IsolateLeader => cut_off(leader),
        Fault::IsolateAny => cut_off(any),
        Fault::Split => {
            let side: Vec<bool> = places.iter().map(|_| chance.one_in(2)).collect();
            for (a, on_a) in places.iter().zip(&side) {
                for (b, on_b) in places.iter().zip(&side) {
                    if on_a != on_b {
                        cluster.net.cut(*a, *b);
                    }
                }
            }
        }
        Fault::OneWay => {
            for other in others(any) {
                if chance.one_in(2) { cluster.net.cut(any, other) } else { cluster.net.cut(other, any) }
            }
        }
        Fault::Bridge => {
            if let Some(other) = others(any).next() {
                cluster.net.cut(any, other);
                cluster.net.cut(other, any);
            }
        }
        Fault::SlowLink => {
            for other in others(any) {
                cluster.net.slow_down(any, other, chance.millis(5..400));
                cluster.net.slow_down(other, any, chance.millis(5..400));
            }
        }
        Fault::BreakConnections => others(any).for_each(|other| cluster.net.break_between(any, other)),
        Fault::PauseLeader => pause(cluster, chance, leader),
        Fault::PauseAny => pause(cluster, chance, any),
        Fault::StopInOrder => stop(cluster, chance, if chance.one_in(2) { leader } else { any }),
        Fault::SlowDisk | Fault::BrokenDisk | Fault::FailedFlush | Fault::FullDisk | Fault::BitRot => {
            harm_disk(cluster, chance, fault, any);
        }
        Fault::MemberJoins | Fault::MemberLeaves | Fault::TransferLeader | Fault::Compact => {
            ask(cluster, chance, fault, any).await;
        }
    }
}

/// What a disk does to its member.
fn harm_disk(cluster: &Cluster, chance: &Chance, fault: Fault, member: Place) {
    match fault {
        Fault::SlowDisk => pass(cluster, chance, member, |cluster, chance, member| {
            cluster.disk(member).slow_down(chance.millis(50..3000));
        }),
        Fault::BrokenDisk => pass(cluster, chance, member, |cluster, _, member| cluster.disk(member).break_down()),
        Fault::FailedFlush => cluster.disk(member).fail_a_flush(),
        Fault::FullDisk => pass(cluster, chance, member, |cluster, chance, member| {
            cluster.disk(member).fill_up(chance.below(ROOM_MAX));
        }),
        _ => rot(cluster, chance, member),
    }
}

/// What an operator might ask for at a bad moment.
async fn ask(cluster: &Cluster, chance: &Chance, fault: Fault, member: Place) {
    let own = cluster.clone();
    match fault {
        Fault::MemberJoins => drop(tokio::spawn(async move { own.grow().await })),
        Fault::MemberLeaves => drop(tokio::spawn(async move { own.remove(member).await })),
        Fault::TransferLeader => {
            if let Some(store) = cluster.member(member) {
                let to = *chance.pick(&cluster.places());
                // Refused or not: what matters is what clients see.
                drop(tokio::time::timeout(Duration::from_secs(1), store.move_leader(to)).await);
            }
        }
        _ => compact(cluster, chance, member).await,
    }
}

/// Takes members down, and brings them back one after the other.
fn down(cluster: &Cluster, chance: &Chance, members: &[Place], how: Crash) {
    for member in members {
        let (cluster, member, pause) = (cluster.clone(), *member, chance.millis(50..4000));
        tokio::spawn(async move {
            if how == Crash::Power {
                until_it_hurts(&cluster, member).await;
            }
            cluster.crash(member, how);
            tokio::time::sleep(pause).await;
            cluster.bring_back(member).await;
        });
    }
}

/// A process that does not run for a time.
fn pause(cluster: &Cluster, chance: &Chance, member: Place) {
    let (cluster, time) = (cluster.clone(), chance.millis(50..6000));
    tokio::spawn(async move { cluster.pause(member, time).await });
}

/// A restart in order.
fn stop(cluster: &Cluster, chance: &Chance, member: Place) {
    let (cluster, pause) = (cluster.clone(), chance.millis(50..4000));
    tokio::spawn(async move {
        cluster.stop(member).await;
        tokio::time::sleep(pause).await;
        cluster.bring_back(member).await;
    });
}

/// Damage that a process finds when it starts. One member can be lost that way, if all others are whole.
fn rot(cluster: &Cluster, chance: &Chance, member: Place) {
    if cluster.is_whole() {
        cluster.crash(member, Crash::Process);
        cluster.disk(member).rot();
        cluster.doubt(member, true);
        let (cluster, pause) = (cluster.clone(), chance.millis(50..1000));
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            cluster.bring_back(member).await;
        });
    }
}

/// A moment at which something is written and not flushed, if one comes soon.
async fn until_it_hurts(cluster: &Cluster, member: Place) {
    let disk = cluster.disk(member);
    for _ in 0..500 {
        if disk.has_unflushed() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A fault of a disk that passes.
fn pass(cluster: &Cluster, chance: &Chance, member: Place, fault: impl Fn(&Cluster, &Chance, Place)) {
    fault(cluster, chance, member);
    let (cluster, pause) = (cluster.clone(), chance.millis(200..4000));
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        cluster.disk(member).repair();
    });
}

/// Forgets history, but for some of the latest.
async fn compact(cluster: &Cluster, chance: &Chance, member: Place) {
    let Some(store) = cluster.member(member) else { return };
    let upto = store.status().revision - 30 - i64::try_from(chance.below(60)).unwrap_or_default();
    let request = store::etcdserverpb::CompactionRequest { revision: upto.max(1), physical: false };
    // What is compacted already, or cannot be now, stays as it is.
    drop(tokio::time::timeout(Duration::from_secs(1), store.compact(request)).await);
}
