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
use proto::etcdserverpb::{
    Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, compare, kv_client::KvClient, request_op::Request,
};
use tokio::task::JoinSet;
use tonic::{Status, transport::Channel};

/// Keys are drawn from this many, at random, 8 bytes each.
const KEYS: u64 = 10_000;
/// Every key of [`fill`] begins so.
pub const LIST_PREFIX: &str = "list/";
/// Puts under way at once while a store is filled.
const FILLERS: u64 = 64;
/// The longest time that is told apart, in microseconds: a minute.
const MICROSECONDS_MAX: u64 = 60_000_000;
/// An answer to a list is larger than what tonic takes by default.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

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
    /// A get, then a transaction that puts if the key is as it was seen: how Kubernetes writes. Each client has its own keys.
    CompareAndSwap {
        /// The value's size.
        bytes: usize,
    },
    /// A linearizable list of so many keys of those that [`fill`] wrote.
    List {
        /// Keys in an answer.
        limit: i64,
    },
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
    /// All answers.
    pub count: u64,
    /// Half of the answers came within this time.
    pub p50: Duration,
    /// 99 of 100 answers came within this time.
    pub p99: Duration,
    /// Requests that failed.
    pub errors: u64,
}

impl Figures {
    /// Of the times taken until each answer, in microseconds.
    pub fn of(times: &Histogram<u64>, elapsed: Duration, errors: u64) -> Self {
        Self {
            rate: times.len() as f64 / elapsed.as_secs_f64(),
            count: times.len(),
            p50: Duration::from_micros(times.value_at_quantile(0.5)),
            p99: Duration::from_micros(times.value_at_quantile(0.99)),
            errors,
        }
    }
}

/// An empty record of times in microseconds.
///
/// # Panics
/// Never: the bounds are constants.
pub fn times() -> Histogram<u64> {
    Histogram::new_with_max(MICROSECONDS_MAX, 3).expect("three digits are allowed")
}

/// Notes a time.
pub fn note(times: &mut Histogram<u64>, taken: Duration) {
    times.saturating_record(u64::try_from(taken.as_micros()).unwrap_or(u64::MAX));
}

/// A client that takes large answers.
pub fn kv(channel: &Channel) -> KvClient<Channel> {
    KvClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// Puts `load` on a server. Clients share the channels evenly.
///
/// # Errors
/// When no request succeeds.
pub async fn run(load: Load, channels: &[Channel]) -> Result<Figures> {
    let errors = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    let start = Instant::now();
    for number in 0..load.clients {
        let client = Client::new(load, kv(&channels[number % channels.len()]), number as u64);
        clients.spawn(client.ask_until(start + load.duration, errors.clone()));
    }
    let mut all = times();
    while let Some(finished) = clients.join_next().await {
        all.add(finished?)?;
    }
    let errors = errors.load(Ordering::Relaxed);
    anyhow::ensure!(!all.is_empty(), "no request succeeded: {errors} failed");
    Ok(Figures::of(&all, start.elapsed(), errors))
}

/// Writes this many keys below [`LIST_PREFIX`], each once.
///
/// # Errors
/// When a put fails.
pub async fn fill(keys: u64, bytes: usize, channels: &[Channel]) -> Result<()> {
    let value = Bytes::from(vec![b'x'; bytes]);
    let mut fillers = JoinSet::new();
    for first in 0..FILLERS {
        let mut client = kv(&channels[usize::try_from(first)? % channels.len()]);
        let value = value.clone();
        fillers.spawn(async move {
            for number in (first..keys).step_by(usize::try_from(FILLERS).unwrap_or(usize::MAX)) {
                let key = Bytes::from(format!("{LIST_PREFIX}{number:08}"));
                client.put(PutRequest { key, value: value.clone(), ..PutRequest::default() }).await?;
            }
            Ok::<_, Status>(())
        });
    }
    while let Some(filled) = fillers.join_next().await {
        filled??;
    }
    Ok(())
}

struct Client {
    load: Load,
    client: KvClient<Channel>,
    number: u64,
    random: u64,
    value: Bytes,
}

impl Client {
    fn new(load: Load, client: KvClient<Channel>, number: u64) -> Self {
        let bytes = match load.operation {
            Operation::Put { bytes } | Operation::CompareAndSwap { bytes } => bytes,
            Operation::Get | Operation::List { .. } => 0,
        };
        // Clients draw different keys, and the same ones in every run.
        let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1;
        Self { load, client, number, random, value: Bytes::from(vec![b'x'; bytes]) }
    }

    async fn ask_until(mut self, end: Instant, errors: Arc<AtomicU64>) -> Histogram<u64> {
        let mut times = times();
        loop {
            let asked = Instant::now();
            if asked >= end {
                return times;
            }
            match self.ask().await {
                Ok(()) => note(&mut times, asked.elapsed()),
                Err(_) => drop(errors.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }

    /// A linear congruential generator (Knuth's constants).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    async fn ask(&mut self) -> Result<(), Status> {
        let key = key(self.draw() % KEYS);
        match self.load.operation {
            Operation::Put { .. } => {
                let put = PutRequest { key, value: self.value.clone(), ..PutRequest::default() };
                self.client.put(put).await.map(drop)
            }
            Operation::Get => self.client.range(RangeRequest { key, ..RangeRequest::default() }).await.map(drop),
            Operation::CompareAndSwap { .. } => self.compare_and_swap().await,
            Operation::List { limit } => {
                // Every key that begins so comes before the one with the next last letter.
                let range_end = Bytes::from_static(b"list0");
                let request = RangeRequest { key: LIST_PREFIX.into(), range_end, limit, ..RangeRequest::default() };
                let listed = self.client.range(request).await?.into_inner().kvs.len();
                if i64::try_from(listed).unwrap_or(i64::MAX) < limit {
                    return Err(Status::data_loss("fewer keys than were written"));
                }
                Ok(())
            }
        }
    }

    async fn compare_and_swap(&mut self) -> Result<(), Status> {
        let clients = self.load.clients as u64;
        let key = key(self.draw() % (KEYS / clients) * clients + self.number);
        let get = RangeRequest { key: key.clone(), ..RangeRequest::default() };
        let seen = self.client.range(get.clone()).await?.into_inner().kvs.first().map_or(0, |kv| kv.mod_revision);
        let unchanged = Compare {
            result: compare::CompareResult::Equal.into(),
            target: compare::CompareTarget::Mod.into(),
            key: key.clone(),
            target_union: Some(compare::TargetUnion::ModRevision(seen)),
            ..Compare::default()
        };
        let put = PutRequest { key, value: self.value.clone(), ..PutRequest::default() };
        let txn = TxnRequest {
            compare: vec![unchanged],
            success: vec![RequestOp { request: Some(Request::RequestPut(put)) }],
            failure: vec![RequestOp { request: Some(Request::RequestRange(get)) }],
        };
        let succeeded = self.client.txn(txn).await?.into_inner().succeeded;
        if succeeded { Ok(()) } else { Err(Status::aborted("somebody else wrote the key")) }
    }
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("{number:08}"))
}
