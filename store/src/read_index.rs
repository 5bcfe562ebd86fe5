//! One question to the leader answers every read that waits.
//!
//! A read may use an index only if the leader was confirmed after the read began. So reads that come while a question is out
//! wait for the next one, which serves them all. The leader does the same with the questions of the members: one round of
//! heartbeats confirms whatever was asked before it began.

use std::sync::{Arc, Weak};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use proto::raftpb::ReadIndexResponse;
use tokio::sync::{mpsc, oneshot};

use crate::{Error, inner::Inner};

/// Reads waiting for the next question.
const QUEUE_MAX: usize = 4096;

type Waiter = oneshot::Sender<Result<(), Error>>;

/// Where reads wait.
pub(crate) struct ReadIndexQueue(mpsc::Sender<Waiter>);

/// The other end.
pub(crate) struct ReadIndexRounds(mpsc::Receiver<Waiter>);

pub(crate) fn queue() -> (ReadIndexQueue, ReadIndexRounds) {
    let (waiters, rounds) = mpsc::channel(QUEUE_MAX);
    (ReadIndexQueue(waiters), ReadIndexRounds(rounds))
}

impl ReadIndexQueue {
    /// Returns once everything acknowledged before the call has been applied here.
    pub(crate) async fn wait(&self) -> Result<(), Error> {
        let (confirmed, applied) = oneshot::channel();
        self.0.send(confirmed).await.map_err(|_| Error::Stopped)?;
        applied.await.map_err(|_| Error::Stopped)?
    }
}

impl ReadIndexRounds {
    /// Asks, as long as the store lives.
    pub(crate) async fn run(mut self, store: Weak<Inner>) {
        while let Some(first) = self.0.recv().await {
            let Some(store) = store.upgrade() else { return };
            let mut waiters = vec![first];
            while let Ok(waiter) = self.0.try_recv() {
                waiters.push(waiter);
            }
            match confirm(&store, &mut waiters).await {
                Ok(index) if store.applied.last().index < index => {
                    // The next question need not wait for it.
                    let waiting = store.clone();
                    store.spawn(async move {
                        waiting.wait_applied(index).await;
                        answer(waiters, &Ok(()));
                    });
                }
                confirmed => answer(waiters, &confirmed.map(drop)),
            }
        }
    }
}

fn answer(waiters: Vec<Waiter>, result: &Result<(), Error>) {
    for waiter in waiters {
        // A read that gave up in the meantime does not want to know.
        drop(waiter.send(result.clone()));
    }
}

/// What a leader's question to its followers gives.
type Confirmation = Shared<BoxFuture<'static, Result<ReadIndexResponse, Error>>>;

/// The leader's rounds of heartbeats for reads.
#[derive(Default)]
pub(crate) struct Confirmations(Arc<Mutex<LeaderRounds>>);

#[derive(Default)]
struct LeaderRounds {
    /// The last one that began.
    begun: Option<Confirmation>,
    /// Begins when that one is over.
    next: Option<Confirmation>,
}

impl Confirmations {
    /// What `confirm` gives when it is called after this, for everybody who asks before it is.
    pub(crate) fn ask(
        &self,
        confirm: impl FnOnce() -> BoxFuture<'static, Result<ReadIndexResponse, Error>> + Send + 'static,
    ) -> Confirmation {
        let mut rounds = self.0.lock();
        if let Some(next) = &rounds.next {
            return next.clone();
        }
        let (before, rounds_of_all) = (rounds.begun.clone(), Arc::downgrade(&self.0));
        let round = async move {
            if let Some(before) = before {
                // How it ended is for those to know who waited for it.
                drop(before.await);
            }
            let begins = rounds_of_all.upgrade().ok_or(Error::Stopped)?;
            {
                let mut rounds = begins.lock();
                rounds.begun = rounds.next.take();
            }
            confirm().await
        };
        let round = round.boxed().shared();
        rounds.next = Some(round.clone());
        round
    }
}

/// Asks until somebody answers, or nobody waits any more.
async fn confirm(store: &Arc<Inner>, waiters: &mut Vec<Waiter>) -> Result<u64, Error> {
    let mut leadership = store.leadership.clone();
    loop {
        let seen = *leadership.borrow_and_update();
        if let Some(leader) = seen.leader {
            let index = tokio::select! {
                biased;
                index = store.try_read_index(leader) => index,
                _ = leadership.wait_for(|now| now.leader.is_some_and(|now| now != leader)) => None,
            };
            if let Some(index) = index {
                return Ok(index);
            }
        }
        waiters.retain(|waiter| !waiter.is_closed());
        if waiters.is_empty() {
            return Err(Error::NoLeader);
        }
        store.wait_for_change(&mut leadership).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn who_asks_while_a_round_is_under_way_shares_the_next_one() {
        let confirmations = Confirmations::default();
        let (begun, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let ask = || {
            let (begun, ends) = (begun.clone(), ends.clone());
            confirmations.ask(move || {
                Box::pin(async move {
                    let index = begun.fetch_add(1, Ordering::SeqCst) + 1;
                    ends.acquire().await.map_err(|_| Error::Stopped)?.forget();
                    Ok(ReadIndexResponse { index, ..ReadIndexResponse::default() })
                })
            })
        };
        let mut first = ask();
        assert!((&mut first).now_or_never().is_none());
        let (mut second, third) = (ask(), ask());
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(begun.load(Ordering::SeqCst), 1, "the next round waits for the first one");
        ends.add_permits(2);
        // Even if nobody waits for the first one any more.
        drop(first);
        let indexes = [second.await, third.await].map(|answer| answer.map(|answer| answer.index));
        assert_eq!((indexes, begun.load(Ordering::SeqCst)), ([Ok(2), Ok(2)], 2));
        ends.add_permits(1);
        assert_eq!(ask().await.map(|answer| answer.index), Ok(3), "what has begun answers nobody who comes later");
    }
}
