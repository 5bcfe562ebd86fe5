//! What readers hold: the published state of one moment.

use std::sync::Arc;

use bytes::Bytes;
use proto::{
    etcdserverpb::{AlarmMember, RangeRequest, RangeResponse, TxnRequest, TxnResponse},
    mvccpb::KeyValue,
};

use crate::{
    error::Error,
    lease::{Lease, Leases},
    mvcc::{range::KeyRange, txn},
    state_machine::{Position, State},
};

/// The state at one moment: immutable, and free to keep.
#[derive(Debug, Clone)]
pub struct View {
    state: Arc<State>,
}

/// Some of the keys of a range.
#[derive(Debug, Clone)]
pub struct Page {
    /// The revision at which the keys were read.
    pub revision: i64,
    /// In order of their keys.
    pub kvs: Vec<KeyValue>,
    /// Keys of the range after the last of these.
    pub remaining: usize,
}

impl View {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn leases_state(&self) -> &Leases {
        &self.state.leases
    }

    /// The revision of the view: the last one that changed a key.
    pub fn revision(&self) -> i64 {
        self.state.mvcc.revision
    }

    /// Reads below this revision are refused.
    pub fn compacted(&self) -> i64 {
        self.state.mvcc.compacted
    }

    /// The last log entry the view holds.
    pub fn position(&self) -> Option<Position> {
        self.state.position
    }

    /// The membership, as the Raft layer wrote it.
    pub fn membership(&self) -> &Bytes {
        &self.state.membership
    }

    /// The state hash: equal on all members after the same entry.
    pub fn hash(&self) -> u128 {
        self.state.mvcc.hash
    }

    /// The hash of all that can be read at this revision and before, down to the last compaction: equal on all members,
    /// whatever they hold besides. Looks at every record.
    pub(crate) fn hash_at(&self, revision: i64) -> u128 {
        self.state.mvcc.hash_at(revision)
    }

    /// Bytes of all keys and values, old versions included, with a flat share for the indexes.
    pub fn bytes(&self) -> u64 {
        self.state.mvcc.bytes
    }

    /// Whether old versions that were compacted are still on their way out.
    pub(crate) fn forgets(&self) -> bool {
        self.state.mvcc.history_start() < self.compacted()
    }

    /// How many revisions that were compacted are still on their way out.
    pub(crate) fn leftover(&self) -> usize {
        self.state.mvcc.log.rank(self.compacted(), false)
    }

    /// The live keys.
    pub fn keys(&self) -> usize {
        self.state.mvcc.current.len()
    }

    /// The key's live version.
    pub fn get(&self, key: &[u8]) -> Option<KeyValue> {
        self.state.mvcc.get(key).map(|record| record.kv.clone())
    }

    /// The key's version at a revision.
    pub fn get_at(&self, key: &[u8], revision: i64) -> Result<Option<KeyValue>, Error> {
        let revision = self.state.mvcc.readable(revision)?;
        Ok(self.state.mvcc.get_at(key, revision).map(|record| record.kv.clone()))
    }

    /// Answers a range request as etcd does; the header holds the revision only.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        self.state.mvcc.range(request, self.revision())
    }

    /// Answers a transaction that only reads.
    pub fn txn(&self, request: &TxnRequest) -> Result<TxnResponse, Error> {
        txn::read_only(&self.state.mvcc, request)
    }

    /// Up to `limit` keys with the prefix, from `start` on (or from the first), at a revision (0 for the current one).
    pub fn prefix(&self, prefix: &[u8], start: &[u8], limit: usize, revision: i64) -> Result<Page, Error> {
        let revision = self.state.mvcc.readable(revision)?;
        let whole = KeyRange::prefix(prefix);
        let range = if start > prefix { whole.from(start) } else { whole };
        let count = self.state.mvcc.count(&range, revision);
        let records = self.state.mvcc.iter_at(&range, revision).take(limit);
        let kvs: Vec<_> = records.map(|record| record.kv.clone()).collect();
        Ok(Page { revision, remaining: count - kvs.len(), kvs })
    }

    /// How many keys have the prefix.
    pub fn count(&self, prefix: &[u8]) -> usize {
        self.state.mvcc.count(&KeyRange::prefix(prefix), self.revision())
    }

    /// One lease.
    pub fn lease(&self, id: i64) -> Option<Lease> {
        self.state.leases.get(id)
    }

    /// All leases, by id.
    pub fn leases(&self) -> Vec<Lease> {
        self.state.leases.iter().collect()
    }

    /// The keys that hang on a lease.
    pub fn lease_keys(&self, id: i64) -> Vec<Bytes> {
        self.state.leases.keys(id)
    }

    /// The alarms raised.
    pub fn alarms(&self) -> &[AlarmMember] {
        &self.state.alarms
    }
}
