//! No command is applied twice.
//!
//! The member that accepts a request stamps it with its session and a sequence number, and may propose it again until
//! it knows the outcome. A repeated stamp gets the first answer. Answers are kept until the member says that it has
//! them; a stamp below that mark is refused and never applied, so a member can also give a request up for good.

use std::{cmp::Ordering, sync::Arc};

use proto::raftpb::CommandResponse;

use crate::mvcc::index::{Item, Tree};

/// Answers kept for one session. A member must have fewer commands under way than this.
pub const ANSWERS_PER_SESSION_MAX: usize = 8192;
/// A session is one run of one member: the oldest idle one makes room for the next.
const SESSIONS_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: u64,
    /// Answers below it are forgotten, and commands below it refused.
    pub(crate) floor: u64,
    /// The log index of its latest command.
    pub(crate) used: u64,
}

impl Item for Session {
    type Key<'a> = u64;
    type Owned = u64;

    fn key(&self) -> u64 {
        self.id
    }
    fn owned_key(&self) -> u64 {
        self.id
    }
    fn compare(&self, key: u64) -> Ordering {
        self.id.cmp(&key)
    }
    fn compare_owned(owned: &u64, key: u64) -> Ordering {
        owned.cmp(&key)
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) session: u64,
    pub(crate) sequence: u64,
    pub(crate) response: Arc<CommandResponse>,
}

impl Item for Answer {
    type Key<'a> = (u64, u64);
    type Owned = (u64, u64);

    fn key(&self) -> (u64, u64) {
        (self.session, self.sequence)
    }
    fn owned_key(&self) -> (u64, u64) {
        self.key()
    }
    fn compare(&self, key: (u64, u64)) -> Ordering {
        self.key().cmp(&key)
    }
    fn compare_owned(owned: &(u64, u64), key: (u64, u64)) -> Ordering {
        owned.cmp(&key)
    }
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.response, &other.response)
    }
}

/// What is known of a stamp.
pub(crate) enum Seen {
    Never,
    Answered(Arc<CommandResponse>),
    Forgotten,
}

/// The stamps of all members.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions {
    pub(crate) sessions: Tree<Session>,
    pub(crate) answers: Tree<Answer>,
}

impl Sessions {
    pub(crate) fn look_up(&self, session: u64, sequence: u64) -> Seen {
        if self.sessions.get(session).is_some_and(|session| sequence < session.floor) {
            return Seen::Forgotten;
        }
        match self.answers.get((session, sequence)) {
            Some(answer) => Seen::Answered(Arc::clone(&answer.response)),
            None => Seen::Never,
        }
    }

    /// Keeps the answer, and forgets those that have been received.
    pub(crate) fn record(
        &mut self,
        id: u64,
        sequence: u64,
        acknowledged_below: u64,
        index: u64,
        response: &CommandResponse,
    ) {
        let known = self.sessions.get(id).copied();
        if known.is_none() {
            self.make_room();
        }
        let mut session = known.unwrap_or(Session { id, floor: 0, used: index });
        self.answers.insert(Answer { session: id, sequence, response: Arc::new(response.clone()) });
        session.floor = session.floor.max(acknowledged_below.min(sequence));
        session.used = index;
        let first = |answers: &Tree<Answer>| answers.at_or_after((id, 0)).map(Item::owned_key);
        // So many answers span at least as many numbers: mostly there is nothing to count.
        let may_be_many = |oldest: u64| sequence.saturating_sub(oldest) >= ANSWERS_PER_SESSION_MAX as u64;
        while let Some(oldest) = first(&self.answers).filter(|(owner, _)| *owner == id)
            && (oldest.1 < session.floor || may_be_many(oldest.1) && self.kept(id) > ANSWERS_PER_SESSION_MAX)
        {
            session.floor = session.floor.max(oldest.1 + 1);
            self.answers.remove(oldest);
        }
        self.sessions.insert(session);
    }

    fn kept(&self, id: u64) -> usize {
        self.answers.rank((id, u64::MAX), true) - self.answers.rank((id, 0), false)
    }

    pub(crate) fn end(&mut self, id: u64) {
        self.sessions.remove(id);
        while let Some(answer) = self.answers.iter_from((id, 0)).next().filter(|answer| answer.session == id) {
            let key = answer.key();
            self.answers.remove(key);
        }
    }

    fn make_room(&mut self) {
        while self.sessions.len() >= SESSIONS_MAX {
            let Some(oldest) = self.sessions.iter().min_by_key(|session| session.used).map(|session| session.id) else {
                return;
            };
            self.end(oldest);
        }
    }
}
