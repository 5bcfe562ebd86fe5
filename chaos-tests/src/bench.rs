//! `make bench`: Kontiki's store beside etcd and beside the ceiling, in one run, on one disk, with one load generator; then
//! the Kubernetes API beside a ceiling of its own.
//!
//! Absolute figures of a small shared machine mean little; ratios within one run do, and so does the processor time that an
//! operation costs. The ceiling is a server of the same stack (tonic, mutual TLS) that answers without work, and the disk's is
//! one append and one fdatasync after the other.

pub mod api;
pub mod api_ceiling;
pub mod api_pods;
pub mod api_servers;
pub mod api_watchers;
pub mod ceiling;
pub mod disk;
pub mod etcd;
pub mod faults;
pub mod ours;
pub mod processes;
pub mod running;
pub mod server;
pub mod table;
pub mod watchers;

/// How many keys a store is filled with, for its memory, its lists and its restart.
pub const FILL_KEYS: u64 = 100_000;
/// The size of each of their values.
pub const FILL_BYTES: usize = 1024;
