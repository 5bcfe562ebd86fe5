//! The one binary: composes every crate, and builds clusters on one machine.
//!
//! `server` and `agent` are what runs on real machines; `up`, `down` and `status` make a cluster of hosts that are network
//! namespaces, by starting the very same `server` and `agent`. This is the only crate that prints, and the only one that
//! knows all others.

/// A master allocates for every request, and its versions of the key space live long: the system's allocator took a sixth of the
/// store's processor time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

mod agent;
pub mod chaos;
mod cli;
mod credential;
mod etcd;
mod files;
mod identity;
mod join;
mod leave;
mod machine;
mod moved_clock;
mod objects;
pub mod pki;
mod proxy;
mod recover;
mod server;
mod shutdown;
mod snapshot;
mod status;
mod store_status;
mod target;
mod tls;
mod token;
mod up;

pub use cli::main;
pub use client::{Kubeconfig, tls::client_config as client_tls};
pub use etcd::Access as EtcdAccess;
pub use tls::server_config as server_tls;
