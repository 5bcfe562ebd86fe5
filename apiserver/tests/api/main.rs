//! The API as its users see it: a real store on a real disk, requests through the router, and real kubectl over TLS.
//! One file a promise.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod access;
mod bootstrap;
mod cluster_kinds;
mod deletion;
mod encryption_at_rest;
mod harness;
mod kubectl;
mod logs;
mod optimistic_concurrency;
mod pagination;
mod patching;
mod protobuf;
mod refusals;
mod server_side_apply;
mod services;
mod views;
mod watching;
mod workload_kinds;
