//! The node agent: kubelet, container runtime, pod network.

pub mod cgroup;
mod config;
mod files;
pub mod image;
mod lease;
pub mod network;
mod node_status;
mod pod;
mod reflector;
pub mod runtime;
mod server;
mod sys;
mod volumes;

pub use config::{Config, ServerTls};
