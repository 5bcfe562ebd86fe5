//! The leader's eye on the state itself: does it fit, and is it the same everywhere?
//!
//! Above the quota an alarm stops what makes the state grow, on all members at the same point of the log; it is lifted
//! when enough has been deleted and compacted. Once a minute all members compare their state hashes at one entry.

use std::{sync::Arc, time::Duration};

use proto::{
    etcdserverpb::{AlarmRequest, AlarmType, alarm_request::AlarmAction},
    raftpb::command::Body,
};
use tokio::{task::JoinSet, time::Instant};

use crate::{Proposal, inner::Inner, state_machine::StateMachine};

/// Between two comparisons of the state hash.
const HASH_CHECK_EVERY: Duration = Duration::from_secs(60);

/// What the leader remembers from one look to the next.
#[derive(Default)]
pub(crate) struct Oversight {
    checked_at: Option<Instant>,
    /// At most one proposal is under way.
    proposal: JoinSet<()>,
}

impl Oversight {
    /// Proposes what is due.
    pub(crate) fn look(&mut self, store: &Arc<Inner>) {
        while self.proposal.try_join_next().is_some() {}
        if !self.proposal.is_empty() {
            return;
        }
        let now = Instant::now();
        let Some(body) = due(&store.state, store.id(), store.config.limits.quota_bytes, self.checked_at, now) else {
            return;
        };
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

fn due(state: &StateMachine, member_id: u64, quota: u64, checked_at: Option<Instant>, now: Instant) -> Option<Body> {
    let view = state.view();
    let alarm = |action: AlarmAction, member_id| {
        Body::Alarm(AlarmRequest { action: action.into(), member_id, alarm: AlarmType::Nospace.into() })
    };
    let raised = view.alarms().iter().find(|alarm| alarm.alarm() == AlarmType::Nospace);
    match raised {
        None if view.bytes() > quota => return Some(alarm(AlarmAction::Activate, member_id)),
        Some(raised) if view.bytes() < quota / 10 * 9 => return Some(alarm(AlarmAction::Deactivate, raised.member_id)),
        // What was compacted goes with the commands that follow, and the alarm lets few of them come.
        Some(_) if view.forgets() => return Some(Body::HashCheck(state.hash_check())),
        Some(_) | None => {}
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
        while let Some(body) = due(state, 1, quota, Some(now), now) {
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

    #[test]
    fn hashes_are_compared_at_the_start_and_every_minute() {
        let (state, now) = (StateMachine::new(), Instant::now());
        let is_due = |at: Option<Instant>, now| due(&state, 1, u64::MAX, at, now).is_some();
        assert!(is_due(None, now) && !is_due(Some(now), now) && is_due(Some(now), now + HASH_CHECK_EVERY));
    }
}
