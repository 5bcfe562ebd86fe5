//! The scheduler: finds a node for each pod.
//!
//! **A cycle is snapshot -> decision, pure; binding is the only write** (beside the word on why a pod waits).
//!
//! Reading order: [`snapshot`] (what the cluster looks like), [`plugin`] (the two traits) and [`plugins`] (one rule per
//! file), [`cycle`] (filter, score, choose), [`queue`] (what to look at next), [`run`] (the loop around it).
//! It places pods one after another on a snapshot that already counts what it placed before, and binds many at a time.
//! It does not preempt and does not wait for volumes.

pub mod cycle;
mod facts;
pub mod plugin;
pub mod plugins;
pub mod queue;
pub mod resources;
pub mod run;
mod selectors;
pub mod snapshot;
#[cfg(test)]
mod testing;

use client::Identity;
pub use run::{ClientFactory, Config, run};

/// Who the scheduler is.
pub const IDENTITY: Identity = Identity { user: "system:kube-scheduler", component: "kontiki-scheduler" };
