//! Leases: keys that go away together when their holder falls silent.
//!
//! The state machine knows which leases exist and which keys hang on them; a lease ends there by a command only. Time
//! is the leader's alone: its `LeaseClock` says which leases ran out, and starts over with full times on a new leader,
//! so that a lease may live longer than its time to live, but never shorter.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use proto::etcdserverpb::LeaseGrantRequest;
use tokio::time::Instant;

use crate::{
    error::Error,
    mvcc::{
        Mvcc,
        index::{Item, Tree},
    },
};

/// The longest time to live, as etcd has it.
const TTL_SECONDS_MAX: i64 = 9_000_000_000;
/// The shortest: longer than a change of leader takes.
const TTL_SECONDS_MIN: i64 = 1;

/// One granted lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Chosen by its holder, or by the member that took the request.
    pub id: i64,
    /// Seconds it lives after it was granted or renewed.
    pub ttl: i64,
}

impl Item for Lease {
    type Key<'a> = i64;
    type Owned = i64;

    fn key(&self) -> i64 {
        self.id
    }
    fn owned_key(&self) -> i64 {
        self.id
    }
    fn compare(&self, key: i64) -> Ordering {
        self.id.cmp(&key)
    }
    fn compare_owned(owned: &i64, key: i64) -> Ordering {
        owned.cmp(&key)
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

/// A key that hangs on a lease.
#[derive(Debug, Clone)]
struct Attachment {
    lease: i64,
    key: Bytes,
}

impl Item for Attachment {
    type Key<'a> = (i64, &'a [u8]);
    type Owned = (i64, Bytes);

    fn key(&self) -> (i64, &[u8]) {
        (self.lease, &self.key)
    }
    fn owned_key(&self) -> (i64, Bytes) {
        (self.lease, self.key.clone())
    }
    fn compare(&self, key: (i64, &[u8])) -> Ordering {
        self.key().cmp(&key)
    }
    fn compare_owned((lease, key): &(i64, Bytes), other: (i64, &[u8])) -> Ordering {
        (*lease, &**key).cmp(&other)
    }
    fn same(&self, _: &Self) -> bool {
        true
    }
}

/// All leases and what hangs on them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases {
    granted: Tree<Lease>,
    attached: Tree<Attachment>,
}

impl Leases {
    /// Puts the leases together from what a snapshot or checkpoint holds: keys know their lease themselves.
    pub(crate) fn rebuild(granted: impl IntoIterator<Item = Lease>, mvcc: &Mvcc) -> Self {
        let mut leases = Self::default();
        for lease in granted {
            leases.granted.insert(lease);
        }
        for kv in mvcc.current.iter().map(|current| &current.0.kv) {
            leases.attach(kv.lease, kv.key.clone());
        }
        leases
    }

    pub(crate) fn get(&self, id: i64) -> Option<Lease> {
        self.granted.get(id).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Lease> + '_ {
        self.granted.iter().copied()
    }

    /// The keys that hang on the lease, in order.
    pub(crate) fn keys(&self, id: i64) -> Vec<Bytes> {
        let from = self.attached.iter_from((id, &[]));
        from.take_while(|attachment| attachment.lease == id).map(|attachment| attachment.key.clone()).collect()
    }

    pub(crate) fn grant(&mut self, request: &LeaseGrantRequest) -> Result<Lease, Error> {
        if request.id == 0 {
            return Err(Error::Invalid("a lease needs an id before it is proposed".to_owned()));
        }
        if request.ttl > TTL_SECONDS_MAX {
            return Err(Error::LeaseTtlTooLarge);
        }
        if self.granted.get(request.id).is_some() {
            return Err(Error::LeaseExists);
        }
        let lease = Lease { id: request.id, ttl: request.ttl.max(TTL_SECONDS_MIN) };
        self.granted.insert(lease);
        Ok(lease)
    }

    /// Ends the lease, and returns the keys that go with it.
    pub(crate) fn revoke(&mut self, id: i64) -> Result<Vec<Bytes>, Error> {
        self.granted.remove(id).ok_or(Error::LeaseNotFound)?;
        let keys = self.keys(id);
        for key in &keys {
            self.detach(id, key);
        }
        Ok(keys)
    }

    pub(crate) fn attach(&mut self, lease: i64, key: Bytes) {
        if lease != 0 {
            self.attached.insert(Attachment { lease, key });
        }
    }

    pub(crate) fn detach(&mut self, lease: i64, key: &[u8]) {
        if lease != 0 {
            self.attached.remove((lease, key));
        }
    }

    pub(crate) fn granted(&self) -> &Tree<Lease> {
        &self.granted
    }
}

/// When each lease runs out, on the leader. Pure: the time is always given.
#[derive(Debug, Default)]
pub struct LeaseClock {
    seen: Leases,
    deadlines: BTreeMap<i64, Instant>,
    /// Leases that ran out and whose revocation is under way: they cannot be renewed any more.
    ending: BTreeSet<i64>,
    order: BTreeSet<(Instant, i64)>,
}

impl LeaseClock {
    /// Starts with every lease at its full time: what a new leader does.
    pub fn new(view: &crate::state_machine::View, now: Instant) -> Self {
        let mut clock = Self::default();
        clock.observe(view, now);
        clock
    }

    /// Takes in what was granted and revoked since the last call. Costs what has changed.
    pub fn observe(&mut self, view: &crate::state_machine::View, now: Instant) {
        let seen = std::mem::replace(&mut self.seen, view.leases_state().clone());
        let mut changes = Vec::new();
        seen.granted.diff(&self.seen.granted, |before, after| changes.push((before.copied(), after.copied())));
        for (before, after) in changes {
            match (before, after) {
                (_, Some(lease)) => self.arm(lease, now),
                (Some(lease), None) => self.disarm(lease.id),
                (None, None) => {}
            }
        }
    }

    fn arm(&mut self, lease: Lease, now: Instant) {
        self.disarm(lease.id);
        let ttl = Duration::from_secs(lease.ttl.unsigned_abs());
        // A time beyond what the clock can express is never.
        if let Some(deadline) = now.checked_add(ttl) {
            self.deadlines.insert(lease.id, deadline);
            self.order.insert((deadline, lease.id));
        }
    }

    fn disarm(&mut self, id: i64) {
        self.ending.remove(&id);
        if let Some(deadline) = self.deadlines.remove(&id) {
            self.order.remove(&(deadline, id));
        }
    }

    /// Renews the lease, and returns its time to live, unless it does not exist or has run out.
    pub fn renew(&mut self, id: i64, now: Instant) -> Option<i64> {
        let lease = self.seen.get(id)?;
        // Renewing a lease whose revocation is on the way would promise what cannot be kept.
        if self.ending.contains(&id) || self.deadlines.get(&id).is_some_and(|deadline| *deadline <= now) {
            return None;
        }
        self.arm(lease, now);
        Some(lease.ttl)
    }

    /// The whole seconds a lease has left.
    pub fn remaining(&self, id: i64, now: Instant) -> Option<i64> {
        let lease = self.seen.get(id)?;
        if self.ending.contains(&id) {
            return Some(0);
        }
        let left = self.deadlines.get(&id).map(|deadline| deadline.saturating_duration_since(now));
        Some(left.map_or(lease.ttl, |left| i64::try_from(left.as_secs()).unwrap_or(i64::MAX)))
    }

    /// The leases that ran out, the longest overdue first, at most `limit`.
    pub fn expired(&self, now: Instant, limit: usize) -> Vec<i64> {
        self.order.iter().take_while(|(deadline, _)| *deadline <= now).take(limit).map(|(_, id)| *id).collect()
    }

    /// The lease's revocation has been proposed: it is not expired again before the time given.
    pub fn retry_at(&mut self, id: i64, at: Instant) {
        self.ending.insert(id);
        if let Some(deadline) = self.deadlines.insert(id, at) {
            self.order.remove(&(deadline, id));
            self.order.insert((at, id));
        }
    }

    /// When the next lease runs out.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.order.first().map(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use proto::raftpb::{Command, command::Body};

    use super::*;
    use crate::state_machine::StateMachine;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn grant(machine: &StateMachine, index: u64, id: i64, ttl: i64) {
        let body = Some(Body::LeaseGrant(LeaseGrantRequest { id, ttl }));
        machine.apply(1, index, &Command { body, ..Command::default() }).unwrap();
    }

    #[test]
    fn a_lease_ends_when_it_is_not_renewed_and_cannot_be_renewed_after() {
        let (machine, start) = (StateMachine::new(), Instant::now());
        let mut clock = LeaseClock::new(&machine.view(), start);
        grant(&machine, 1, 7, 10);
        grant(&machine, 2, 8, 10);
        clock.observe(&machine.view(), start);
        assert_eq!(clock.next_deadline(), Some(after(start, 10)));
        assert_eq!(clock.renew(7, after(start, 9)), Some(10));
        assert_eq!(clock.renew(99, start), None);
        assert_eq!(clock.expired(after(start, 10), 9), [8]);
        assert_eq!(clock.renew(8, after(start, 10)), None);
        clock.retry_at(8, after(start, 12));
        assert_eq!(clock.renew(8, after(start, 11)), None);
        assert_eq!((clock.remaining(7, after(start, 12)), clock.remaining(8, after(start, 11))), (Some(7), Some(0)));
        assert_eq!(clock.expired(after(start, 30), 9), [8, 7]);
        assert_eq!(clock.expired(after(start, 30), 1), [8]);
    }

    #[test]
    fn a_new_leader_starts_with_full_times_and_forgets_what_is_revoked() {
        let (machine, start) = (StateMachine::new(), Instant::now());
        grant(&machine, 1, 7, 10);
        grant(&machine, 2, 8, i64::MAX / 4);
        assert!(machine.view().lease(8).is_none(), "a time to live beyond etcd's limit");
        let mut clock = LeaseClock::new(&machine.view(), after(start, 60));
        assert_eq!(clock.remaining(7, after(start, 60)), Some(10));
        let body = Some(Body::LeaseRevoke(proto::etcdserverpb::LeaseRevokeRequest { id: 7 }));
        machine.apply(1, 3, &Command { body, ..Command::default() }).unwrap();
        clock.observe(&machine.view(), after(start, 61));
        assert_eq!((clock.remaining(7, start), clock.next_deadline()), (None, None));
    }
}
