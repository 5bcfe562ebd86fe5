//! A process that is stopped and goes on later (SIGSTOP, a machine that is suspended): nothing of it runs, and time goes on.
//!
//! In a simulation members share a process, so what runs for one of them is held up task by task.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

#[derive(Debug, Default)]
struct State {
    held: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

/// Holds one member up. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Hold(Arc<State>);

impl Hold {
    /// Nothing of the member runs from now on.
    pub fn stop(&self) {
        self.0.held.store(true, Ordering::Relaxed);
    }

    /// Everything runs again.
    pub fn go_on(&self) {
        self.0.held.store(false, Ordering::Relaxed);
        let waiting = std::mem::take(&mut *self.0.waiting.lock());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether the member is held up; the task is woken when it goes on.
    pub fn is_held(&self, context: &Context<'_>) -> bool {
        let held = self.0.held.load(Ordering::Relaxed);
        if held {
            self.0.waiting.lock().push(context.waker().clone());
        }
        held
    }

    /// The future, as a part of the member.
    pub async fn keep<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| if self.is_held(context) { Poll::Pending } else { future.as_mut().poll(context) }).await
    }
}
