//! `kontiki down`: leaves no process, namespace, mount, cgroup, nft table or file behind.
//!
//! The same for one host is a power cut: [`power_off`].
//!
//! It trusts no process's goodwill and no record but `cluster.json`: processes are found by the network namespaces and the
//! cgroups that they are in, mounts by the folder that they lie under. So it works after any crash, and twice.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    mount::{MntFlags, umount2},
    sys::signal::Signal,
};

use super::{
    cluster::Cluster,
    network::{self, FABRIC},
    process::Process,
};

/// How long killed processes may take to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Ends the cluster and removes every trace of it, its folder's content included.
pub(crate) fn remove(cluster: &Cluster) -> Result<()> {
    let cgroups = cgroups(&cluster.cgroup_root());
    let hosts = cluster.hosts.iter().map(|host| host.name.as_str()).chain([FABRIC]);
    let namespaces = namespaces(hosts.map(|host| cluster.netns_path(host)), &cluster.dir);
    kill_all(|| {
        let mut found: Vec<Process> = in_cgroups(&cgroups);
        found.extend(in_namespaces(&namespaces));
        found.extend(cluster.running().into_iter().map(|(_, _, process)| process));
        found.extend(Process::load(&cluster.dir.join("proxy.pid")).filter(Process::is_alive));
        found
    })?;
    unmount_all(&cluster.dir)?;
    remove_cgroups(&cgroups)?;
    network::remove(cluster)?;
    fs::remove_dir_all(&cluster.dir).with_context(|| format!("cannot remove {}", cluster.dir.display()))
}

/// Ends everything on a host as a power cut does: its processes at once, and with them what only the kernel knew, mounts, cgroups
/// and the links of pods. What is on its disk stays. How many processes there were.
pub(crate) fn power_off(cluster: &Cluster, host: &str) -> Result<usize> {
    let ended = kill_all(|| found_on(cluster, host))?;
    unmount_all(&cluster.host_dir(host))?;
    remove_cgroups(&cgroups_of(cluster, host))?;
    Ok(ended)
}

/// How many processes a host has, those of its pods included.
pub(crate) fn processes_on(cluster: &Cluster, host: &str) -> usize {
    found_on(cluster, host).iter().map(Process::pid).collect::<BTreeSet<_>>().len()
}

fn found_on(cluster: &Cluster, host: &str) -> Vec<Process> {
    let mut found: Vec<Process> = in_cgroups(&cgroups_of(cluster, host));
    let own = [cluster.netns_path(host)];
    found.extend(in_namespaces(&namespaces(own.into_iter(), &cluster.host_dir(host))));
    let running = cluster.running().into_iter().filter(|(name, ..)| name == host);
    found.extend(running.map(|(_, _, process)| process));
    found
}

fn cgroups_of(cluster: &Cluster, host: &str) -> Vec<PathBuf> {
    cgroups(&format!("{}/{host}", cluster.cgroup_root()))
}

/// Kills until a whole look finds no process: one may be born while another is being killed. How many there were.
fn kill_all(find: impl Fn() -> Vec<Process>) -> Result<usize> {
    let start = Instant::now();
    let mut killed = BTreeSet::new();
    loop {
        let found = find();
        if found.is_empty() {
            return Ok(killed.len());
        }
        killed.extend(found.iter().map(Process::pid));
        for process in &found {
            process.signal(Signal::SIGKILL)?;
        }
        if start.elapsed() > KILL_DEADLINE {
            let ids: Vec<String> = found.iter().map(|p| p.pid().to_string()).collect();
            bail!("processes {} do not end: they may hang in the kernel; try again later", ids.join(", "));
        }
        pause();
    }
}

#[allow(clippy::disallowed_methods, reason = "the pause between two looks at a condition that has a deadline")]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// The inodes of these network namespaces and of every namespace mounted below a folder.
fn namespaces(paths: impl Iterator<Item = PathBuf>, dir: &Path) -> BTreeSet<u64> {
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.extend(mounts_below(dir).into_iter().filter(|(_, kind)| kind == "nsfs").map(|(path, _)| path));
    paths.iter().filter_map(|path| Some(fs::metadata(path).ok()?.ino())).collect()
}

fn in_namespaces(namespaces: &BTreeSet<u64>) -> Vec<Process> {
    let inside = |pid: &i32| {
        let namespace = fs::metadata(format!("/proc/{pid}/ns/net"));
        namespace.is_ok_and(|n| namespaces.contains(&n.ino()))
    };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(inside).filter_map(Process::find).collect()
}

/// The roots of this cluster in every mounted hierarchy.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let is_cgroup = |line: &str| line.split_once(" - ").is_some_and(|(_, right)| right.starts_with("cgroup"));
    let points = mounts.lines().filter(|line| is_cgroup(line)).filter_map(|line| line.split(' ').nth(4));
    points.map(|point| Path::new(point).join(name)).filter(|root| root.is_dir()).collect()
}

fn in_cgroups(roots: &[PathBuf]) -> Vec<Process> {
    let mut found = Vec::new();
    let mut folders = roots.to_vec();
    while let Some(folder) = folders.pop() {
        let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        found.extend(listed.lines().filter_map(|pid| Process::find(pid.parse().ok()?)));
        folders.extend(subfolders(&folder));
    }
    found
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir())).map(|entry| entry.path()).collect()
}

fn remove_cgroups(roots: &[PathBuf]) -> Result<()> {
    for root in roots {
        remove_cgroup(root).with_context(|| format!("cannot remove the cgroup {}", root.display()))?;
    }
    Ok(())
}

/// Removes a cgroup and all below it; the kernel holds one for a moment after its last process.
pub(crate) fn remove_cgroup(folder: &Path) -> Result<()> {
    for below in subfolders(folder) {
        remove_cgroup(&below)?;
    }
    let start = Instant::now();
    loop {
        match fs::remove_dir(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if start.elapsed() > KILL_DEADLINE => return Err(error.into()),
            Err(_) => pause(),
        }
    }
}

/// Mount points below a folder with their filesystem types, the deepest and latest first.
fn mounts_below(dir: &Path) -> Vec<(PathBuf, String)> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        Some((PathBuf::from(unescape(left.split(' ').nth(4)?)), right.split(' ').next()?.to_owned()))
    };
    text.lines().rev().filter_map(parse).filter(|(path, _)| path.starts_with(dir)).collect()
}

/// proc(5) writes space, tab, newline and backslash in a path as `\` and three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

fn unmount_all(dir: &Path) -> Result<()> {
    for (path, _) in mounts_below(dir) {
        match umount2(&path, MntFlags::MNT_DETACH) {
            Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot unmount {}", path.display())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_mount_points_are_read() {
        assert_eq!(unescape("/a\\040b\\134c"), "/a b\\c");
    }
}
