//! The store as its users see it: real sockets, real disks, mutual TLS, members in one process.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "what fails in a helper fails its test")]

mod cluster;
mod damage;
mod differential;
mod etcd_issues;
mod etcdctl;
mod failover;
mod kube_apiserver;
mod membership;
mod recipes;
mod refusals;
mod scripts;
mod single;
mod space;
mod target;
mod watching;
