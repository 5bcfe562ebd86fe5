//! One question to the leader answers every read that waits.
//!
//! A read may use an index only if the leader was confirmed after the read began. So reads that come while a question is out
//! wait for the next one, which serves them all.

use std::sync::{Arc, Weak};

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
