//! The group `networking.k8s.io`: the ways into the cluster and between pods.

pub mod v1;
