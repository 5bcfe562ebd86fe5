//! openraft's log, on the write-ahead log.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use openraft::{
    EntryPayload, LogState, OptionalSend, RaftLogReader,
    alias::LeaderIdOf,
    errors::LeaderChanged,
    storage::{IOFlushed, RaftLogStorage},
};

use super::type_config::{Entry, LogId, Payload, Types, Vote};
use crate::wal::{self, EntryKind, Wal};

/// Entries handed over at once hold about this many bytes at most.
const READ_BYTES_MAX: usize = 1 << 20;

/// The log of one member; clones share it.
#[derive(Clone)]
pub(crate) struct LogStorage {
    wal: Wal,
}

impl LogStorage {
    pub(crate) fn new(wal: Wal) -> Self {
        Self { wal }
    }

    async fn read(&self, from: u64, to: u64) -> io::Result<Vec<Entry>> {
        self.wal.read(from, to, READ_BYTES_MAX).await?.into_iter().map(from_wal).collect()
    }
}

pub(crate) fn position(id: LogId) -> wal::Position {
    wal::Position { term: id.leader_id.term, index: id.index }
}

pub(crate) fn log_id(position: wal::Position) -> LogId {
    LogId::new_term_index(position.term, position.index)
}

fn to_wal(entry: Entry) -> io::Result<wal::Entry> {
    let wal::Position { term, index } = position(entry.log_id);
    let (kind, data) = encode_payload(&entry.payload)?;
    Ok(wal::Entry { term, index, kind, data })
}

fn from_wal(entry: wal::Entry) -> io::Result<Entry> {
    Ok(Entry { log_id: log_id(entry.position()), payload: decode_payload(entry.kind, entry.data)? })
}

/// The bytes of a payload, the same on disk and between members.
pub(super) fn encode_payload(
    payload: &EntryPayload<Payload, u64, super::type_config::MemberInfo>,
) -> io::Result<(EntryKind, Bytes)> {
    Ok(match payload {
        EntryPayload::Blank => (EntryKind::Blank, Bytes::new()),
        EntryPayload::Normal(command) => (EntryKind::Command, command.0.clone()),
        EntryPayload::Membership(membership) => (EntryKind::Membership, serde_json::to_vec(membership)?.into()),
    })
}

pub(crate) fn decode_payload(
    kind: EntryKind,
    data: Bytes,
) -> io::Result<EntryPayload<Payload, u64, super::type_config::MemberInfo>> {
    Ok(match kind {
        EntryKind::Blank => EntryPayload::Blank,
        EntryKind::Command => EntryPayload::Normal(Payload(data)),
        EntryKind::Membership => EntryPayload::Membership(serde_json::from_slice(&data)?),
    })
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

/// Entries in parts of bounded size: an item of the stream is one entry, but one part at a time is in memory.
struct Parts {
    from: u64,
    to: u64,
    ready: std::vec::IntoIter<Entry>,
}

impl Parts {
    fn new((from, to): (u64, u64)) -> Self {
        Self { from, to, ready: Vec::new().into_iter() }
    }

    /// `true` when a part was read and holds something.
    async fn refill(&mut self, log: &LogStorage) -> io::Result<bool> {
        let part = log.read(self.from, self.to).await?;
        let Some(last) = part.last() else { return Ok(false) };
        self.from = last.log_id.index + 1;
        self.ready = part.into_iter();
        Ok(true)
    }
}

impl RaftLogReader<Types> for LogStorage {
    async fn leader_bounded_stream<RB>(
        &mut self,
        leader: LeaderIdOf<Types>,
        range: RB,
    ) -> impl Stream<Item = openraft::storage::LeaderBoundedStreamResult<Types>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        stream::unfold((Parts::new(bounds(&range)), self.clone(), false), move |(mut parts, log, ended)| async move {
            if ended {
                return None;
            }
            if let Some(entry) = parts.ready.next() {
                return Some((Ok(entry), (parts, log, false)));
            }
            let leads =
                |vote: &Option<Vote>| vote.is_some_and(|vote| *vote.leader_id() == leader && vote.is_committed());
            let before = log.vote();
            let read = if leads(&before) { parts.refill(&log).await } else { Ok(false) };
            // A new vote during the read means the entries may already belong to another leader's log.
            let after = log.vote();
            if !leads(&before) || !leads(&after) {
                return Some((Err(LeaderChanged::new(leader, after).into()), (parts, log, true)));
            }
            match read {
                Ok(true) => parts.ready.next().map(|entry| (Ok(entry), (parts, log, false))),
                Ok(false) => None,
                Err(error) => Some((Err(error.into()), (parts, log, true))),
            }
        })
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        stream::unfold((Parts::new(bounds(&range)), self.clone(), false), |(mut parts, log, ended)| async move {
            if ended {
                return None;
            }
            if let Some(entry) = parts.ready.next() {
                return Some((Ok(entry), (parts, log, false)));
            }
            match parts.refill(&log).await {
                Ok(true) => parts.ready.next().map(|entry| (Ok(entry), (parts, log, false))),
                Ok(false) => None,
                Err(error) => Some((Err(error), (parts, log, true))),
            }
        })
    }

    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let (mut parts, mut entries) = (Parts::new(bounds(&range)), Vec::new());
        while parts.from < parts.to && parts.refill(self).await? {
            entries.extend(parts.ready.by_ref());
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.vote())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end).await
    }
}

impl LogStorage {
    fn vote(&self) -> Option<Vote> {
        self.wal.vote().map(|vote| match vote.committed {
            true => Vote::new_committed(vote.term, vote.node_id),
            false => Vote::new(vote.term, vote.node_id),
        })
    }
}

impl RaftLogStorage<Types> for LogStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        Ok(LogState { last_purged_log_id: self.wal.purged().map(log_id), last_log_id: self.wal.last().map(log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote =
            wal::Vote { term: vote.leader_id.term, node_id: vote.leader_id.voted_for, committed: vote.committed };
        self.wal.save_vote(vote).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.wal.save_committed(committed.map(position));
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        // A commit position may be written in the same flush as its entry, never ahead of it, but the log may have been
        // replaced by a snapshot since.
        Ok(self.wal.committed().map(log_id).filter(|committed| Some(*committed) <= self.wal.last().map(log_id)))
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(to_wal).collect::<io::Result<Vec<_>>>()?;
        self.wal.append(entries, Box::new(move |result| done.io_completed(result))).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.wal.truncate_after(last.map(position)).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.wal.purge(position(upto)).await
    }
}
