//! The replicated multi-version key-value store.

pub mod checkpoint;
pub mod command;
mod engine;
mod error;
pub mod lease;
mod mvcc;
mod rows;
mod session;
pub mod snapshot;
pub mod state_machine;
mod wal;
pub mod watch;

pub use error::Error;
pub use mvcc::{
    range::KeyRange,
    revision::{Event, Record},
};
pub use proto::{etcdserverpb, mvccpb};
pub use rows::{Damage, Owner};
pub use session::ANSWERS_PER_SESSION_MAX;
pub use state_machine::{Page, View};
pub use watch::{WatchBatch, WatchItem, WatchRange, WatchStream};
