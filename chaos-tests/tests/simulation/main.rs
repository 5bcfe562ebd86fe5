//! The store under faults, by seed: one process, simulated network and disk, time that jumps to the next event.

mod chance;
mod cluster;
mod disk;
mod evidence;
mod faults;
mod history;
mod invariants;
mod network;
mod run;
mod seeds;
mod truth;
mod watcher;
mod workload;
