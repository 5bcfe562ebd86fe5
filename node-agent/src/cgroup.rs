//! Control groups of pods and containers.
//!
//! One tree, `<root>/kubepods[/burstable|/besteffort]/pod<uid>/<container>`, the same below every hierarchy of the node.
//! On cgroup v2 that is one hierarchy. On v1 the limits are set in the old hierarchies, and where a v2 mount stands
//! beside them (hybrid) its tree is used to kill a group at once. Groups hold no state of ours: what is asked for is
//! written down, and removal takes away whatever is found.

mod cpu;
mod cpuset;
mod devices;
mod memory;
mod mounts;
mod pids;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::runtime::{QosClass, Resources, Stats};
pub(crate) use devices::DeviceAccess;
pub(crate) use mounts::ControllerView;
use mounts::Mounts;

/// How long a group with dying processes is waited for.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(20);
const REMOVE_RETRY: Duration = Duration::from_millis(10);

/// A control group could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
#[error("control group {}: {source}", path.display())]
pub struct Error {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Error {
    fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { path, source }
    }
}

/// Which interface files a hierarchy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A file of a group and what to write into it.
type Setting = (&'static str, String);

/// The control groups of one agent.
#[derive(Debug, Clone)]
pub struct Cgroups {
    mounts: Mounts,
    /// Relative to the mount of each hierarchy.
    root: PathBuf,
}

/// What a new process must do, or have done to it, to become a member of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Folder of a v2 group it can be born in.
    pub(crate) cgroup2: Option<PathBuf>,
    /// Files that take its process id.
    pub(crate) procs: Vec<PathBuf>,
    /// File that counts kills for want of memory.
    pub(crate) oom_events: Option<PathBuf>,
}

impl Cgroups {
    /// Finds the hierarchies of this node and makes the groups above the pods. `root` is relative to each hierarchy.
    pub fn open(root: &str) -> Result<Self, Error> {
        let relative = Path::new(root.trim_matches('/'));
        let plain = relative.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain {
            let wrong =
                io::Error::new(io::ErrorKind::InvalidInput, "the root group must be a relative path without \"..\"");
            return Err(Error { path: relative.to_owned(), source: wrong });
        }
        let mounts = Mounts::read().map_err(Error::at("/proc/self/mountinfo"))?;
        let cgroups = Self { mounts, root: relative.to_owned() };
        for class in [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort] {
            let group = cgroups.class(class);
            // What asks for nothing gets only what nobody else wants.
            let request = (class == QosClass::BestEffort).then_some(0);
            cgroups.create(
                &group,
                &Resources { cpu_request: request, ..Resources::default() },
                DeviceAccess::Inherited,
            )?;
        }
        Ok(cgroups)
    }

    fn class(&self, class: QosClass) -> PathBuf {
        let pods = self.root.join("kubepods");
        match class {
            QosClass::Guaranteed => pods,
            QosClass::Burstable => pods.join("burstable"),
            QosClass::BestEffort => pods.join("besteffort"),
        }
    }

    /// The hierarchies, as containers see them.
    pub(crate) fn views(&self) -> Vec<ControllerView> {
        self.mounts.views()
    }

    /// The group of a pod.
    pub(crate) fn pod(&self, class: QosClass, uid: &str) -> PathBuf {
        self.class(class).join(format!("pod{uid}"))
    }

    /// Makes a group with its parents, and sets its limits.
    pub(crate) fn create(&self, group: &Path, resources: &Resources, devices: DeviceAccess) -> Result<(), Error> {
        let mut done = Vec::new();
        for hierarchy in self.mounts.hierarchies(resources.cpus.is_some()) {
            let folder = hierarchy.mount.join(group);
            fs::create_dir_all(&folder).map_err(Error::at(&folder))?;
            if hierarchy.delegates {
                delegate(&hierarchy.mount, group)?;
            }
            if hierarchy.has("cpuset") && hierarchy.version == Version::V1 {
                cpuset::inherit(&hierarchy.mount, group)?;
            }
            for (controller, settings) in settings(resources, hierarchy.version) {
                if hierarchy.has(controller) && !done.contains(&controller) {
                    done.push(controller);
                    write_all(&folder, &settings)?;
                }
            }
            if hierarchy.has("devices") {
                devices::limit(&folder, devices, hierarchy.version).map_err(Error::at(&folder))?;
            }
        }
        Ok(())
    }

    /// How a process gets into a group.
    pub(crate) fn placement(&self, group: &Path, resources: &Resources) -> Placement {
        let mut placement = Placement::default();
        for hierarchy in self.mounts.hierarchies(resources.cpus.is_some()) {
            let folder = hierarchy.mount.join(group);
            if hierarchy.has("memory") {
                placement.oom_events = Some(folder.join(memory::events_file(hierarchy.version)));
            }
            match hierarchy.version {
                Version::V1 => placement.procs.push(folder.join("cgroup.procs")),
                Version::V2 => placement.cgroup2 = Some(folder),
            }
        }
        placement
    }

    /// Kills every process in the group and the groups below it. A group that is not there has none.
    pub(crate) fn kill(&self, group: &Path) -> Result<(), Error> {
        if let Some(unified) = &self.mounts.unified {
            let file = unified.join(group).join("cgroup.kill");
            match fs::write(&file, "1") {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => return result.map_err(Error::at(file)),
            }
        }
        let Some(folder) = self.mounts.folder_of("freezer", group) else { return Ok(()) };
        kill_frozen(&folder).map_err(Error::at(folder))
    }

    /// Removes the group and the groups below it from all hierarchies, waiting for its processes to be gone.
    pub(crate) async fn remove(&self, group: &Path) -> Result<(), Error> {
        let deadline = tokio::time::Instant::now() + REMOVE_TIMEOUT;
        loop {
            let folders: Vec<_> = self.mounts.hierarchies(true).map(|hierarchy| hierarchy.mount.join(group)).collect();
            let attempt = move || folders.iter().try_for_each(|folder| remove_tree(folder).map_err(Error::at(folder)));
            let result = tokio::task::spawn_blocking(attempt)
                .await
                .unwrap_or_else(|failure| Err(Error { path: group.to_owned(), source: io::Error::other(failure) }));
            match result {
                Err(error) if error.source.kind() == io::ErrorKind::ResourceBusy => {
                    if tokio::time::Instant::now() > deadline {
                        return Err(error);
                    }
                }
                result => return result,
            }
            tokio::time::sleep(REMOVE_RETRY).await;
        }
    }

    /// Removes the groups above the pods, for an agent that leaves the node for good.
    pub async fn remove_root(&self) -> Result<(), Error> {
        self.kill(&self.root)?;
        self.remove(&self.root).await?;
        // Parents may be shared with other agents; what is empty goes.
        for parent in self.root.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            for hierarchy in self.mounts.hierarchies(true) {
                fs::remove_dir(hierarchy.mount.join(parent)).ok();
            }
        }
        Ok(())
    }

    /// What the group has used and uses.
    pub(crate) fn stats(&self, group: &Path) -> Stats {
        let mut stats = Stats::default();
        for hierarchy in self.mounts.hierarchies(false) {
            let folder = hierarchy.mount.join(group);
            if hierarchy.has("cpuacct") || (hierarchy.version == Version::V2 && hierarchy.has("cpu")) {
                cpu::read(&folder, hierarchy.version, &mut stats);
            }
            if hierarchy.has("memory") {
                memory::read(&folder, hierarchy.version, &mut stats);
            }
            if hierarchy.has("pids") {
                stats.pids = number(&folder.join("pids.current"));
            }
        }
        stats
    }
}

fn settings(resources: &Resources, version: Version) -> [(&'static str, Vec<Setting>); 4] {
    [
        ("cpu", cpu::settings(resources, version)),
        ("memory", memory::settings(resources, version)),
        ("pids", pids::settings(resources)),
        ("cpuset", cpuset::settings(resources)),
    ]
}

fn write_all(folder: &Path, settings: &[Setting]) -> Result<(), Error> {
    for (file, value) in settings {
        let path = folder.join(file);
        fs::write(&path, value).map_err(Error::at(path))?;
    }
    Ok(())
}

/// Lets every group above `group` hand its controllers down.
fn delegate(mount: &Path, group: &Path) -> Result<(), Error> {
    let mut folder = mount.to_owned();
    for part in group.components() {
        let available = fs::read_to_string(folder.join("cgroup.controllers")).map_err(Error::at(&folder))?;
        let control = folder.join("cgroup.subtree_control");
        let enabled = fs::read_to_string(&control).map_err(Error::at(&control))?;
        for controller in mounts::CONTROLLERS {
            let has = |list: &str| list.split_whitespace().any(|name| name == controller);
            if has(&available) && !has(&enabled) {
                fs::write(&control, format!("+{controller}")).map_err(Error::at(&control))?;
            }
        }
        folder.push(part);
    }
    Ok(())
}

/// Kills without the kernel's help: while the group is frozen no process can make another.
fn kill_frozen(folder: &Path) -> io::Result<()> {
    let state = folder.join("freezer.state");
    match fs::write(&state, "FROZEN") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    let killed = each_group(folder, &mut |group| {
        for pid in fs::read_to_string(group.join("cgroup.procs"))?.lines().filter_map(|line| line.parse().ok()) {
            // A process that is gone needs no signal.
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).ok();
        }
        Ok(())
    });
    fs::write(&state, "THAWED")?;
    killed
}

fn each_group(folder: &Path, action: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            each_group(&entry.path(), action)?;
        }
    }
    action(folder)
}

/// Only folders can be removed from a control group file system; the files in them are not ours.
fn remove_tree(folder: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    if folder.exists() { gone(each_group(folder, &mut |group| gone(fs::remove_dir(group)))) } else { Ok(()) }
}

fn number(file: &Path) -> u64 {
    fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

/// The value of `key` in a file of `key value` lines.
fn field(text: &str, key: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(name, _)| *name == key).and_then(|(_, value)| value.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_outside_the_hierarchies_is_refused() {
        for root in ["../up", "a/../../b"] {
            let error = Cgroups::open(root).unwrap_err();
            assert!(error.to_string().contains("relative path"), "{error}");
        }
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "total_inactive_file 7\ninactive_file 5\nbroken\n";
        assert_eq!(field(text, "inactive_file"), 5);
        assert_eq!(field(text, "file"), 0);
    }
}
