//! The store under faults, and the whole control plane on top of it, by seed: one process, simulated network and disk, time that
//! jumps to the next event.

mod chance;
mod cluster;
mod control_plane;
mod disk;
mod evidence;
mod faults;
mod history;
mod invariants;
mod network;
mod record;
mod run;
mod seeds;
mod table;
mod truth;
mod watcher;
mod whole_stack;
mod workload;
