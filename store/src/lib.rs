//! The replicated multi-version key-value store.
//!
//! Promises: writes are durable on a majority before they are acknowledged, and applied once; reads are linearizable from any
//! member; watches are ordered, complete and resumable. Every member takes every request.
//!
//! Deliberately absent: any Kubernetes word. The store knows bytes and revisions.
//!
//! ```text
//! Store (lib) -> inner: propose / read_barrier -> raft: openraft -> wal (log), state_machine (apply) -> mvcc, watch, lease
//!                 forward, read_index: to the leader              raft/network, peers, tls: to the others
//!                 steward: what only the leader does              membership: who belongs
//! ```

mod acquaintance;
mod applied;
mod batch;
pub mod checkpoint;
pub mod command;
mod config;
mod data_dir;
mod departure;
mod election;
mod engine;
mod error;
mod forgetting;
mod forward;
#[cfg(test)]
mod fuzz;
mod gathering;
mod inner;
mod leadership;
pub mod lease;
mod listener;
mod membership;
mod metrics;
mod mvcc;
mod oversight;
mod peers;
mod persistence;
mod proposals;
mod raft;
mod read_index;
pub mod restore;
mod rows;
mod service;
mod session;
pub mod snapshot;
mod space;
mod start;
pub mod state_machine;
mod status;
mod steward;
mod stop;
mod store;
mod tls;
mod upkeep;
mod view;
mod wal;
pub mod watch;
pub mod world;

pub use config::{Config, Limits, Start, Timing, Tls};
pub use data_dir::DirError;
pub use departure::Departure;
pub use error::Error;
pub use leadership::Leadership;
pub use membership::Member;
pub use mvcc::{
    range::KeyRange,
    revision::{Event, Record},
};
pub use persistence::StateError;
pub use proto::{etcdserverpb, mvccpb};
pub use rows::{Damage, Owner};
pub use service::{FSYNC_P99_MICROS, SNAPSHOT_UP_TO_DATE, VERSION};
pub use session::ANSWERS_PER_SESSION_MAX;
pub use start::StartError;
pub use state_machine::{Page, View};
pub use status::Status;
pub use store::{Proposal, Stamp, Store};
pub use tls::TlsError;
pub use wal::WalError;
pub use watch::{WatchBatch, WatchItem, WatchRange, WatchStream};
