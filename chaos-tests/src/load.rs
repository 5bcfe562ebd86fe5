//! One load generator for every server of etcd's API: ours, etcd, and one that answers without work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use bytes::Bytes;
use hdrhistogram::Histogram;
use proto::etcdserverpb::{PutRequest, RangeRequest, kv_client::KvClient};
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// Keys are drawn from this many, at random, 8 bytes each.
const KEYS: u64 = 10_000;

/// The longest time that is told apart, in microseconds: a minute.
const MICROSECONDS_MAX: u64 = 60_000_000;

/// What every client does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A put of a value of this many bytes.
    Put {
        /// The value's size.
        bytes: usize,
    },
    /// A linearizable get.
    Get,
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// What is done.
    pub operation: Operation,
    /// Clients that each wait for an answer before they ask again.
    pub clients: usize,
    /// For how long.
    pub duration: Duration,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Answers a second.
    pub rate: f64,
    /// Half of the answers came within this time.
    pub p50: Duration,
    /// 99 of 100 answers came within this time.
    pub p99: Duration,
    /// Requests that failed.
    pub errors: u64,
}

/// Puts `load` on a server. Clients share the channels evenly.
///
/// # Errors
/// When no request succeeds.
pub async fn run(load: Load, channels: &[Channel]) -> Result<Figures> {
    let errors = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    let (start, value) = (Instant::now(), Bytes::from(vec![b'x'; 1 << 16]));
    for number in 0..load.clients {
        let client = KvClient::new(channels[number % channels.len()].clone());
        let (errors, value) = (errors.clone(), value.clone());
        clients.spawn(one_client(load, client, number as u64, start, value, errors));
    }
    let mut all = Histogram::<u64>::new_with_max(MICROSECONDS_MAX, 3)?;
    while let Some(finished) = clients.join_next().await {
        all.add(finished?)?;
    }
    let elapsed = start.elapsed();
    anyhow::ensure!(!all.is_empty(), "no request succeeded: {} failed", errors.load(Ordering::Relaxed));
    Ok(Figures {
        rate: all.len() as f64 / elapsed.as_secs_f64(),
        p50: Duration::from_micros(all.value_at_quantile(0.5)),
        p99: Duration::from_micros(all.value_at_quantile(0.99)),
        errors: errors.load(Ordering::Relaxed),
    })
}

async fn one_client(
    load: Load,
    mut client: KvClient<Channel>,
    number: u64,
    start: Instant,
    value: Bytes,
    errors: Arc<AtomicU64>,
) -> Histogram<u64> {
    let mut times = Histogram::<u64>::new_with_max(MICROSECONDS_MAX, 3).expect("three digits are allowed");
    // A linear congruential generator (Knuth's constants): clients draw different keys, and the same ones in every run.
    let mut random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1;
    while start.elapsed() < load.duration {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = Bytes::from(format!("{:08}", (random >> 33) % KEYS));
        let asked = Instant::now();
        let answered = match load.operation {
            Operation::Put { bytes } => {
                client.put(PutRequest { key, value: value.slice(..bytes), ..PutRequest::default() }).await.is_ok()
            }
            Operation::Get => client.range(RangeRequest { key, ..RangeRequest::default() }).await.is_ok(),
        };
        if answered {
            times.saturating_record(u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX));
        } else {
            errors.fetch_add(1, Ordering::Relaxed);
        }
    }
    times
}
