//! The node agent: kubelet, container runtime, pod network.

mod files;
pub mod network;
pub mod cgroup;
pub mod image;
pub mod runtime;
