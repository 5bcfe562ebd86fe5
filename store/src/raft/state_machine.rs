//! openraft's state machine: a thin coat over ours.
//!
//! A snapshot is a view, taken in O(1) and free to keep, together with the position and the membership it holds.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder, StoredMembership as Stored,
    alias::SnapshotOf,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine},
};
use prost::Message;
use proto::raftpb::Command;

use super::{
    snapshot::{Received, SnapshotSource},
    type_config::{Answer, LogId, SnapshotMeta, StoredMembership, Types},
};
use crate::{
    applied::Progress,
    persistence::Persistence,
    state_machine::{Position, StateMachine, View},
    world::Planted,
};

/// Entries applied before their answers go out and readers see them; as many as are at hand, never waited for.
const BATCH_ENTRIES_MAX: usize = 256;

/// The last applied entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) term: u64,
    pub(crate) index: u64,
}

/// What travels when a member is too far behind for the log.
pub(crate) enum SnapshotData {
    Source(SnapshotSource),
    Received(Received),
}

/// The state machine as openraft drives it.
pub(crate) struct Machine {
    state: StateMachine,
    persistence: Arc<Persistence>,
    applied: Arc<Progress>,
}

type Batch = Vec<(Position, Command, Option<ApplyResponder<Types>>)>;

impl Machine {
    pub(crate) fn new(state: StateMachine, persistence: Arc<Persistence>) -> Self {
        let applied = Arc::new(Progress::new(applied_of(&state.view())));
        Self { state, persistence, applied }
    }

    /// Tells the last applied entry, once readers see it.
    pub(crate) fn applied(&self) -> Arc<Progress> {
        self.applied.clone()
    }

    fn apply_batch(&self, batch: &mut Batch) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.persistence.world().has(Planted::ApplyOutOfOrder)
            && let [first, second, ..] = batch.as_mut_slice()
        {
            std::mem::swap(&mut first.1, &mut second.1);
            std::mem::swap(&mut first.2, &mut second.2);
        }
        let entries = batch.iter().map(|(position, command, _)| (*position, command));
        let responses = self.state.apply_all(entries).map_err(io::Error::other)?;
        // Before the answers: whoever gets one need not wait for what it has changed to be seen.
        self.applied.advance(applied_of(&self.state.view()));
        for ((_, _, responder), response) in batch.drain(..).zip(responses) {
            if let Some(responder) = responder {
                responder.send(Answer(response));
            }
        }
        Ok(())
    }

    fn apply_chunk(&self, chunk: Vec<io::Result<EntryResponder<Types>>>) -> io::Result<()> {
        let mut batch = Batch::new();
        for item in chunk {
            let (entry, responder) = item?;
            let position = position(entry.log_id);
            let membership = match entry.payload {
                EntryPayload::Normal(payload) => {
                    let command = Command::decode(payload.0).map_err(|error| {
                        let what = format!("entry {} of the log cannot be decoded: {error}", position.index);
                        io::Error::new(io::ErrorKind::InvalidData, what)
                    })?;
                    batch.push((position, command, responder));
                    continue;
                }
                EntryPayload::Blank => None,
                EntryPayload::Membership(membership) => Some(encode(&Stored::new(Some(entry.log_id), membership))?),
            };
            self.apply_batch(&mut batch)?;
            self.state.advance(position, membership);
            if let Some(responder) = responder {
                responder.send(Answer::default());
            }
        }
        self.apply_batch(&mut batch)?;
        self.applied.advance(applied_of(&self.state.view()));
        Ok(())
    }
}

fn applied_of(view: &View) -> Applied {
    view.position().map_or(Applied::default(), |Position { term, index }| Applied { term, index })
}

fn position(id: LogId) -> Position {
    Position { term: id.leader_id.term, index: id.index }
}

fn encode(membership: &StoredMembership) -> io::Result<Bytes> {
    Ok(serde_json::to_vec(membership)?.into())
}

/// What the view holds, in openraft's words.
pub(crate) fn meta(view: &View) -> io::Result<SnapshotMeta> {
    let last_membership = match view.membership() {
        bytes if bytes.is_empty() => StoredMembership::default(),
        bytes => serde_json::from_slice(bytes)?,
    };
    let last_log_id = view.position().map(|Position { term, index }| LogId::new_term_index(term, index));
    Ok(SnapshotMeta { last_log_id, last_membership })
}

type Snapshot = SnapshotOf<Types, SnapshotData>;

fn snapshot(view: View, persistence: &Persistence) -> io::Result<Snapshot> {
    Ok(Snapshot { meta: meta(&view)?, snapshot: SnapshotData::Source(persistence.source(view)) })
}

/// Writes the snapshot file, so that the log behind it can be purged.
pub(crate) struct Builder {
    view: View,
    persistence: Arc<Persistence>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        // For openraft a failure here would be the end. The view is a snapshot all the same, and no log goes before the file is
        // there.
        if let Err(error) = self.persistence.save(self.view.clone()).await {
            tracing::error!(%error, "a snapshot file could not be written; the log stays as long as it is");
        }
        snapshot(self.view.clone(), &self.persistence)
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let SnapshotMeta { last_log_id, last_membership } = meta(&self.state.view())?;
        Ok((last_log_id, last_membership))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(BATCH_ENTRIES_MAX);
        while let Some(chunk) = chunks.next().await {
            self.apply_chunk(chunk)?;
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Builder> {
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { view: self.state.view(), persistence: self.persistence.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
        match snapshot {
            SnapshotData::Received(received) => self.persistence.install(&self.state, received).await?,
            // Our own view, given back by openraft at start: it is what the state is already.
            SnapshotData::Source(source) if source.position() == self.state.view().position() => {}
            SnapshotData::Source(source) => {
                let blocks = super::snapshot::blocks(source, self.persistence.world().threads);
                let received = self.persistence.receive(Box::pin(blocks), &self.state.view()).await?;
                self.persistence.install(&self.state, received).await?;
            }
        }
        let found = self::meta(&self.state.view())?;
        if found.last_log_id != meta.last_log_id {
            let what = format!("the snapshot holds {:?} where {:?} was announced", found.last_log_id, meta.last_log_id);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.applied.advance(applied_of(&self.state.view()));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let view = self.state.view();
        if view.position().is_none() { Ok(None) } else { snapshot(view, &self.persistence).map(Some) }
    }
}
