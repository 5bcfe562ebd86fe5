//! The cluster under faults, as its users see it: real processes, real kubectl, real sockets and disks.
//!
//! [`Cluster`] starts one with `kontiki up` in a folder of its own and removes it with `kontiki down`, also when a test
//! fails. Writers that remember what was acknowledged, and the search for an order that explains a history, are
//! [`kontiki::chaos`]'s: users test their clusters with the same. [`load`] measures how much a store can take.

pub mod bench;
pub mod cluster;
pub mod command;
pub mod load;

pub use cluster::Cluster;
