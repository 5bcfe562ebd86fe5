//! The replicated multi-version key-value store.

pub mod command;
mod error;
pub mod lease;
mod mvcc;
mod session;
pub mod state_machine;
pub mod watch;

pub use error::Error;
pub use mvcc::{
    range::KeyRange,
    revision::{Event, Record},
};
pub use proto::{etcdserverpb, mvccpb};
pub use session::ANSWERS_PER_SESSION_MAX;
pub use state_machine::{Page, View};
pub use watch::{WatchBatch, WatchItem, WatchRange, WatchStream};
