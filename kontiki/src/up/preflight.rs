//! What a machine needs before a cluster is started on it: every complaint names its fix, and nothing was made yet.

use std::{fs, net::TcpListener, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

/// Filesystems that the kernel must know for pods.
const FILESYSTEMS: &[&str] = &["overlay", "tmpfs", "proc", "sysfs", "mqueue", "devpts"];
/// Resources that must be limitable, by the version-1 hierarchy of that name or by version 2.
const CONTROLLERS: &[&str] = &["cpu", "memory", "pids"];

/// Checks this machine; `pods` says whether it is to run pods.
pub(crate) fn check(pods: bool) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "kontiki up makes network namespaces, which needs root: run it with `sudo`"
    );
    ensure!(
        Path::new("/proc/self/ns/net").exists(),
        "this kernel has no network namespaces: use a kernel with CONFIG_NET_NS=y"
    );
    if pods {
        filesystems(&fs::read_to_string("/proc/filesystems").context("/proc is not mounted: mount it")?)?;
        controllers(&fs::read_to_string("/proc/self/mountinfo")?)?;
    }
    Ok(())
}

/// A free port of the loopback interface, kept for the proxy by nothing but its number.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port is free on 127.0.0.1: end what uses them")?;
    Ok(listener.local_addr()?.port())
}

fn filesystems(known: &str) -> Result<()> {
    let missing: Vec<&str> =
        FILESYSTEMS.iter().copied().filter(|fs| !known.split_whitespace().any(|k| k == *fs)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("this kernel lacks {}: `modprobe {}`, or use --workers 0", missing.join(", "), missing.join(" "))
}

/// Looks for each controller among the mounted hierarchies.
fn controllers(mountinfo: &str) -> Result<()> {
    let mut mounted = Vec::new();
    for line in mountinfo.lines() {
        // proc(5): ... mount point (field 5) ... " - " type, source, super options
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut right = right.split(' ');
        match (right.next(), right.nth(1)) {
            (Some("cgroup"), Some(options)) => mounted.extend(options.split(',').map(str::to_owned)),
            (Some("cgroup2"), _) => {
                let root = left.split(' ').nth(4).unwrap_or_default();
                let known = fs::read_to_string(Path::new(root).join("cgroup.controllers")).unwrap_or_default();
                mounted.extend(known.split_whitespace().map(str::to_owned));
            }
            _ => {}
        }
    }
    let missing: Vec<&str> = CONTROLLERS.iter().copied().filter(|c| !mounted.iter().any(|m| m == c)).collect();
    ensure!(
        missing.is_empty(),
        "no cgroup hierarchy limits {}: mount one (`mount -t cgroup2 none /sys/fs/cgroup`), or use --workers 0",
        missing.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_filesystem_is_named_with_the_fix() {
        assert!(
            filesystems("nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\tmqueue\nnodev\tdevpts\nnodev\toverlay\n")
                .is_ok()
        );
        let complaint =
            filesystems("nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\tmqueue\nnodev\tdevpts\n").unwrap_err();
        assert!(complaint.to_string().contains("modprobe overlay"), "{complaint}");
    }

    #[test]
    fn version_1_hierarchies_count_and_a_missing_one_is_named() {
        let line = |c: &str| format!("35 30 0:30 / /sys/fs/cgroup/{c} rw - cgroup cgroup rw,{c}\n");
        assert!(controllers(&[line("cpu"), line("memory"), line("pids")].concat()).is_ok());
        let complaint = controllers(&[line("cpu"), line("memory")].concat()).unwrap_err();
        assert!(complaint.to_string().contains("limits pids"), "{complaint}");
    }
}
