//! Builds the two static programs that the agent carries: the shim and the demo image's program.
//!
//! They are packages of their own with their own lock files, since they want another target feature (a static C
//! library) and another profile than the workspace, and Cargo has no stable way to say that in one build.

use std::{
    env,
    error::Error,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn main() -> Result<(), Box<dyn Error>> {
    for (package, program) in [("shim", "kontiki-shim"), ("demo", "demo")] {
        build(package, program)?;
    }
    Ok(())
}

fn build(package: &str, program: &str) -> Result<(), Box<dyn Error>> {
    for part in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={package}/{part}");
    }
    let variable = |name: &str| env::var_os(name).ok_or(format!("{name} is not set: run this through cargo"));
    let (cargo, target) = (variable("CARGO")?, variable("TARGET")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let target_dir = out.join("static");
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--manifest-path"]).arg(Path::new(package).join("Cargo.toml"));
    command.arg("--target").arg(&target).arg("--target-dir").arg(&target_dir);
    // What the outer build sets for itself must not reach the inner one.
    for (name, _) in env::vars_os().filter(|(name, _)| is_outer(name)) {
        command.env_remove(name);
    }
    command.env("RUSTFLAGS", "-Ctarget-feature=+crt-static -Crelocation-model=static");
    if !command.status()?.success() {
        return Err(format!("building node-agent/{package} failed").into());
    }
    let built = target_dir.join(&target).join("release").join(program);
    fs::copy(&built, out.join(program)).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(())
}

fn is_outer(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_INCREMENTAL",
    ]
    .contains(&&*name)
        || ["CARGO_PROFILE_", "CARGO_FEATURE_", "CARGO_CFG_"].iter().any(|prefix| name.starts_with(prefix))
}
