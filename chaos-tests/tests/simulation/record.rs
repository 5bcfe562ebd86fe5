//! What is noted in a run, in its order, by any number of tasks.

use std::sync::Arc;

use parking_lot::Mutex;

/// A list that only grows. Clones are the same one.
#[derive(Debug)]
pub(crate) struct Record<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Record<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Record<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Record<T> {
    pub(crate) fn add(&self, item: T) {
        self.0.lock().push(item);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().clone()
    }

    /// The highest number that the items stand for; 0 when there are none.
    pub(crate) fn highest(&self, number: impl Fn(&T) -> i64) -> i64 {
        self.0.lock().iter().map(number).max().unwrap_or(0)
    }
}
