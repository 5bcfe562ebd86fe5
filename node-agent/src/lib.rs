//! The node agent: kubelet, container runtime, pod network.

mod files;
pub mod network;
