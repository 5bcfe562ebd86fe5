//! The node agent: kubelet, container runtime, pod network.

pub mod cgroup;
mod config;
mod files;
pub mod image;
mod lease;
pub mod network;
mod node_status;
mod nodes;
mod pod;
mod probe_container;
mod reflector;
mod run;
pub mod runtime;
mod server;
mod sys;
mod volumes;

pub use config::{Config, ServerTls};
pub use run::{RunError, clean_up, run};
pub use server::ServeError;
