//! Which control group hierarchies a node has.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::Version;

/// The controllers this runtime uses of a v2 hierarchy.
pub(super) const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "cpuset"];
/// What a v1 hierarchy must have to be of use here. `cpuset` is left alone unless a pod asks for it.
const WANTED: [&str; 6] = ["cpu", "cpuacct", "memory", "pids", "devices", "freezer"];

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Where it is mounted.
    pub(super) mount: PathBuf,
    pub(super) version: Version,
    /// Its controllers are handed down group by group.
    pub(super) delegates: bool,
    controllers: BTreeSet<String>,
}

impl Hierarchy {
    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.contains(controller)
    }
}

/// A hierarchy as containers see it below `/sys/fs/cgroup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ControllerView {
    /// Controllers of a v1 hierarchy; `None` is v2.
    pub(crate) controllers: Option<Vec<String>>,
    /// Name of its folder, when there are several.
    pub(crate) folder: String,
}

/// All hierarchies of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounts {
    hierarchies: Vec<Hierarchy>,
    /// The v2 mount, alone or beside v1.
    pub(super) unified: Option<PathBuf>,
}

impl Mounts {
    pub(super) fn read() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/self/mountinfo")?;
        let mounts =
            Self::parse(&text, |mount| fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default());
        if mounts.hierarchies.iter().any(|hierarchy| hierarchy.has("memory")) {
            return Ok(mounts);
        }
        let fix = "no hierarchy with the memory controller is mounted; mount cgroup2 at /sys/fs/cgroup";
        Err(io::Error::new(io::ErrorKind::NotFound, fix))
    }

    fn parse(mountinfo: &str, controllers_of: impl Fn(&Path) -> String) -> Self {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        let mut unified = None;
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let (Some(mount), mut right) = (left.split(' ').nth(4), right.split(' ')) else { continue };
            let (Some(kind), Some(options)) = (right.next(), right.nth(1)) else { continue };
            let mount = PathBuf::from(mount);
            match kind {
                "cgroup2" if unified.is_none() => unified = Some(mount),
                "cgroup" => {
                    let known = hierarchies.iter().flat_map(|hierarchy| &hierarchy.controllers).cloned().collect();
                    let named: BTreeSet<_> = options.split(',').map(str::to_owned).collect();
                    let controllers: BTreeSet<_> = named.difference(&known).cloned().collect();
                    if controllers.iter().any(|name| WANTED.contains(&name.as_str()) || name == "cpuset") {
                        hierarchies.push(Hierarchy { mount, version: Version::V1, delegates: false, controllers });
                    }
                }
                _ => {}
            }
        }
        if let Some(mount) = &unified {
            let own = controllers_of(mount);
            let mut controllers: BTreeSet<String> = own.split_whitespace().map(str::to_owned).collect();
            let old: Vec<_> = hierarchies.iter().flat_map(|hierarchy| &hierarchy.controllers).collect();
            controllers.retain(|name| !old.contains(&name));
            let delegates = controllers.contains("memory");
            if hierarchies.iter().all(|hierarchy| !hierarchy.has("devices")) {
                // On v2 device access is answered by a program, which needs no controller.
                controllers.insert("devices".to_owned());
            }
            hierarchies.push(Hierarchy { mount: mount.clone(), version: Version::V2, delegates, controllers });
        }
        Self { hierarchies, unified }
    }

    /// The hierarchies to make a group in.
    pub(super) fn hierarchies(&self, cpuset: bool) -> impl Iterator<Item = &Hierarchy> {
        self.hierarchies.iter().filter(move |hierarchy| {
            cpuset || hierarchy.version == Version::V2 || WANTED.iter().any(|name| hierarchy.has(name))
        })
    }

    /// The group's folder in the hierarchy with `controller`.
    pub(super) fn folder_of(&self, controller: &str, group: &Path) -> Option<PathBuf> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.has(controller)).map(|hierarchy| hierarchy.mount.join(group))
    }

    /// What a container may see of its own groups.
    pub(super) fn views(&self) -> Vec<ControllerView> {
        let view = |hierarchy: &Hierarchy| ControllerView {
            controllers: match hierarchy.version {
                Version::V1 => Some(hierarchy.controllers.iter().cloned().collect()),
                Version::V2 => None,
            },
            folder: hierarchy.mount.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        self.hierarchies.iter().map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
25 24 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
27 25 0:24 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
28 25 0:25 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
29 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
30 25 0:27 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
31 25 0:28 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
32 25 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    fn names(mounts: &Mounts, cpuset: bool) -> Vec<&str> {
        mounts.hierarchies(cpuset).filter_map(|hierarchy| hierarchy.mount.file_name()?.to_str()).collect()
    }

    #[test]
    fn hybrid_nodes_have_old_limits_and_a_unified_tree() {
        let mounts = Mounts::parse(HYBRID, |_| "hugetlb\n".to_owned());
        assert_eq!(names(&mounts, false), ["cpu", "cpuacct", "memory", "devices", "unified"]);
        assert_eq!(names(&mounts, true), ["cpu", "cpuacct", "cpuset", "memory", "devices", "unified"]);
        let unified = mounts.hierarchies.last().unwrap();
        assert!(!unified.has("devices") && !unified.delegates);
    }

    #[test]
    fn unified_nodes_have_one_hierarchy_for_all() {
        let text = "25 24 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let mounts = Mounts::parse(text, |_| "cpuset cpu io memory pids\n".to_owned());
        let [only] = mounts.hierarchies.as_slice() else { panic!("{mounts:?}") };
        assert!(only.has("memory") && only.has("cpu") && only.has("devices") && only.delegates);
    }

    #[test]
    fn joined_controllers_are_one_hierarchy() {
        let text = "26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                    27 25 0:23 / /mnt/again rw - cgroup cgroup rw,cpu,cpuacct\n";
        let mounts = Mounts::parse(text, |_| String::new());
        assert_eq!(names(&mounts, false), ["cpu,cpuacct"]);
    }
}
