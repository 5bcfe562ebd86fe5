//! A foreign client in Python: the package `kubernetes`, with the kubeconfig that a user gets.

use std::{path::Path, process::Command};

use chaos_tests::command::run;

use crate::streaming;

/// Where `tools/bootstrap test` lays Python with the package.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/python/bin/python");
/// What it runs.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/client.py");

#[test]
fn the_python_client_is_served_like_kubectl() {
    assert!(Path::new(PYTHON).exists(), "{PYTHON} is missing: run tools/bootstrap test");
    let (cluster, _) = streaming::cluster(&["--masters", "1", "--workers", "1"]);
    let home = cluster.dir().join("home");
    let mut python = Command::new(PYTHON);
    python.arg(SCRIPT).env("KUBECONFIG", cluster.dir().join("kubeconfig")).env("HOME", home);
    let said = run(&mut python);
    assert!(said.success, "{}", said.all());
    eprint!("{}", said.out);
}
