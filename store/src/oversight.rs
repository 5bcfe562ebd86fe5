//! The leader's eye on the state itself: does it fit, and is it the same everywhere?
//!
//! Above the quota an alarm stops what makes the state grow, on all members at the same point of the log; it is lifted
//! when enough has been deleted and compacted. Once a minute all members compare their state hashes at one entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use proto::{
    etcdserverpb::{AlarmRequest, AlarmType, alarm_request::AlarmAction},
    raftpb::command::Body,
};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Proposal,
    inner::Inner,
    state_machine::{StateMachine, View},
};

/// Between two comparisons of the state hash.
const HASH_CHECK_EVERY: Duration = Duration::from_secs(60);

/// With more compacted revisions than this still there, they are not left to the commands that follow: an idle store would keep
/// them for long.
const LEFTOVER_MAX: usize = 1024;

/// A new leader does not know at once who is there.
const HEARD_ENOUGH: Duration = Duration::from_secs(5);

/// What the leader remembers from one look to the next.
#[derive(Default)]
pub(crate) struct Oversight {
    checked_at: Option<Instant>,
    /// When this member began to act as the leader.
    acting_since: Option<Instant>,
    /// At most one proposal is under way.
    proposal: JoinSet<()>,
}

impl Oversight {
    /// Another member leads.
    pub(crate) fn rest(&mut self) {
        self.acting_since = None;
    }

    /// Members with an alarm that belong to the group no more, or that nobody hears of.
    fn gone(&mut self, store: &Inner, now: Instant) -> BTreeSet<u64> {
        let since = *self.acting_since.get_or_insert(now);
        let heard_enough = now.duration_since(since) > HEARD_ENOUGH;
        let nodes = store.nodes();
        let view = store.state.view();
        let members = view.alarms().iter().map(|alarm| alarm.member_id);
        members.filter(|id| !nodes.contains_key(id) || heard_enough && !store.is_alive(*id)).collect()
    }

    /// Proposes what is due.
    pub(crate) fn look(&mut self, store: &Arc<Inner>) {
        while self.proposal.try_join_next().is_some() {}
        if !self.proposal.is_empty() {
            return;
        }
        if store.state.view().leftover() > LEFTOVER_MAX {
            let store = Arc::clone(store);
            self.proposal.spawn(async move {
                if let Err(error) = store.forget_compacted().await {
                    tracing::debug!(%error, "what was compacted goes later");
                }
            });
            return;
        }
        let now = Instant::now();
        let disks = Disks { low: store.space.reports(), gone: self.gone(store, now) };
        let quota = store.config.limits.quota_bytes;
        let Some(body) = due(&store.state, store.id(), quota, &disks, self.checked_at, now) else { return };
        if matches!(body, Body::HashCheck(_)) {
            self.checked_at = Some(now);
        }
        let store = Arc::clone(store);
        self.proposal.spawn(async move {
            if let Err(error) = store.propose(body, Proposal::default()).await {
                tracing::debug!(%error, "oversight waits for its next turn");
            }
        });
    }
}

/// What is known of the members' disks.
#[derive(Default)]
struct Disks {
    /// Whether there is little room, of those that said so lately.
    low: BTreeMap<u64, bool>,
    /// Members with an alarm that nobody hears of any more: they hold nobody up.
    gone: BTreeSet<u64>,
}

impl Disks {
    fn is_low(&self, member: u64) -> bool {
        self.low.get(&member) == Some(&true)
    }

    fn has_room(&self, member: u64) -> bool {
        self.low.get(&member) == Some(&false) || self.gone.contains(&member)
    }
}

/// The change of the alarms that is due: for every member whose disk has little room, and for this one while the state is
/// above the quota.
fn alarm_due(view: &View, member_id: u64, quota: u64, disks: &Disks) -> Option<Body> {
    let alarm = |action: AlarmAction, member_id| {
        Body::Alarm(AlarmRequest { action: action.into(), member_id, alarm: AlarmType::Nospace.into() })
    };
    let alarms = view.alarms().iter().filter(|alarm| alarm.alarm() == AlarmType::Nospace);
    let raised: BTreeSet<u64> = alarms.map(|alarm| alarm.member_id).collect();
    // An alarm that no disk explains is one for the quota; it stays until clearly less is used.
    let for_quota = raised.iter().any(|member| !disks.is_low(*member));
    let too_much = view.bytes() > quota || for_quota && view.bytes() >= quota / 10 * 9;
    let mut wanted: BTreeSet<u64> = disks.low.iter().filter(|(_, low)| **low).map(|(member, _)| *member).collect();
    wanted.extend(too_much.then_some(member_id));
    let missing = wanted.difference(&raised).next();
    let settled = || raised.difference(&wanted).find(|member| disks.has_room(**member));
    match missing {
        Some(member) => Some(alarm(AlarmAction::Activate, *member)),
        None => settled().map(|member| alarm(AlarmAction::Deactivate, *member)),
    }
}

fn due(
    state: &StateMachine,
    member_id: u64,
    quota: u64,
    disks: &Disks,
    checked_at: Option<Instant>,
    now: Instant,
) -> Option<Body> {
    let view = state.view();
    if let Some(alarm) = alarm_due(&view, member_id, quota, disks) {
        return Some(alarm);
    }

    // What was compacted goes with the commands that follow, and an alarm lets few of them come.
    let alarm = view.alarms().iter().any(|alarm| alarm.alarm() == AlarmType::Nospace);
    if alarm && view.forgets() {
        return Some(Body::HashCheck(state.hash_check()));
    }
    let check = checked_at.is_none_or(|at| now.duration_since(at) >= HASH_CHECK_EVERY);
    check.then(|| Body::HashCheck(state.hash_check()))
}

#[cfg(test)]
mod tests {
    use proto::{
        etcdserverpb::{CompactionRequest, PutRequest},
        raftpb::{Command, command_response},
    };

    use super::*;

    /// Runs what is due until nothing is, and says what it was.
    fn settle(state: &StateMachine, index: &mut u64, quota: u64) -> Vec<&'static str> {
        let (now, mut done) = (Instant::now(), Vec::new());
        while let Some(body) = due(state, 1, quota, &disks(&[(1, false)]), Some(now), now) {
            done.push(match &body {
                Body::Alarm(request) if request.action() == AlarmAction::Activate => "raise",
                Body::Alarm(_) => "lift",
                _ => "check",
            });
            apply(state, index, body);
        }
        done
    }

    fn apply(state: &StateMachine, index: &mut u64, body: Body) -> bool {
        *index += 1;
        let answer = state.apply(1, *index, &Command { body: Some(body), ..Command::default() }).unwrap();
        !matches!(answer.body, Some(command_response::Body::Error(_)))
    }

    #[test]
    fn the_alarm_for_space_is_raised_and_lifts_itself() {
        let (state, mut index) = (StateMachine::new(), 0);
        let put = || Body::Put(PutRequest { key: "a".into(), value: vec![0; 1000].into(), ..PutRequest::default() });
        for _ in 0..200 {
            assert!(apply(&state, &mut index, put()));
        }
        let quota = 100_000;
        assert_eq!(settle(&state, &mut index, quota), ["raise"]);
        assert!(!apply(&state, &mut index, put()));
        apply(&state, &mut index, Body::Compaction(CompactionRequest { revision: 200, physical: false }));
        let done = settle(&state, &mut index, quota);
        assert!(done.contains(&"check") && done.contains(&"lift"), "{done:?}");
        assert!(apply(&state, &mut index, put()));
    }

    fn disks(low: &[(u64, bool)]) -> Disks {
        Disks { low: low.iter().copied().collect(), gone: BTreeSet::new() }
    }

    #[test]
    fn a_full_disk_raises_an_alarm_for_its_member_until_it_says_otherwise_or_is_gone() {
        let (state, mut index) = (StateMachine::new(), 0);
        let mut step = |disks: &Disks| {
            let due = alarm_due(&state.view(), 1, u64::MAX, disks)?;
            let Body::Alarm(request) = &due else { panic!("{due:?}") };
            let told = (request.member_id, request.action() == AlarmAction::Activate);
            apply(&state, &mut index, due);
            Some(told)
        };
        assert_eq!(step(&disks(&[(1, false), (2, false)])), None);
        let full = disks(&[(1, false), (2, true), (3, true)]);
        assert_eq!((step(&full), step(&full), step(&full)), (Some((2, true)), Some((3, true)), None));
        // Another leader has not heard of anybody yet.
        assert_eq!(step(&Disks::default()), None);
        assert_eq!(step(&disks(&[(2, false)])), Some((2, false)));
        let gone = Disks { gone: BTreeSet::from([3]), ..Disks::default() };
        assert_eq!((step(&gone), step(&gone)), (Some((3, false)), None));
        assert!(state.view().alarms().is_empty());
    }

    #[test]
    fn hashes_are_compared_at_the_start_and_every_minute() {
        let (state, now) = (StateMachine::new(), Instant::now());
        let is_due = |at: Option<Instant>, now| due(&state, 1, u64::MAX, &Disks::default(), at, now).is_some();
        assert!(is_due(None, now) && !is_due(Some(now), now) && is_due(Some(now), now + HASH_CHECK_EVERY));
    }
}
