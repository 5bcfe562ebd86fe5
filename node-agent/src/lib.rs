//! The node agent: kubelet, container runtime, pod network.
