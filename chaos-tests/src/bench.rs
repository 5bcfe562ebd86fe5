//! `make bench`: Kontiki's store beside etcd and beside the ceiling, in one run, on one disk, with one load generator.
//!
//! Absolute figures of a small shared machine mean little; ratios within one run do. The ceiling is a server of the same
//! stack (tonic, mutual TLS) that answers without work, and the disk's is one append and one fdatasync after the other.

pub mod ceiling;
pub mod disk;
pub mod etcd;
pub mod table;
