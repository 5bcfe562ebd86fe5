//! The replicated state, and the one function that changes it.
//!
//! `apply` is synchronous and depends on nothing but the state and the log: no clock, no randomness, no disk, no
//! iteration in an order that is not the keys'. Every member that has applied the same entries holds the same state.
//! What `apply` has changed is published as a view, which nothing changes while anybody holds it: the writer never waits for
//! readers and watchers, nor they for it, but for the microseconds of a brief change made in place.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use proto::{
    etcdserverpb::{
        AlarmMember, AlarmRequest, AlarmResponse, AlarmType, CompactionResponse, LeaseGrantResponse,
        LeaseRevokeResponse, ResponseHeader, alarm_request::AlarmAction,
    },
    raftpb::{Command, CommandResponse, Empty, HashCheck, command, command_response::Body},
};

pub use crate::view::{Page, View};
use crate::{
    command::{FEATURE_LEVEL, grows, is_brief},
    error::Error,
    lease::{Lease, Leases},
    mvcc::{Mvcc, txn},
    session::{Seen, Sessions},
    watch::{Hub, Wake, WatchRange, WatchStream},
};

/// Entries that are applied while readers wait.
const BRIEF_ENTRIES_MAX: usize = 64;
/// The same in bytes of commands, since values are copied.
const BRIEF_BYTES_MAX: usize = 256 << 10;

/// Why a member must stop: going on would let it differ from the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// A newer version of the software wrote the entry.
    #[error(
        "entry {index} of the log needs feature level {level}, and this build has {FEATURE_LEVEL}: upgrade this member"
    )]
    FeatureLevel {
        /// The entry's place in the log.
        index: u64,
        /// What it needs.
        level: u32,
    },
    /// The entry holds nothing this build knows.
    #[error("entry {index} of the log holds a command this build does not know: upgrade this member")]
    UnknownCommand {
        /// The entry's place in the log.
        index: u64,
    },
}

/// A place in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The term of the entry.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

/// Everything the log determines. A clone is a consistent copy, made in O(1).
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// The last entry applied.
    pub(crate) position: Option<Position>,
    /// The membership as the Raft layer writes it.
    pub(crate) membership: Bytes,
    pub(crate) mvcc: Mvcc,
    pub(crate) leases: Leases,
    pub(crate) sessions: Sessions,
    pub(crate) alarms: Vec<AlarmMember>,
    pub(crate) lineage: Lineage,
}

/// Tells a state that grew out of another from one that replaced it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lineage(Arc<()>);

impl PartialEq for Lineage {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The state machine. Clones share one state.
#[derive(Debug, Clone)]
pub struct StateMachine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hub: Arc<Hub>,
    /// The log index of the last hash check, and the hash there.
    noted: Mutex<Option<(u64, u128)>>,
    corrupt: AtomicBool,
}

impl Default for StateMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl StateMachine {
    /// An empty state.
    pub fn new() -> Self {
        Self::with_state(State::default())
    }

    pub(crate) fn with_state(state: State) -> Self {
        let hub = Arc::new(Hub::new(state));
        let inner = Inner { hub, noted: Mutex::default(), corrupt: AtomicBool::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Applies one entry, and publishes what it changed.
    pub fn apply(&self, term: u64, index: u64, command: &Command) -> Result<CommandResponse, Fatal> {
        let mut responses = self.apply_all([(Position { term, index }, command)])?;
        Ok(responses.pop().unwrap_or_default())
    }

    /// Applies entries in order, and publishes them before the answers are returned: each as a whole, and most in one go.
    pub fn apply_all<'a>(
        &self,
        entries: impl IntoIterator<Item = (Position, &'a Command)>,
    ) -> Result<Vec<CommandResponse>, Fatal> {
        let entries: Vec<_> = entries.into_iter().collect();
        let mut responses = Vec::with_capacity(entries.len());
        let mut rest = &entries[..];
        while !rest.is_empty() {
            let (together, are_brief) = portion(rest);
            let (now, later) = rest.split_at(together);
            rest = later;
            self.inner.hub.change(are_brief, |state| {
                for (position, command) in now {
                    responses.push(self.apply_one(state, *position, command)?);
                }
                Ok(())
            })?;
        }
        Ok(responses)
    }

    /// Passes over an entry without a command, and takes over the membership if it holds one.
    pub fn advance(&self, position: Position, membership: Option<Bytes>) {
        self.inner.hub.change(true, |state| {
            state.position = Some(position);
            if let Some(membership) = membership {
                state.membership = membership;
            }
        });
    }

    fn apply_one(&self, state: &mut State, position: Position, command: &Command) -> Result<CommandResponse, Fatal> {
        if command.feature_level > FEATURE_LEVEL {
            return Err(Fatal::FeatureLevel { index: position.index, level: command.feature_level });
        }
        let body = command.body.as_ref().ok_or(Fatal::UnknownCommand { index: position.index })?;
        debug_assert!(state.position.is_none_or(|last| last < position), "entries come once, in order");
        state.position = Some(position);
        let stamped = command.session != 0;
        if stamped {
            match state.sessions.look_up(command.session, command.sequence) {
                Seen::Answered(response) => return Ok((*response).clone()),
                Seen::Forgotten => return Ok(refusal(&Error::AnswerForgotten)),
                Seen::Never => {}
            }
        }
        let response = match command.fence_term {
            Some(fence) if fence != position.term => Err(Error::Fenced { term: position.term }),
            _ => match body {
                command::Body::HashCheck(check) => Ok(self.check_hash(state, position.index, check)),
                body => state.execute(body),
            },
        };
        let response = match response {
            Ok(body) => CommandResponse { body: Some(body) },
            Err(error) => refusal(&error),
        };
        if stamped {
            let Command { session, sequence, acknowledged_below, .. } = *command;
            state.sessions.record(session, sequence, acknowledged_below, position.index, &response);
        }
        state.mvcc.scrub();
        state.mvcc.validate();
        Ok(response)
    }

    fn check_hash(&self, state: &State, index: u64, check: &HashCheck) -> Body {
        let mut noted = self.inner.noted.lock();
        let theirs = u128::from(check.hash_high) << 64 | u128::from(check.hash_low);
        if let Some((at, ours)) = *noted
            && at == check.index
            && ours != theirs
        {
            self.inner.corrupt.store(true, Ordering::Relaxed);
        }
        *noted = Some((index, state.mvcc.hash));
        Body::Empty(Empty {})
    }

    /// The next hash check to propose: what this member noted at the last one.
    pub fn hash_check(&self) -> HashCheck {
        let (index, hash) = self.inner.noted.lock().unwrap_or_default();
        let [low, high] = [hash, hash >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
        HashCheck { index, hash_low: low, hash_high: high }
    }

    /// Whether a hash check found this member's state to differ from the leader's.
    pub fn is_corrupt(&self) -> bool {
        self.inner.corrupt.load(Ordering::Relaxed)
    }

    /// The last published state. Costs one reference count.
    pub fn view(&self) -> View {
        self.inner.hub.view()
    }

    /// Starts a watch.
    pub fn watch(&self, range: WatchRange) -> WatchStream {
        self.inner.hub.watch(range)
    }

    /// A wait that many watches share.
    pub(crate) fn wake(&self) -> Wake {
        self.inner.hub.wake()
    }

    /// Starts a watch that has the wake ring under the number `id`, from the first look on.
    pub(crate) fn watch_on(&self, range: WatchRange, wake: &Arc<Wake>, id: i64) -> WatchStream {
        self.inner.hub.watch_on(range, wake, id)
    }

    /// Ends all watches: the store stops.
    pub fn close(&self) {
        self.inner.hub.close();
    }

    /// Replaces the whole state, by one that a snapshot holds.
    pub(crate) fn replace(&self, state: State) {
        *self.inner.noted.lock() = None;
        self.inner.hub.replace(state);
    }
}

/// How many of the entries are applied together, and whether that is brief enough for readers to wait for.
fn portion(entries: &[(Position, &Command)]) -> (usize, bool) {
    let is_brief = |command: &Command| command.body.as_ref().is_some_and(is_brief);
    let mut bytes = 0;
    let brief = entries.iter().take(BRIEF_ENTRIES_MAX).take_while(|(_, command)| {
        bytes += command.encoded_len();
        is_brief(command) && bytes <= BRIEF_BYTES_MAX
    });
    match brief.count() {
        0 => (1 + entries[1..].iter().take_while(|(_, command)| !is_brief(command)).count(), false),
        count => (count, true),
    }
}

fn refusal(error: &Error) -> CommandResponse {
    CommandResponse { body: Some(Body::Error(error.into())) }
}

impl State {
    fn execute(&mut self, body: &command::Body) -> Result<Body, Error> {
        self.check_alarms(body)?;
        let header = |revision| Some(ResponseHeader { revision, ..ResponseHeader::default() });
        Ok(match body {
            command::Body::Put(put) => Body::Put(txn::put(&mut self.mvcc, &mut self.leases, put)?),
            command::Body::DeleteRange(range) => {
                Body::DeleteRange(txn::delete_range(&mut self.mvcc, &mut self.leases, range))
            }
            command::Body::Txn(request) => Body::Txn(txn::txn(&mut self.mvcc, &mut self.leases, request)?),
            command::Body::Compaction(request) => {
                self.mvcc.compact(request.revision)?;
                Body::Compaction(CompactionResponse { header: header(self.mvcc.revision) })
            }
            command::Body::LeaseGrant(request) => {
                let Lease { id, ttl } = self.leases.grant(request)?;
                Body::LeaseGrant(LeaseGrantResponse {
                    header: header(self.mvcc.revision),
                    id,
                    ttl,
                    error: String::new(),
                })
            }
            command::Body::LeaseRevoke(request) => {
                let keys = self.leases.revoke(request.id)?;
                let revision = txn::delete_keys(&mut self.mvcc, &keys);
                Body::LeaseRevoke(LeaseRevokeResponse { header: header(revision) })
            }
            command::Body::SessionEnd(end) => {
                self.sessions.end(end.session);
                Body::Empty(Empty {})
            }
            command::Body::Alarm(request) => {
                let alarms = self.change_alarm(request);
                Body::Alarm(AlarmResponse { header: header(self.mvcc.revision), alarms })
            }
            command::Body::HashCheck(_) => Body::Empty(Empty {}),
        })
    }

    /// With an alarm for space only what does not grow passes. One for corruption names a member, which keeps its own
    /// readers away; it stops nobody else.
    fn check_alarms(&self, body: &command::Body) -> Result<(), Error> {
        if grows(body) && self.alarms.iter().any(|member| member.alarm() == AlarmType::Nospace) {
            return Err(Error::NoSpace);
        }
        Ok(())
    }

    fn change_alarm(&mut self, request: &AlarmRequest) -> Vec<AlarmMember> {
        let changed = AlarmMember { member_id: request.member_id, alarm: request.alarm };
        match request.action() {
            AlarmAction::Get => self.alarms.clone(),
            AlarmAction::Activate => {
                if !self.alarms.contains(&changed) {
                    self.alarms.push(changed);
                }
                vec![changed]
            }
            AlarmAction::Deactivate => {
                let before = self.alarms.len();
                self.alarms.retain(|alarm| *alarm != changed);
                if self.alarms.len() < before { vec![changed] } else { Vec::new() }
            }
        }
    }
}

#[cfg(test)]
mod tests;
