//! The rules of the tree that no compiler knows: who may depend on whom, how long a file may grow, what may not be written.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The longest a source file may grow before its unit tests.
const FILE_LINES_MAX: usize = 600;

/// The only edges between crates of ours, test dependencies aside: `crate -> what it may use`.
const EDGES: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("apiserver", &["api", "store"]),
    ("chaos-tests", &["kontiki", "proto"]),
    ("client", &["api"]),
    ("controllers", &["api", "client"]),
    ("kontiki", &["api", "apiserver", "client", "controllers", "node-agent", "proto", "scheduler", "store"]),
    ("node-agent", &["api", "client", "proto"]),
    ("proto", &[]),
    ("scheduler", &["api", "client"]),
    ("store", &["proto"]),
    ("testing", &[]),
];

/// Crates that may not be in the lock file: `ring` is the only crypto provider.
const FORBIDDEN_CRATES: &[&str] = &["aws-lc-sys", "aws-lc-rs", "openssl-sys", "native-tls", "rsa"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above this crate").to_owned()
}

fn sources() -> Vec<(PathBuf, String)> {
    let listed = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output().expect("git runs");
    let names = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    let read = |name: &str| Some((PathBuf::from(name), fs::read_to_string(root().join(name)).ok()?));
    names.lines().filter_map(read).collect()
}

fn complain(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

#[test]
fn crates_depend_only_along_the_drawn_edges() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let metadata = Command::new(cargo).args(arguments).current_dir(root()).output().expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let ours: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let mut offences = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let Some((_, allowed)) = EDGES.iter().find(|(n, _)| *n == name) else {
            offences.push(format!("{name} is not in the table of edges"));
            continue;
        };
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let used = dependency["name"].as_str().expect("a name");
            let for_tests = dependency["kind"] == "dev";
            if ours.contains(used) && !for_tests && !allowed.contains(&used) {
                offences.push(format!("{name} -> {used}"));
            }
        }
    }
    complain("these crates may not depend on each other", &offences);
}

#[test]
fn ring_is_the_only_crypto_provider() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock is committed");
    let named = |name: &&str| lock.contains(&format!("name = \"{name}\"\n"));
    let found: Vec<String> = FORBIDDEN_CRATES.iter().filter(|n| named(n)).map(|n| (*n).to_owned()).collect();
    complain("Cargo.lock names a crate that may not be built in", &found);
}

#[test]
fn every_file_says_what_it_is_for_and_can_be_read_in_one_sitting() {
    // Tests may be as long as their stories.
    let is_test = |name: &Path| name.ends_with("tests.rs") || name.components().any(|part| part.as_os_str() == "tests");
    let mut offences = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines > FILE_LINES_MAX && !is_test(&name) {
            offences.push(format!("{}: {lines} lines before its tests", name.display()));
        }
        if !text.starts_with("//!") && !name.ends_with("tests.rs") {
            offences.push(format!("{}: does not begin with //!", name.display()));
        }
    }
    complain("a file begins with its purpose and is short", &offences);
}

#[test]
fn nothing_is_left_over() {
    // Written in two halves, so that this file does not name what it forbids.
    let forbidden =
        [("to", "do!("), ("unimpl", "emented!("), ("#[ign", "ore"), ("TO", "DO"), ("FIX", "ME"), ("XX", "X:")];
    let mut offences = Vec::new();
    for (name, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            if forbidden.iter().any(|(a, b)| line.contains(&format!("{a}{b}"))) {
                offences.push(format!("{}:{}: {}", name.display(), number + 1, line.trim()));
            }
        }
    }
    complain("a left-over: finish it or remove it", &offences);
}

#[test]
fn unsafe_code_stands_only_where_the_kernel_is_called() {
    let allowed = |name: &Path| name.starts_with("node-agent/src/sys") || name.starts_with("node-agent/shim");
    let mut offences = Vec::new();
    for (name, text) in sources().into_iter().filter(|(name, _)| !allowed(name) && !name.starts_with("testing")) {
        let is_unsafe = |line: &&str| !line.trim_start().starts_with("//") && line.contains("unsafe ");
        offences.extend(text.lines().filter(is_unsafe).map(|line| format!("{}: {}", name.display(), line.trim())));
    }
    complain("unsafe code outside node-agent/src/sys and the shim", &offences);
}
