//! The node agent: kubelet, container runtime, pod network.

pub mod cgroup;
mod config;
mod files;
pub mod image;
pub mod network;
mod pod;
mod reflector;
pub mod runtime;
mod volumes;

pub use config::{Config, ServerTls};
