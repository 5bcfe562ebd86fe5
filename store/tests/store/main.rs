//! The store as its users see it: real sockets, real disks, mutual TLS, members in one process.

mod cluster;
mod failover;
mod membership;
mod scripts;
mod single;
