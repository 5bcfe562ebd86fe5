//! The state as rows: what a snapshot and a checkpoint hold, and how it becomes a state again.
//!
//! Numbers are big-endian and fixed; a change of any layout here is a new `FORMAT_VERSION`.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use proto::{etcdserverpb::AlarmMember, mvccpb::KeyValue, raftpb::CommandResponse};

use crate::{
    lease::{Lease, Leases},
    mvcc::{Mvcc, index::Tree, revision::Record},
    session::{Answer, Session, Sessions},
    state_machine::{Position, State},
};

/// The version of the layouts in this file.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Whose data it is. Every file names both, and no member takes another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub cluster_id: u64,
    /// The member that wrote it.
    pub member_id: u64,
}

/// Bytes that are not what was once written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged data: {0}")]
pub struct Damage(pub(crate) String);

impl Damage {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl From<bytes::TryGetError> for Damage {
    fn from(_: bytes::TryGetError) -> Self {
        Self::new("a row ends early")
    }
}

impl From<prost::DecodeError> for Damage {
    fn from(error: prost::DecodeError) -> Self {
        Self::new(error.to_string())
    }
}

/// What is known of a state before its rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Meta {
    pub(crate) owner: Owner,
    pub(crate) position: Option<Position>,
    pub(crate) membership: Bytes,
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
    pub(crate) history_start: i64,
    pub(crate) hash: u128,
    pub(crate) alarms: Vec<AlarmMember>,
}

impl Meta {
    pub(crate) fn of(state: &State, owner: Owner) -> Self {
        Self {
            owner,
            position: state.position,
            membership: state.membership.clone(),
            revision: state.mvcc.revision,
            compacted: state.mvcc.compacted,
            history_start: state.mvcc.history_start(),
            hash: state.mvcc.hash,
            alarms: state.alarms.clone(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut to = Vec::new();
        to.put_u32(FORMAT_VERSION);
        to.put_u64(self.owner.cluster_id);
        to.put_u64(self.owner.member_id);
        to.put_u8(u8::from(self.position.is_some()));
        let Position { term, index } = self.position.unwrap_or_default();
        to.put_u64(term);
        to.put_u64(index);
        to.put_i64(self.revision);
        to.put_i64(self.compacted);
        to.put_i64(self.history_start);
        to.put_u128(self.hash);
        put_bytes(&mut to, &self.membership);
        for alarm in &self.alarms {
            to.put_u64(alarm.member_id);
            to.put_i32(alarm.alarm);
        }
        to
    }

    pub(crate) fn decode(mut from: Bytes) -> Result<Self, Damage> {
        let version = from.try_get_u32()?;
        if version != FORMAT_VERSION {
            return Err(Damage(format!("format version {version}, this build reads {FORMAT_VERSION}")));
        }
        let owner = Owner { cluster_id: from.try_get_u64()?, member_id: from.try_get_u64()? };
        let known = from.try_get_u8()? != 0;
        let position = Position { term: from.try_get_u64()?, index: from.try_get_u64()? };
        let (revision, compacted, history_start) = (from.try_get_i64()?, from.try_get_i64()?, from.try_get_i64()?);
        let hash = from.try_get_u128()?;
        let membership = get_bytes(&mut from)?;
        let mut alarms = Vec::new();
        while from.has_remaining() {
            alarms.push(AlarmMember { member_id: from.try_get_u64()?, alarm: from.try_get_i32()? });
        }
        let position = known.then_some(position);
        Ok(Self { owner, position, membership, revision, compacted, history_start, hash, alarms })
    }
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    to.put_slice(bytes);
}

fn get_bytes(from: &mut Bytes) -> Result<Bytes, Damage> {
    let len = from.try_get_u32()? as usize;
    if len > from.len() {
        return Err(Damage::new("a row ends early"));
    }
    Ok(from.split_to(len))
}

/// Everything a record's row holds besides the bytes of key and value.
pub(crate) const RECORD_FIXED: usize = 1 + 4 + 4 * 8 + 4;

pub(crate) fn encode_record(to: &mut Vec<u8>, record: &Record) {
    let KeyValue { key, create_revision, mod_revision, version, value, lease } = &record.kv;
    to.reserve(RECORD_FIXED + key.len() + value.len());
    to.put_u8(u8::from(record.tombstone));
    to.put_u32(record.sub);
    for number in [create_revision, mod_revision, version, lease] {
        to.put_i64(*number);
    }
    put_bytes(to, key);
    to.put_slice(value);
}

/// The revision of a record and its position within it. No other record has the same.
pub(crate) type RecordAt = (i64, u32);

/// Where the record of a row stands.
pub(crate) fn record_at(mut row: &[u8]) -> Result<RecordAt, Damage> {
    row.try_get_u8()?;
    let sub = row.try_get_u32()?;
    row.try_get_i64()?;
    Ok((row.try_get_i64()?, sub))
}

pub(crate) fn decode_record(mut from: Bytes) -> Result<Record, Damage> {
    let tombstone = from.try_get_u8()? != 0;
    let sub = from.try_get_u32()?;
    let (create_revision, mod_revision) = (from.try_get_i64()?, from.try_get_i64()?);
    let (version, lease) = (from.try_get_i64()?, from.try_get_i64()?);
    let key = get_bytes(&mut from)?;
    // Copied, so that no row keeps the block alive that it came in.
    let (key, value) = (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&from));
    Ok(Record { kv: KeyValue { key, create_revision, mod_revision, version, value, lease }, sub, tombstone })
}

pub(crate) fn encode_lease(to: &mut Vec<u8>, lease: &Lease) {
    to.put_i64(lease.id);
    to.put_i64(lease.ttl);
}

pub(crate) fn encode_session(to: &mut Vec<u8>, session: &Session) {
    to.put_u64(session.id);
    to.put_u64(session.floor);
    to.put_u64(session.used);
}

pub(crate) fn encode_answer(to: &mut Vec<u8>, answer: &Answer) {
    to.put_u64(answer.session);
    to.put_u64(answer.sequence);
    to.extend_from_slice(&answer.response.encode_to_vec());
}

/// What a row describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Record,
    Lease,
    Session,
    Answer,
}

impl Tag {
    pub(crate) const ALL: [Self; 4] = [Self::Record, Self::Lease, Self::Session, Self::Answer];

    /// The letter that stands for it in files.
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Record => b'r',
            Self::Lease => b'l',
            Self::Session => b's',
            Self::Answer => b'a',
        }
    }
}

/// Collects rows, in any order, and makes a state of them.
///
/// It takes little more memory than that state: a word for each record. What a state at hand holds already is shared with it,
/// records and parts of the index.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    records: Vec<Arc<Record>>,
    leases: Vec<Lease>,
    sessions: Sessions,
    at_hand: Option<Mvcc>,
    pub(crate) rows: u64,
}

impl Collector {
    /// Shares the records that are in this key space too.
    pub(crate) fn share(&mut self, at_hand: Mvcc) {
        self.at_hand = Some(at_hand);
    }

    pub(crate) fn add(&mut self, tag: u8, mut row: Bytes) -> Result<(), Damage> {
        self.rows += 1;
        match Tag::ALL.into_iter().find(|known| known.byte() == tag) {
            Some(Tag::Record) => {
                let record = decode_record(row)?;
                let known = self.at_hand.as_ref().and_then(|at_hand| at_hand.find(&record)).cloned();
                self.records.push(known.unwrap_or_else(|| Arc::new(record)));
            }
            Some(Tag::Lease) => self.leases.push(Lease { id: row.try_get_i64()?, ttl: row.try_get_i64()? }),
            Some(Tag::Session) => {
                let (id, floor, used) = (row.try_get_u64()?, row.try_get_u64()?, row.try_get_u64()?);
                self.sessions.sessions.insert(Session { id, floor, used });
            }
            Some(Tag::Answer) => {
                let (session, sequence) = (row.try_get_u64()?, row.try_get_u64()?);
                // Decoded from its own copy, so that no answer keeps its block alive.
                let response = Arc::new(CommandResponse::decode(Bytes::copy_from_slice(&row))?);
                self.sessions.answers.insert(Answer { session, sequence, response });
            }
            None => return Err(Damage(format!("a row of unknown kind {tag}"))),
        }
        Ok(())
    }

    /// The state, if its records add up to the hash they had.
    pub(crate) fn finish(self, meta: Meta) -> Result<State, Damage> {
        let Self { mut records, leases, sessions, at_hand, .. } = self;
        records.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        if records.windows(2).any(|pair| pair[0].place() == pair[1].place()) {
            return Err(Damage::new("two records have one place"));
        }
        let mvcc =
            Mvcc::rebuild(records, meta.revision, meta.compacted, meta.history_start, &at_hand.unwrap_or_default());
        if mvcc.hash != meta.hash {
            return Err(Damage::new("the records do not add up to the hash of the state"));
        }
        Ok(State {
            position: meta.position,
            membership: meta.membership,
            leases: Leases::rebuild(leases, &mvcc),
            mvcc,
            sessions,
            alarms: meta.alarms,
            ..State::default()
        })
    }
}

/// Goes over the rows of a state from any place, so that a long walk holds nothing but its place.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RowCursor {
    section: usize,
    rank: usize,
}

impl RowCursor {
    /// Writes the next rows, each behind its length and tag, until there are about `bytes` of them or no more.
    pub(crate) fn fill(&mut self, state: &State, to: &mut Vec<u8>, bytes: usize) -> u64 {
        let (mvcc, sessions) = (&state.mvcc, &state.sessions);
        let mut rows = 0;
        while to.len() < bytes && self.section < 5 {
            let walked = match self.section {
                0 => self.walk(&mvcc.current, to, bytes, Tag::Record, |to, item| encode_record(to, &item.0)),
                1 => self.walk(&mvcc.past, to, bytes, Tag::Record, |to, item| encode_record(to, &item.0)),
                2 => self.walk(state.leases.granted(), to, bytes, Tag::Lease, encode_lease),
                3 => self.walk(&sessions.sessions, to, bytes, Tag::Session, encode_session),
                _ => self.walk(&sessions.answers, to, bytes, Tag::Answer, encode_answer),
            };
            rows += walked;
        }
        rows
    }

    fn walk<T: crate::mvcc::index::Item>(
        &mut self,
        tree: &Tree<T>,
        to: &mut Vec<u8>,
        bytes: usize,
        tag: Tag,
        encode: impl Fn(&mut Vec<u8>, &T),
    ) -> u64 {
        let mut rows = 0;
        for item in tree.iter_at(self.rank) {
            if to.len() >= bytes {
                return rows;
            }
            let at = to.len();
            to.put_u32(0);
            to.put_u8(tag.byte());
            encode(to, item);
            let len = u32::try_from(to.len() - at - 4).unwrap_or(u32::MAX);
            to[at..at + 4].copy_from_slice(&len.to_be_bytes());
            self.rank += 1;
            rows += 1;
        }
        (self.section, self.rank) = (self.section + 1, 0);
        rows
    }
}
