//! The cluster under faults, as its users see it: real processes, real kubectl, real sockets and disks.
//!
//! [`Cluster`] starts one with `kontiki up` in a folder of its own and removes it with `kontiki down`, also when a test
//! fails. A [`writer::Writer`] writes through the etcd port or through the Kubernetes API, and remembers what was
//! acknowledged; [`load`] measures how much of that a store can take.

pub mod bench;
pub mod cluster;
pub mod command;
pub mod load;
pub mod writer;

pub use cluster::Cluster;
