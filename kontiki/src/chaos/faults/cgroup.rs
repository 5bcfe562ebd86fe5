//! Faults by control groups: a process is put into one that has next to no memory, or whose writes to its disk are counted out.
//!
//! A group is `<hierarchy>/<the cluster's root>/chaos/<host>`, in the hierarchy of the controller: of version 1, or the one of
//! version 2. So `kontiki down` finds it, too.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};

use crate::up::{cluster::Cluster, down, process::Process};

/// A few pages: whatever a process needs next, it does not get.
const MEMORY_BYTES: &str = "65536";
/// Writes a second that a slow disk carries. A flush of the log is a few.
const WRITES: u32 = 4;
/// The folder of all groups of one cluster.
const FOLDER: &str = "chaos";

/// What a group is short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Short {
    /// Memory.
    Memory,
    /// Writes to the disk that the host's data is on.
    Disk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    version: Version,
}

impl Short {
    fn controller(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::Memory, _) => "memory",
            (Self::Disk, Version::V1) => "blkio",
            (Self::Disk, Version::V2) => "io",
        }
    }

    /// What is limited, for people.
    pub(crate) fn of(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "writes",
        }
    }

    fn hierarchy(self) -> Result<Hierarchy> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc is not mounted")?;
        let controllers = |mount: &Path| fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
        let found = parse(&mounts, self, controllers);
        found.with_context(|| format!("no control group limits {} on this machine", self.of()))
    }

    /// The files of a group that limit it, in the order to be written; those with false are not on every kernel.
    fn settings(self, version: Version, disk: &str) -> Vec<(&'static str, String, bool)> {
        match (self, version) {
            // What does not fit must not go to swap either.
            (Self::Memory, Version::V1) => vec![
                ("memory.limit_in_bytes", MEMORY_BYTES.to_owned(), true),
                ("memory.memsw.limit_in_bytes", MEMORY_BYTES.to_owned(), false),
            ],
            (Self::Memory, Version::V2) => {
                vec![("memory.swap.max", "0".to_owned(), false), ("memory.max", MEMORY_BYTES.to_owned(), true)]
            }
            (Self::Disk, Version::V1) => vec![("blkio.throttle.write_iops_device", format!("{disk} {WRITES}"), true)],
            (Self::Disk, Version::V2) => vec![("io.max", format!("{disk} wiops={WRITES}"), true)],
        }
    }
}

/// The hierarchy of what is short, among the mounts of a machine.
fn parse(mountinfo: &str, short: Short, controllers: impl Fn(&Path) -> String) -> Option<Hierarchy> {
    let hierarchy = |line: &str| {
        // proc(5): ... mount point (field 5) ... " - " type, source, super options
        let (left, right) = line.split_once(" - ")?;
        let mount = PathBuf::from(left.split(' ').nth(4)?);
        let mut right = right.split(' ');
        let (version, has) = match (right.next()?, right.nth(1)?) {
            ("cgroup", options) => (Version::V1, options.split(',').map(str::to_owned).collect::<Vec<_>>()),
            ("cgroup2", _) => {
                let known = controllers(&mount);
                (Version::V2, known.split_whitespace().map(str::to_owned).collect())
            }
            _ => return None,
        };
        has.iter().any(|name| name == short.controller(version)).then_some(Hierarchy { mount, version })
    };
    mountinfo.lines().find_map(hierarchy)
}

/// What this machine lacks for such a group, for any master of the cluster.
pub(crate) fn lacks(cluster: &Cluster, short: Short) -> Option<String> {
    let able = || -> Result<()> {
        let Hierarchy { mount, .. } = short.hierarchy()?;
        access(&mount, AccessFlags::W_OK).with_context(|| format!("{} cannot be written", mount.display()))?;
        if short == Short::Disk {
            cluster.masters().try_for_each(|host| disk_of(&data(cluster, &host.name)).map(drop))?;
        }
        Ok(())
    };
    able().err().map(|error| format!("{error:#}"))
}

/// Makes the group of a host, with its limit and nobody in it.
pub(crate) fn make(cluster: &Cluster, host: &str, short: Short) -> Result<()> {
    let Hierarchy { mount, version } = short.hierarchy()?;
    let group = group(&mount, cluster, host);
    fs::create_dir_all(&group).with_context(|| format!("cannot make the control group {}", group.display()))?;
    if version == Version::V2 {
        // From the top: each lets those below it have the controller.
        let above: Vec<&Path> = group.ancestors().skip(1).take_while(|folder| folder.starts_with(&mount)).collect();
        for folder in above.into_iter().rev() {
            write(&folder.join("cgroup.subtree_control"), &format!("+{}", short.controller(version)))?;
        }
    }
    let disk = if short == Short::Disk { disk_of(&data(cluster, host))? } else { String::new() };
    for (file, value, everywhere) in short.settings(version, &disk) {
        let file = group.join(file);
        if everywhere || file.exists() {
            write(&file, &value)?;
        }
    }
    Ok(())
}

/// Puts a process into the group of its host. What it has already stays counted where it was.
pub(crate) fn enter(cluster: &Cluster, host: &str, short: Short, process: &Process) -> Result<()> {
    let Hierarchy { mount, .. } = short.hierarchy()?;
    write(&group(&mount, cluster, host).join("cgroup.procs"), &process.pid().to_string())
}

/// The group that a process is in.
pub(crate) fn own(short: Short, process: &Process) -> Result<PathBuf> {
    let Hierarchy { mount, version } = short.hierarchy()?;
    let path = format!("/proc/{}/cgroup", process.pid());
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let relative = relative(&text, short.controller(version), version);
    let relative = relative.with_context(|| format!("{path} does not name the group"))?;
    Ok(mount.join(relative.trim_start_matches('/')))
}

/// Of the lines `<number>:<controllers>:<group>` (cgroups(7)); version 2 names no controllers.
fn relative<'a>(text: &'a str, controller: &str, version: Version) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let is_it = match version {
            Version::V1 => controllers.split(',').any(|name| name == controller),
            Version::V2 => controllers.is_empty(),
        };
        is_it.then_some(group)
    })
}

/// Takes everybody out of the group of a host, back to where they were, and removes it.
pub(crate) fn remove(cluster: &Cluster, host: &str, short: Short, back: &Path) -> Result<()> {
    let Hierarchy { mount, .. } = short.hierarchy()?;
    let group = group(&mount, cluster, host);
    let inside = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let back = if back.is_dir() { back } else { &mount };
    for process in inside.lines().filter_map(|pid| Process::find(pid.parse().ok()?)) {
        match write(&back.join("cgroup.procs"), &process.pid().to_string()) {
            Err(error) if process.is_alive() => return Err(error),
            _ => {}
        }
    }
    down::remove_cgroup(&group).with_context(|| format!("cannot remove the control group {}", group.display()))?;
    // The folders above may have others in them.
    for folder in group.ancestors().skip(1).take_while(|folder| *folder != mount) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

/// How many processes of a host's group the kernel has ended for want of memory.
pub(crate) fn kills(cluster: &Cluster, host: &str) -> Result<u64> {
    let Hierarchy { mount, version } = Short::Memory.hierarchy()?;
    let file = match version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    };
    let path = group(&mount, cluster, host).join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
    count.with_context(|| format!("{} counts no kills", path.display()))
}

fn group(mount: &Path, cluster: &Cluster, host: &str) -> PathBuf {
    mount.join(cluster.cgroup_root()).join(FOLDER).join(host)
}

/// Where a master's data is.
fn data(cluster: &Cluster, host: &str) -> PathBuf {
    cluster.host_dir(host).join("server")
}

/// The number of the disk that a folder is on, as controllers want it: of the whole disk, not of a part of it.
fn disk_of(folder: &Path) -> Result<String> {
    let device = fs::metadata(folder).with_context(|| format!("cannot read {}", folder.display()))?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let on_a_disk = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}"));
    let device = on_a_disk.with_context(|| format!("{} is on no disk ({major}:{minor})", folder.display()))?;
    let whole = if device.join("partition").exists() { device.parent().unwrap_or(&device) } else { &device };
    let number = fs::read_to_string(whole.join("dev"))?.trim().to_owned();
    ensure!(!number.is_empty(), "{} has no number", whole.display());
    Ok(number)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {text:?} into {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn the_hierarchy_is_the_one_that_has_the_controller() {
        let mount = |mounts: &str, short, controllers: &'static str| {
            parse(mounts, short, |_| controllers.to_owned()).map(|found| found.mount.to_string_lossy().into_owned())
        };
        assert_eq!(mount(HYBRID, Short::Memory, "hugetlb").as_deref(), Some("/sys/fs/cgroup/memory"));
        assert_eq!(mount(HYBRID, Short::Disk, "hugetlb").as_deref(), Some("/sys/fs/cgroup/blkio"));
        let unified = "25 24 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(mount(unified, Short::Disk, "cpu io memory\n").as_deref(), Some("/sys/fs/cgroup"));
        assert_eq!(mount(unified, Short::Memory, "cpu pids\n"), None);
    }

    #[test]
    fn a_process_is_found_in_its_group_of_either_version() {
        let text = "7:cpu,blkio:/\n4:memory:/a/b\n0::/c\n";
        assert_eq!(relative(text, "memory", Version::V1), Some("/a/b"));
        assert_eq!(relative(text, "blkio", Version::V1), Some("/"));
        assert_eq!(relative(text, "memory", Version::V2), Some("/c"));
        assert_eq!(relative(text, "pids", Version::V1), None);
    }

    #[test]
    fn a_folder_in_memory_is_on_no_disk() {
        assert!(disk_of(Path::new("/proc")).unwrap_err().to_string().contains("is on no disk"));
    }
}
