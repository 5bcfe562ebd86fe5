//! Many watchers of the same keys, and how long a put takes to reach each of them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use proto::etcdserverpb::{
    PutRequest, WatchCreateRequest, WatchRequest, watch_client::WatchClient, watch_request::RequestUnion,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::load::{Figures, kv, note, times};

/// Nothing that is waited for takes so long, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Watchers and what they see.
#[derive(Clone, Copy, Debug)]
pub struct Watchers {
    /// Watches in all.
    pub watches: usize,
    /// Streams they are spread over evenly.
    pub streams: usize,
    /// Puts in a second, each seen by every watch.
    pub puts_a_second: u32,
    /// For how long.
    pub duration: Duration,
}

/// Puts, and measures from each put's start until its event at each watch.
///
/// # Errors
/// When a watch misses a put, or sees one twice.
pub async fn run(load: Watchers, channels: &[Channel]) -> Result<Figures> {
    let epoch = Instant::now();
    let puts = u64::from(load.puts_a_second) * load.duration.as_secs();
    let each = load.watches / load.streams;
    let (ready, mut created) = mpsc::channel(load.streams);
    let mut streams = JoinSet::new();
    for number in 0..load.streams {
        let channel = channels[number % channels.len()].clone();
        streams.spawn(one_stream(channel, each, puts * each as u64, epoch, ready.clone()));
    }
    let begun = async {
        for _ in 0..load.streams {
            tokio::select! {
                biased;
                Some(ended) = streams.join_next() => {
                    ended??;
                    anyhow::bail!("a watch stream ended before the first put");
                }
                Some(()) = created.recv() => {}
            }
        }
        Ok(())
    };
    timeout(PATIENCE, begun).await.context("watch streams do not begin")??;
    let start = Instant::now();
    let mut clients: Vec<_> = channels.iter().map(kv).collect();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / load.puts_a_second);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..puts {
        pace.tick().await;
        let value = Bytes::from(epoch.elapsed().as_nanos().to_string());
        let turn = usize::try_from(number)? % clients.len();
        clients[turn].put(PutRequest { key: "watched/key".into(), value, ..PutRequest::default() }).await?;
    }
    let mut all = times();
    let told = async {
        while let Some(seen) = streams.join_next().await {
            all.add(seen??)?;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, told).await.context("watches miss events")??;
    Ok(Figures::of(&all, start.elapsed(), 0))
}

async fn one_stream(
    channel: Channel,
    watches: usize,
    events: u64,
    epoch: Instant,
    ready: mpsc::Sender<()>,
) -> Result<Histogram<u64>> {
    let (requests, queue) = mpsc::channel(64);
    let create = || {
        let watched = ("watched/".into(), "watched0".into());
        let create = WatchCreateRequest { key: watched.0, range_end: watched.1, ..WatchCreateRequest::default() };
        WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
    };
    // etcd answers the opening of a stream with the answer to its first request.
    requests.send(create()).await?;
    let mut answers = WatchClient::new(channel).watch(ReceiverStream::new(queue)).await?.into_inner();
    let mut times = times();
    for number in 0..watches {
        if number > 0 {
            requests.send(create()).await?;
        }
        let created = answers.message().await?.is_some_and(|answer| answer.created);
        anyhow::ensure!(created, "a watch was not created");
    }
    ready.send(()).await?;
    while times.len() < events {
        let answer = answers.message().await?.context("a watch stream ended")?;
        for event in answer.events {
            let value = event.kv.context("an event without its key")?.value;
            let sent: u64 = std::str::from_utf8(&value)?.parse()?;
            note(&mut times, epoch.elapsed().saturating_sub(Duration::from_nanos(sent)));
        }
    }
    anyhow::ensure!(times.len() == events, "{} events of {events}", times.len());
    Ok(times)
}
