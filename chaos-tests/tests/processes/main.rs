//! Stories of the built program, as a user lives them: real processes, real kubectl, hosts in network namespaces.
//!
//! They need root. Each story has a cluster of its own in a temporary folder and removes every trace of it.

mod backups;
mod chaos_clock;
mod chaos_command;
mod chaos_limits;
mod chaos_together;
mod disk_errors;
mod disk_full;
mod failover;
mod first_light;
mod kube_controller;
mod kube_rs;
mod kubectl_versions;
mod machine;
mod python_client;
mod recovery;
mod rolling_upgrade;
mod services;
mod stateful_set;
mod streaming;
mod up_and_down;
mod workloads;

use std::path::Path;

/// The program under test, of this very build.
pub(crate) fn program() -> &'static Path {
    let root = nix::unistd::geteuid().is_root();
    assert!(root, "these tests make network namespaces: run them as root (`sudo make test`)");
    Path::new(env!("CARGO_BIN_EXE_kontiki-under-test"))
}
