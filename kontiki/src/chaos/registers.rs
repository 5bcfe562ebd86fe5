//! Clients that read, set and swap a few shared keys through different masters: a history for the search of
//! [`super::linearizability`].
//!
//! Every value is written once only, so that what is read tells who wrote it. An answer that never came leaves a write
//! unknown: it may take effect later, or never.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use proto::etcdserverpb::{
    Compare, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest, compare, kv_client::KvClient,
    request_op::Request, response_op::Response,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::linearizability::Effect;
use crate::etcd::Access;

/// Few, so that clients meet.
const REGISTERS: usize = 4;
const CLIENTS: u64 = 4;
/// The pause of a client between two operations.
const PERIOD: Duration = Duration::from_millis(40);
const TIMEOUT: Duration = Duration::from_millis(1000);

/// What one client asked and was told.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// The key.
    pub(crate) register: String,
    pub(crate) effect: Effect<String>,
    pub(crate) began: Instant,
    /// When it was answered; never, when the outcome is unknown.
    pub(crate) ended: Option<Instant>,
    /// The revision that the answer named.
    pub(crate) revision: Option<i64>,
}

/// The running clients.
pub(crate) struct Registers {
    operations: Arc<Mutex<Vec<Operation>>>,
    clients: JoinSet<()>,
    stop: CancellationToken,
}

impl Registers {
    /// Begins, with keys below `prefix`, through the etcd ports at these URLs.
    pub(crate) fn start(access: &Access, urls: &[String], prefix: &str, seed: u64) -> Self {
        let (operations, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = Client {
                number,
                access: access.clone(),
                urls: urls.to_vec(),
                channels: vec![None; urls.len()],
                prefix: prefix.to_owned(),
                last_seen: vec![None; REGISTERS],
                random: StdRng::seed_from_u64(seed.wrapping_add(number)),
            };
            clients.spawn(client.run(operations.clone(), stop.clone()));
        }
        Self { operations, clients, stop }
    }

    /// Ends them and gives what they did.
    pub(crate) async fn finish(mut self) -> Vec<Operation> {
        self.stop.cancel();
        while self.clients.join_next().await.is_some() {}
        std::mem::take(&mut self.operations.lock())
    }
}

struct Client {
    number: u64,
    access: Access,
    urls: Vec<String>,
    channels: Vec<Option<Channel>>,
    prefix: String,
    /// What this client saw last in each register: what it swaps.
    last_seen: Vec<Option<String>>,
    random: StdRng,
}

/// What was answered: the effect on the register as it is known now, and the revision.
type Answer = (Effect<String>, Option<i64>);

impl Client {
    async fn run(mut self, operations: Arc<Mutex<Vec<Operation>>>, stop: CancellationToken) {
        let mut pace = interval(PERIOD);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for count in 0_u64.. {
            tokio::select! { _ = pace.tick() => {}, () = stop.cancelled() => return }
            let (register, master) =
                (self.random.random_range(0..REGISTERS), self.random.random_range(0..self.urls.len()));
            let value = format!("{}-{count}", self.number);
            let asked = match self.random.random_range(0..10) {
                0..4 => None,
                4..7 => Some(Effect::Write(Some(value))),
                _ => Some(Effect::Swap(self.last_seen[register].clone(), Some(value))),
            };
            let key = format!("{}register-{register}", self.prefix);
            let began = Instant::now();
            let told = timeout(TIMEOUT, self.ask(master, &key, asked.as_ref())).await;
            let operation = match (told, asked) {
                (Ok(Ok((effect, revision))), _) => {
                    self.last_seen[register] = match &effect {
                        Effect::Read(value) | Effect::Write(value) | Effect::Swap(_, value) => value.clone(),
                    };
                    Operation { register: key, effect, began, ended: Some(Instant::now()), revision }
                }
                (_, Some(effect)) => {
                    self.channels[master] = None;
                    Operation { register: key, effect, began, ended: None, revision: None }
                }
                // A read that was not answered tells nothing.
                (_, None) => {
                    self.channels[master] = None;
                    continue;
                }
            };
            operations.lock().push(operation);
        }
    }

    async fn ask(&mut self, master: usize, key: &str, asked: Option<&Effect<String>>) -> Result<Answer> {
        let channel = match &self.channels[master] {
            Some(channel) => channel.clone(),
            None => self.channels[master].insert(self.access.channel(&self.urls[master])?).clone(),
        };
        let mut client = KvClient::new(channel);
        let key = Bytes::copy_from_slice(key.as_bytes());
        match asked {
            Some(Effect::Write(value)) => {
                let put = PutRequest { key, value: value.clone().unwrap_or_default().into(), ..PutRequest::default() };
                let answer = client.put(put).await?.into_inner();
                Ok((Effect::Write(value.clone()), revision(answer.header.as_ref())))
            }
            Some(Effect::Swap(expected, value)) => {
                let request = swap(&key, expected.as_deref(), value.clone().unwrap_or_default());
                let answer = client.txn(request).await?.into_inner();
                let revision = revision(answer.header.as_ref());
                if answer.succeeded {
                    return Ok((Effect::Swap(expected.clone(), value.clone()), revision));
                }
                let found = answer.responses.into_iter().next().and_then(|response| response.response);
                let Some(Response::ResponseRange(found)) = found else { anyhow::bail!("a swap without its read") };
                Ok((Effect::Read(text(found.kvs.first().map(|kv| kv.value.clone()))?), revision))
            }
            Some(Effect::Read(_)) | None => {
                let answer = client.range(RangeRequest { key, ..RangeRequest::default() }).await?.into_inner();
                let found = text(answer.kvs.first().map(|kv| kv.value.clone()))?;
                Ok((Effect::Read(found), revision(answer.header.as_ref())))
            }
        }
    }
}

fn revision(header: Option<&ResponseHeader>) -> Option<i64> {
    header.map(|header| header.revision)
}

fn text(value: Option<Bytes>) -> Result<Option<String>> {
    value.map(|value| String::from_utf8(value.to_vec()).context("a value that nobody wrote")).transpose()
}

/// Puts the value if the key has the expected one, or none; else reads what it has.
fn swap(key: &Bytes, expected: Option<&str>, value: String) -> TxnRequest {
    let (target, wanted) = match expected {
        Some(expected) => {
            (compare::CompareTarget::Value, compare::TargetUnion::Value(Bytes::copy_from_slice(expected.as_bytes())))
        }
        None => (compare::CompareTarget::Create, compare::TargetUnion::CreateRevision(0)),
    };
    let condition = Compare {
        result: compare::CompareResult::Equal.into(),
        target: target.into(),
        key: key.clone(),
        target_union: Some(wanted),
        ..Compare::default()
    };
    let put = PutRequest { key: key.clone(), value: value.into(), ..PutRequest::default() };
    let read = RangeRequest { key: key.clone(), ..RangeRequest::default() };
    TxnRequest {
        compare: vec![condition],
        success: vec![RequestOp { request: Some(Request::RequestPut(put)) }],
        failure: vec![RequestOp { request: Some(Request::RequestRange(read)) }],
    }
}
