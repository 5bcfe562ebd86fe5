//! Clients that read and write a few keys, and take no answer for granted.

use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest, compare,
    kv_client::KvClient, request_op::Request, response_op::Response,
};
use store::world::PeerChannel;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::{
    chance::Chance,
    cluster::Cluster,
    history::{Ask, History, Operation, Told},
    network::Place,
};

/// Clients are at places beyond all members.
pub(crate) const FIRST_CLIENT: Place = 1000;
const KEYS: usize = 5;
const DEADLINE: Duration = Duration::from_secs(7);

/// One client.
pub(crate) struct Client {
    pub(crate) cluster: Cluster,
    pub(crate) chance: Chance,
    pub(crate) history: History,
    pub(crate) id: u64,
    pub(crate) started: Instant,
    count: u64,
    member: Place,
    /// What this client last saw of each key: what it bases its swaps on.
    seen: [i64; KEYS],
}

fn key(at: usize) -> Bytes {
    format!("k{at}").into()
}

fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

/// All keys there are.
pub(crate) fn all_keys() -> RangeRequest {
    RangeRequest { key: "k".into(), range_end: "l".into(), ..RangeRequest::default() }
}

impl Client {
    pub(crate) fn new(cluster: &Cluster, chance: Chance, history: History, id: u64, started: Instant) -> Self {
        let member = *chance.pick(&cluster.places());
        Self { cluster: cluster.clone(), chance, history, id, started, count: 0, member, seen: [0; KEYS] }
    }

    /// Works until told to stop; what is under way then is finished.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::time::sleep(self.chance.millis(50..600)).await;
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let at = self.chance.below(KEYS);
        let ask = self.choose(at);
        let began = self.started.elapsed();
        let channel = self.cluster.net.client(FIRST_CLIENT + self.id, self.member);
        let told = match tokio::time::timeout(DEADLINE, carry_out(channel, ask.clone())).await {
            Ok(Ok(told)) => told,
            Ok(Err(status)) => refusal(&status),
            Err(_) => Told::Unknown,
        };
        match &told {
            Told::Written { revision } => self.seen[at] = *revision,
            Told::Read { found, .. } | Told::NotWritten { found, .. } => {
                for record in found {
                    if let Some(at) = (0..KEYS).find(|at| key(*at) == record.key) {
                        self.seen[at] = record.mod_revision;
                    }
                }
            }
            // Somebody else may do better.
            Told::Refused | Told::Unknown => self.member = *self.chance.pick(&self.cluster.places()),
        }
        if self.chance.one_in(20) {
            self.member = *self.chance.pick(&self.cluster.places());
        }
        let ended = self.started.elapsed();
        self.history.add(Operation { client: self.id, began, ended, ask, told });
    }

    fn choose(&mut self, at: usize) -> Ask {
        self.count += 1;
        let value = Bytes::from(format!("{}.{}", self.id, self.count));
        let key = key(at);
        match self.chance.below(10) {
            0..3 => Ask::Put { key, value },
            3..5 => Ask::Swap { key, expected: self.seen[at], value },
            5 => Ask::Delete { key },
            6 => Ask::List,
            7 => Ask::ListLocally,
            _ => Ask::Get { key },
        }
    }
}

/// Which errors promise that nothing was and nothing will be done.
fn refusal(status: &Status) -> Told {
    let never = ["etcdserver: no leader", "etcdserver: too many requests"];
    if status.code() == Code::Unavailable && never.contains(&status.message()) { Told::Refused } else { Told::Unknown }
}

async fn carry_out(channel: PeerChannel, ask: Ask) -> Result<Told, Status> {
    let mut client = KvClient::new(channel);
    Ok(match ask {
        Ask::Put { key, value } => {
            let put = client.put(PutRequest { key, value, ..PutRequest::default() }).await?.into_inner();
            Told::Written { revision: revision(put.header.as_ref()) }
        }
        Ask::Delete { key } => {
            let request = DeleteRangeRequest { key, ..DeleteRangeRequest::default() };
            let deleted = client.delete_range(request).await?.into_inner();
            let revision = revision(deleted.header.as_ref());
            match deleted.deleted {
                0 => Told::NotWritten { revision, found: Vec::new() },
                _ => Told::Written { revision },
            }
        }
        Ask::Swap { key, expected, value } => swap(client, key, expected, value).await?,
        Ask::Get { key } => {
            let read = client.range(RangeRequest { key, ..RangeRequest::default() }).await?.into_inner();
            Told::Read { revision: revision(read.header.as_ref()), found: read.kvs }
        }
        Ask::List => {
            let read = client.range(all_keys()).await?.into_inner();
            Told::Read { revision: revision(read.header.as_ref()), found: read.kvs }
        }
        Ask::ListLocally => {
            let read = client.range(RangeRequest { serializable: true, ..all_keys() }).await?.into_inner();
            Told::Read { revision: revision(read.header.as_ref()), found: read.kvs }
        }
    })
}

async fn swap(mut client: KvClient<PeerChannel>, key: Bytes, expected: i64, value: Bytes) -> Result<Told, Status> {
    let condition = Compare {
        key: key.clone(),
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Mod.into(),
        target_union: Some(compare::TargetUnion::ModRevision(expected)),
        ..Compare::default()
    };
    let put = PutRequest { key: key.clone(), value, ..PutRequest::default() };
    let get = RangeRequest { key, ..RangeRequest::default() };
    let request = TxnRequest {
        compare: vec![condition],
        success: vec![RequestOp { request: Some(Request::RequestPut(put)) }],
        failure: vec![RequestOp { request: Some(Request::RequestRange(get)) }],
    };
    let answer = client.txn(request).await?.into_inner();
    let revision = revision(answer.header.as_ref());
    if answer.succeeded {
        return Ok(Told::Written { revision });
    }
    let found = answer.responses.into_iter().filter_map(|response| match response.response {
        Some(Response::ResponseRange(range)) => Some(range.kvs),
        _ => None,
    });
    Ok(Told::NotWritten { revision, found: found.flatten().collect() })
}
