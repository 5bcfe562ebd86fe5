//! Members that end and start again: under writers that never pause, and while their answer is waited for.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use nix::sys::signal::Signal;
use proto::etcdserverpb::PutRequest;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{
    processes,
    server::{Members, all_serve, leader, serves},
};
use crate::load::kv;

/// No start takes so long, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clients that write while a leader goes away.
const WRITERS: usize = 64;
/// How long a client waits for one answer before it asks another member.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(150);
/// Writing before the fault and after it: longer than any gap is expected to be.
const BEFORE: Duration = Duration::from_millis(700);
const AFTER: Duration = Duration::from_secs(4);
/// Once writes have gone on for so long after the gap, it has ended.
const GOING_ON: Duration = Duration::from_millis(500);

/// Ends the leader under writers, so many times; the longest time without an acknowledged write, each time.
///
/// # Errors
/// When the store does not come back.
pub async fn lose_leaders(members: &mut dyn Members, signal: Signal, times: usize) -> Result<Vec<Duration>> {
    let mut gaps = Vec::new();
    for _ in 0..times {
        let lost = leader(members).await?;
        let writers = Writers::start(members)?;
        sleep(BEFORE).await;
        let from = Instant::now();
        members.end(lost, signal)?;
        writers.go_on_after(from).await;
        gaps.push(writers.finish(from).await);
        // A member that ends in order may still be at it.
        while processes::age(members.pid(lost)?).is_ok_and(|_| signal != Signal::SIGKILL && alive(members, lost)) {
            sleep(Duration::from_millis(20)).await;
        }
        members.start()?;
        all_serve(members).await?;
    }
    gaps.sort();
    Ok(gaps)
}

fn alive(members: &dyn Members, member: usize) -> bool {
    let Ok(pid) = members.pid(member) else { return false };
    // A zombie has ended: its parent, this bench or init, has not looked yet. Nor can it, before the last thread is gone: the
    // first one is a zombie already while another still waits for a flush.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    stat.rsplit_once(')').is_some_and(|(_, fields)| !fields.trim_start().starts_with(['Z', 'X']) || threads > 1)
}

/// Kills a member that does not lead, and starts it again; from its start until it answers a linearizable get.
///
/// # Errors
/// When it does not come back.
pub async fn restart(members: &mut dyn Members) -> Result<Duration> {
    let member = (leader(members).await? + 1) % members.urls().len();
    members.end(member, Signal::SIGKILL)?;
    while alive(members, member) {
        sleep(Duration::from_millis(5)).await;
    }
    let old = members.pid(member)?;
    // Starting waits until the member is ready, by its own measure: this looks at the same time.
    let (access, url) = (members.access().clone(), members.urls()[member].clone());
    let looking = tokio::spawn(async move {
        loop {
            let Ok(channel) = access.channel(&url) else { return Instant::now() };
            let get =
                kv(&channel).range(proto::etcdserverpb::RangeRequest { key: "x".into(), ..Default::default() }).await;
            if get.is_ok() {
                return Instant::now();
            }
            sleep(Duration::from_millis(5)).await;
        }
    });
    tokio::task::block_in_place(|| members.start())?;
    let served = timeout(PATIENCE, looking).await.context("a member that was started again does not serve")??;
    let new = members.pid(member)?;
    anyhow::ensure!(new != old, "the member was not started again");
    let (age, since) = (processes::age(new)?, served.elapsed());
    serves(members, member).await?;
    Ok(age.saturating_sub(since))
}

/// Clients that write without pause, each to its own key, and turn to the next member when one is silent.
struct Writers {
    /// When each acknowledgement came.
    times: Arc<Mutex<Vec<Instant>>>,
    stop: CancellationToken,
    clients: JoinSet<()>,
}

impl Writers {
    fn start(members: &dyn Members) -> Result<Self> {
        let channels: Vec<Vec<Channel>> = (0..WRITERS.div_ceil(8))
            .map(|_| members.urls().iter().map(|url| members.access().channel(url)).collect::<Result<_>>())
            .collect::<Result<_>>()?;
        let (times, stop, mut clients) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new(), JoinSet::new());
        for number in 0..WRITERS {
            let (channels, times, stop) = (channels[number / 8].clone(), times.clone(), stop.clone());
            clients.spawn(async move {
                let mut turn = number;
                let key = Bytes::from(format!("writer/{number:08}"));
                while !stop.is_cancelled() {
                    let put = PutRequest { key: key.clone(), value: key.clone(), ..PutRequest::default() };
                    match timeout(ATTEMPT_TIMEOUT, kv(&channels[turn % channels.len()]).put(put)).await {
                        Ok(Ok(_)) => times.lock().expect("no holder panics").push(Instant::now()),
                        // Not at once: a member that refuses connections would be asked all the time.
                        _ => {
                            turn += 1;
                            sleep(Duration::from_millis(2)).await;
                        }
                    }
                }
            });
        }
        Ok(Self { times, stop, clients })
    }

    fn longest_gap(&self, from: Instant, to: Instant) -> (Instant, Duration) {
        let mut times = self.times.lock().expect("no holder panics").clone();
        times.retain(|time| (from..=to).contains(time));
        times.sort();
        let marks: Vec<Instant> = std::iter::once(from).chain(times).chain([to]).collect();
        let gaps = marks.windows(2).map(|pair| (pair[1], pair[1] - pair[0]));
        gaps.max_by_key(|(_, gap)| *gap).unwrap_or((to, Duration::ZERO))
    }

    async fn go_on_after(&self, from: Instant) {
        loop {
            sleep(Duration::from_millis(50)).await;
            let now = Instant::now();
            let (ended, gap) = self.longest_gap(from, now);
            let going_on = now - ended > GOING_ON && gap > Duration::from_millis(100);
            if going_on || now - from > AFTER {
                return;
            }
        }
    }

    async fn finish(mut self, from: Instant) -> Duration {
        let gap = self.longest_gap(from, Instant::now()).1;
        self.stop.cancel();
        while self.clients.join_next().await.is_some() {}
        gap
    }
}

/// The middle one, and the last.
///
/// # Errors
/// When there is none.
pub fn median_and_worst(sorted: &[Duration]) -> Result<(Duration, Duration)> {
    let worst = sorted.last().context("no run")?;
    Ok((sorted[sorted.len() / 2], *worst))
}
