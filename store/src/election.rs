//! When this member stands for election.
//!
//! openraft's own timer waits for the leader's lease and a random time. This one knows more. The order of the members decides
//! who goes first, so that two do not split the vote. How long silence must last follows from how regularly the leader was
//! heard: on a machine that is short of processor time, late heartbeats are no reason to change the leader. And silence is
//! counted in the time in which this member itself was awake: where processes wait long for their turn, a member that was asleep
//! cannot tell who was late. A lost connection to the leader is a reason: then only the lease is waited for. Being wrong costs
//! little: while a quorum hears of the leader, no vote is granted and no term is raised.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use openraft::{ServerState, rt::watch::WatchReceiver as _};
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    config::Timing,
    inner::Inner,
    raft::type_config::Vote,
    world::{Random, Subject},
};

const TICK: Duration = Duration::from_millis(10);
/// The next in order waits this long for the one before.
const HEAD_START: Duration = Duration::from_millis(40);
/// Silence counts once it lasts so many times the longest recent pause.
const PAUSES: u32 = 3;
/// A pause is forgotten within about this time.
const MEMORY: Duration = Duration::from_secs(5);
/// However irregularly the leader was heard, silence of this length counts.
const SILENCE_MAX: Duration = Duration::from_millis(500);
/// However little this member was awake, silence of this length on the clock counts.
const SILENCE_ON_THE_CLOCK_MAX: Duration = Duration::from_secs(2);
/// From one look to the next this member was awake so long at most.
const AWAKE_MAX: Duration = TICK.saturating_mul(2);

/// What this member has heard of a leader.
#[derive(Debug)]
struct Heard {
    leader: Option<Vote>,
    at: Instant,
    /// How long this member has been awake since.
    silent: Duration,
    /// The longest recent pause between two messages, fading.
    pause: Duration,
    /// The connection to it was lost since.
    lost: bool,
}

impl Heard {
    fn message(&mut self, leader: Vote, now: Instant) {
        if self.leader.is_some_and(|known| known.leader_id.term > leader.leader_id.term) {
            return;
        }
        // While the connection was being made anew nothing could be heard: that says nothing of how regularly the leader speaks.
        if self.leader == Some(leader) && !self.lost {
            let pause = std::mem::take(&mut self.silent);
            let fading = (pause.as_secs_f64() / MEMORY.as_secs_f64()).min(1.0);
            self.pause = self.pause.mul_f64(1.0 - fading).max(pause);
        }
        (self.leader, self.at, self.silent, self.lost) = (Some(leader), now, Duration::ZERO, false);
    }

    /// This member is awake, after so much time.
    fn awake(&mut self, after: Duration) {
        self.silent += after.min(AWAKE_MAX);
    }

    fn is_due(&self, timing: Timing, rank: u32, now: Instant) -> bool {
        self.silent > self.patience(timing, rank)
            || now.saturating_duration_since(self.at) > SILENCE_ON_THE_CLOCK_MAX + HEAD_START * rank
    }

    /// How long silence must last before the member of this rank stands for election.
    fn patience(&self, timing: Timing, rank: u32) -> Duration {
        let silence =
            if self.lost { timing.election_max } else { (self.pause * PAUSES).clamp(timing.election_max, SILENCE_MAX) };
        silence + HEAD_START * rank
    }
}

/// Shared by the services, which hear, and the loop, which decides.
#[derive(Debug)]
pub(crate) struct Election {
    heard: Mutex<Heard>,
    retired: AtomicBool,
}

impl Default for Election {
    fn default() -> Self {
        let (at, zero) = (Instant::now(), Duration::ZERO);
        let heard = Heard { leader: None, at, silent: zero, pause: zero, lost: false };
        Self { heard: Mutex::new(heard), retired: AtomicBool::new(false) }
    }
}

impl Election {
    /// A message of the leader arrived.
    pub(crate) fn heard(&self, leader: Vote) {
        self.heard.lock().message(leader, Instant::now());
    }

    /// Somebody got this member's vote, and gets the time to use it.
    pub(crate) fn voted(&self) {
        let mut heard = self.heard.lock();
        (heard.at, heard.silent) = (Instant::now(), Duration::ZERO);
    }

    /// How long no leader was heard.
    pub(crate) fn silence(&self) -> Duration {
        self.heard.lock().at.elapsed()
    }

    /// This member stands for election no more: it is about to stop.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// A connection of this member was lost.
    fn lost(&self, member: u64) {
        let mut heard = self.heard.lock();
        heard.lost |= heard.leader.is_some_and(|leader| leader.leader_id.voted_for == member);
    }

    fn awake(&self, after: Duration) {
        self.heard.lock().awake(after);
    }

    fn is_due(&self, timing: Timing, rank: u32) -> bool {
        self.heard.lock().is_due(timing, rank, Instant::now())
    }
}

/// Takes note of connections that end.
pub(crate) async fn watch_connections(election: Arc<Election>, mut closed: mpsc::Receiver<Subject>) {
    while let Some(subject) = closed.recv().await {
        if let Subject::Member(member) = subject {
            election.lost(member);
        }
    }
}

/// Stands for election when it is time.
pub(crate) async fn run(store: Weak<Inner>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut not_before = Instant::now();
    let mut looked = Instant::now();
    loop {
        ticks.tick().await;
        let Some(store) = store.upgrade() else { return };
        store.election.awake(std::mem::replace(&mut looked, Instant::now()).elapsed());
        let timing = store.config.timing;
        let Some((rank, voters)) = standing(&store) else { continue };
        let alone = voters == 1;
        if Instant::now() < not_before || !(alone || store.election.is_due(timing, rank)) {
            continue;
        }
        tracing::info!(rank, voters, "stands for election");
        // Whoever is alone has nobody to ask beforehand.
        if let Err(error) = store.raft.trigger().elect(!alone).await {
            tracing::debug!(%error, "cannot stand for election");
            return;
        }
        not_before =
            Instant::now() + random_between(store.world.random.as_ref(), timing.election_min, timing.election_max);
    }
}

fn random_between(random: &Random, from: Duration, to: Duration) -> Duration {
    let span = to.saturating_sub(from).as_micros().max(1);
    from + Duration::from_micros(u64::try_from(u128::from(random()) % span).unwrap_or_default())
}

/// This member's place among the voters that could follow the last leader, and how many voters there are; `None` when it
/// leads itself, has no vote, or is about to stop.
fn standing(store: &Inner) -> Option<(u32, usize)> {
    let metrics = store.raft.server_metrics();
    let server = metrics.borrow_watched();
    if server.state == ServerState::Leader || store.election.is_retired() {
        return None;
    }
    let last = store.election.heard.lock().leader.map(|leader| leader.leader_id.voted_for);
    let voters: Vec<u64> = server.membership_config.voter_ids().collect();
    let place = voters.iter().filter(|voter| Some(**voter) != last).position(|voter| *voter == store.id());
    // The last leader itself, after a restart, goes last.
    let place = place.or_else(|| voters.contains(&store.id()).then_some(voters.len()))?;
    Some((u32::try_from(place).unwrap_or(u32::MAX), voters.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard_every(millis: &[u64]) -> Heard {
        let start = Instant::now();
        let leader = Vote::new_committed(1, 1);
        let zero = Duration::ZERO;
        let mut heard = Heard { leader: Some(leader), at: start, silent: zero, pause: zero, lost: false };
        for pause in millis {
            let at = heard.at + Duration::from_millis(*pause);
            wait(&mut heard, *pause);
            heard.message(leader, at);
        }
        heard
    }

    /// In a member that always gets its turn.
    fn wait(heard: &mut Heard, millis: u64) {
        (0..millis).for_each(|_| heard.awake(Duration::from_millis(1)));
    }

    #[test]
    fn patience_follows_how_regularly_the_leader_was_heard() {
        let timing = Timing::default();
        let ms = Duration::from_millis;
        let regular = heard_every(&[40; 50]);
        assert_eq!(regular.patience(timing, 0), ms(200));
        assert_eq!(regular.patience(timing, 2), ms(280));
        let mut late = heard_every(&[40, 150, 40]);
        assert!(late.patience(timing, 0) > ms(430));
        late.lost = true;
        assert_eq!(late.patience(timing, 0), ms(200), "a lost connection says enough");
        let recovered = heard_every(&[&[150][..], &[40; 1000][..]].concat());
        assert_eq!(recovered.patience(timing, 0), ms(200));
        assert_eq!(heard_every(&[5000]).patience(timing, 0), SILENCE_MAX);
    }

    #[test]
    fn silence_counts_in_the_time_this_member_was_awake() {
        let timing = Timing::default();
        let ms = Duration::from_millis;
        let mut awake = heard_every(&[40; 50]);
        wait(&mut awake, 201);
        assert!(awake.is_due(timing, 0, awake.at + ms(201)) && !awake.is_due(timing, 1, awake.at + ms(201)));
        // It gets its turn twice in the same time: so little says nothing about the leader.
        let mut asleep = heard_every(&[40; 50]);
        (0..2).for_each(|_| asleep.awake(ms(100)));
        assert!(!asleep.is_due(timing, 0, asleep.at + ms(201)));
        // Its own pauses are no reason to be more patient with the leader.
        asleep.message(Vote::new_committed(1, 1), asleep.at + ms(200));
        assert_eq!(asleep.patience(timing, 0), ms(200));
        assert!(asleep.is_due(timing, 0, asleep.at + SILENCE_ON_THE_CLOCK_MAX + ms(1)));
    }

    #[test]
    fn the_time_without_a_connection_is_not_a_pause_of_the_leader() {
        let mut heard = heard_every(&[40; 10]);
        let leader = heard.leader.unwrap();
        heard.lost = true;
        wait(&mut heard, 900);
        heard.message(leader, heard.at + Duration::from_millis(900));
        assert_eq!(heard.patience(Timing::default(), 0), Duration::from_millis(200));
    }

    #[test]
    fn the_time_without_a_leader_is_not_a_pause_of_the_next_one() {
        let mut heard = heard_every(&[40; 10]);
        let next = Vote::new_committed(2, 3);
        wait(&mut heard, 3000);
        heard.message(next, heard.at + Duration::from_secs(3));
        assert_eq!(heard.patience(Timing::default(), 0), Duration::from_millis(200));
    }
}
