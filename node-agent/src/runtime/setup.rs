//! From what a pod asks for to what a shim does: the whole policy of a container's start, without any I/O but a look at
//! the node's devices for privileged containers.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Component, Path, PathBuf},
};

use super::{
    ContainerSpec, Error, Propagation, SandboxSpec, Seccomp, capabilities,
    protocol::{BindSetup, ContainerSetup, DeviceSetup, FilesystemSetup, UserSetup},
    seccomp,
};
use crate::{
    cgroup::{ControllerView, Placement},
    image::ImageConfig,
};

const READ_ONLY: u32 = 1;
const NO_SUID: u32 = 2;
const NO_DEV: u32 = 4;
const NO_EXEC: u32 = 8;
const STRICT_ACCESS_TIME: u32 = 0x20;

/// Hidden from unprivileged containers, as other runtimes do.
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/kernel/security",
];
const PROTECTED: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// (name, major, minor)
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Where the pieces of one container lie on the node.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Writes of the container.
    pub(super) upper: PathBuf,
    pub(super) work: PathBuf,
    /// Where the root file system is attached.
    pub(super) attach_at: PathBuf,
    /// The pod's shared memory.
    pub(super) shm: PathBuf,
}

/// What the node contributes.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// Capabilities that can be handed on.
    pub(super) capabilities: u64,
    /// The hierarchies to show under `/sys/fs/cgroup`.
    pub(super) cgroup_views: &'a [ControllerView],
}

/// Says what the shim must do to start `spec` in `sandbox`.
pub(super) fn container(
    sandbox: &SandboxSpec,
    spec: &ContainerSpec,
    node: &Node<'_>,
    places: Places,
    placement: Placement,
) -> Result<ContainerSetup, Error> {
    let security = &spec.security;
    let config = &spec.image.config;
    let held = capabilities::of(security, node.capabilities)?;
    let open = security.privileged || security.unmasked_proc;
    let filtered = !security.privileged && security.seccomp == Seccomp::RuntimeDefault;
    let mut read_only_paths = if open { Vec::new() } else { owned(&PROTECTED) };
    if !security.privileged {
        read_only_paths.push("/sys/fs/cgroup".to_owned());
    }
    Ok(ContainerSetup {
        lower: spec.image.layers.iter().rev().cloned().collect(),
        upper: places.upper,
        work: places.work,
        attach_at: places.attach_at,
        read_only_root: security.read_only_root,
        args: command(spec, config)?,
        env: environment(sandbox, spec, config)?,
        cwd: working_dir(spec, config)?,
        user: user(spec, config),
        filesystems: filesystems(security.privileged, node.cgroup_views),
        devices: if security.privileged { host_devices(Path::new("/dev"))? } else { default_devices() },
        masked_paths: if open { Vec::new() } else { owned(&MASKED) },
        read_only_paths,
        binds: binds(spec, places.shm)?,
        capabilities: held,
        no_new_privs: !security.allow_privilege_escalation,
        seccomp: if filtered { seccomp::default_filter(held) } else { Vec::new() },
        private_pid: !sandbox.host_pid,
        oom_score_adj: spec.resources.oom_score_adj,
        cgroup2: placement.cgroup2,
        cgroup_procs: placement.procs,
        oom_events: placement.oom_events,
        log_path: spec.log_path.clone(),
        stdin: spec.stdin,
        terminal: spec.terminal,
    })
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// A command replaces entrypoint and default arguments; arguments alone replace only the default ones.
fn command(spec: &ContainerSpec, config: &ImageConfig) -> Result<Vec<String>, Error> {
    let (program, args) = match (spec.command.is_empty(), spec.args.is_empty()) {
        (false, _) => (&spec.command, &spec.args),
        (true, false) => (&config.entrypoint, &spec.args),
        (true, true) => (&config.entrypoint, &config.cmd),
    };
    let all: Vec<_> = program.iter().chain(args).cloned().collect();
    if all.is_empty() {
        return Err(Error::Invalid(format!("no command specified: image {} has none either", spec.image.reference)));
    }
    Ok(all)
}

/// Later lines win, and each name appears once.
fn environment(sandbox: &SandboxSpec, spec: &ContainerSpec, config: &ImageConfig) -> Result<Vec<String>, Error> {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| match lines.iter_mut().find(|line| line.0 == name) {
        Some(line) => value.clone_into(&mut line.1),
        None => lines.push((name.to_owned(), value.to_owned())),
    };
    for line in &config.env {
        if let Some((name, value)) = line.split_once('=') {
            set(name, value);
        }
    }
    if !sandbox.hostname.is_empty() {
        set("HOSTNAME", &sandbox.hostname);
    }
    if spec.terminal {
        set("TERM", "xterm");
    }
    for (name, value) in &spec.env {
        if name.is_empty() || name.contains('=') {
            return Err(Error::Invalid(format!("{name:?} is no name for an environment variable")));
        }
        set(name, value);
    }
    Ok(lines.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

fn working_dir(spec: &ContainerSpec, config: &ImageConfig) -> Result<String, Error> {
    let wanted = spec.working_dir.as_deref().filter(|dir| !dir.is_empty()).unwrap_or(&config.working_dir);
    let dir = if wanted.is_empty() { "/" } else { wanted };
    if !dir.starts_with('/') {
        return Err(Error::Invalid(format!("working directory {dir:?} is not absolute")));
    }
    clean(Path::new(dir)).map(|path| path.to_string_lossy().into_owned())
}

fn user(spec: &ContainerSpec, config: &ImageConfig) -> UserSetup {
    let security = &spec.security;
    UserSetup {
        name: security.run_as_user.map_or_else(|| config.user.clone(), |uid| uid.to_string()),
        gid: security.run_as_group,
        non_root: security.run_as_non_root,
        groups: security.supplemental_groups.clone(),
        strict_groups: security.strict_groups,
    }
}

fn filesystem(kind: &str, target: &str, options: &[(&str, &str)], attributes: u32) -> FilesystemSetup {
    let option = |(key, value): &(&str, &str)| ((*key).to_owned(), Some((*value).to_owned()));
    FilesystemSetup {
        kind: kind.to_owned(),
        target: target.to_owned(),
        options: options.iter().map(option).collect(),
        attributes,
    }
}

fn filesystems(privileged: bool, views: &[ControllerView]) -> Vec<FilesystemSetup> {
    let quiet = NO_SUID | NO_DEV | NO_EXEC;
    let shown = if privileged { quiet } else { quiet | READ_ONLY };
    let terminals = [("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    let mut list = vec![
        filesystem("proc", "/proc", &[], quiet),
        filesystem("tmpfs", "/dev", &[("mode", "755"), ("size", "65536k")], NO_SUID | STRICT_ACCESS_TIME),
        filesystem("devpts", "/dev/pts", &terminals, NO_SUID | NO_EXEC),
        filesystem("mqueue", "/dev/mqueue", &[], quiet),
        filesystem("sysfs", "/sys", &[], shown),
    ];
    match views {
        [ControllerView { controllers: None, .. }] => list.push(filesystem("cgroup2", "/sys/fs/cgroup", &[], shown)),
        views => {
            list.push(filesystem("tmpfs", "/sys/fs/cgroup", &[("mode", "755"), ("size", "64k")], quiet));
            for view in views {
                let target = format!("/sys/fs/cgroup/{}", view.folder);
                list.push(match &view.controllers {
                    None => filesystem("cgroup2", &target, &[], shown),
                    Some(names) => FilesystemSetup {
                        options: names.iter().map(|name| (name.clone(), None)).collect(),
                        ..filesystem("cgroup", &target, &[], shown)
                    },
                });
            }
        }
    }
    list
}

fn default_devices() -> Vec<DeviceSetup> {
    let device = |(path, major, minor): &(&str, u32, u32)| DeviceSetup {
        path: (*path).to_owned(),
        block: false,
        major: *major,
        minor: *minor,
        mode: 0o666,
    };
    DEVICES.iter().map(device).collect()
}

/// All devices of the node, for a privileged container.
fn host_devices(dev: &Path) -> Result<Vec<DeviceSetup>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(dev.join(&folder)) {
            Ok(entries) => entries,
            // Devices come and go.
            Err(_) if !folder.as_os_str().is_empty() => continue,
            Err(error) => return Err(Error::io("/dev")(error)),
        };
        for entry in entries.flatten() {
            let path = folder.join(entry.file_name());
            let Ok(metadata) = entry.metadata() else { continue };
            let kind = metadata.file_type();
            if kind.is_dir() && !["pts", "shm", "mqueue", "fd"].map(OsString::from).contains(&entry.file_name()) {
                folders.push(path);
            } else if (kind.is_char_device() || kind.is_block_device()) && path != Path::new("ptmx") {
                found.push(DeviceSetup {
                    path: path.to_string_lossy().into_owned(),
                    block: kind.is_block_device(),
                    major: rustix::fs::major(metadata.rdev()),
                    minor: rustix::fs::minor(metadata.rdev()),
                    mode: metadata.mode() & 0o777,
                });
            }
        }
    }
    Ok(found)
}

fn binds(spec: &ContainerSpec, shm: PathBuf) -> Result<Vec<BindSetup>, Error> {
    let shared_memory = BindSetup {
        source: shm,
        target: PathBuf::from("/dev/shm"),
        read_only: false,
        recursive_read_only: false,
        from_host: false,
        to_host: false,
    };
    let mut volumes = Vec::new();
    for mount in &spec.mounts {
        let target = clean(&mount.target)?;
        let at = mount.target.display();
        if target.starts_with("/proc") && !spec.security.privileged {
            return Err(Error::Invalid(format!("mount path {at} is inside /proc")));
        }
        if mount.propagation == Propagation::Bidirectional && !spec.security.privileged {
            let text = format!("mount {at}: bidirectional propagation needs a privileged container");
            return Err(Error::Invalid(text));
        }
        volumes.push(BindSetup {
            source: mount.source.clone(),
            target,
            read_only: mount.read_only,
            recursive_read_only: mount.recursive_read_only,
            from_host: mount.propagation == Propagation::HostToContainer,
            to_host: mount.propagation == Propagation::Bidirectional,
        });
    }
    // A mount over a parent would hide what was mounted below it before.
    volumes.sort_by_key(|bind| bind.target.components().count());
    Ok(std::iter::once(shared_memory).chain(volumes).collect())
}

/// The path without `.` and doubled slashes; `..` would let an image's links decide where it leads.
fn clean(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_absolute() {
        return Err(Error::Invalid(format!("path {} in the container is not absolute", path.display())));
    }
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                return Err(Error::Invalid(format!("path {} in the container contains \"..\"", path.display())));
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(cleaned)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        image::Image,
        runtime::{Mount, Security},
    };

    fn spec() -> ContainerSpec {
        let config = ImageConfig {
            entrypoint: owned(&["/entry"]),
            cmd: owned(&["default"]),
            env: owned(&["PATH=/bin", "A=image"]),
            working_dir: "/srv/".to_owned(),
            user: "web".to_owned(),
            stop_signal: None,
        };
        let image = Image {
            reference: "docker.io/library/test:1".to_owned(),
            id: "sha256:0".to_owned(),
            repo_digest: None,
            size: 0,
            config,
            layers: vec!["/low".into(), "/high".into()],
        };
        ContainerSpec::new("c", 0, Arc::new(image), "/log")
    }

    fn setup(spec: &ContainerSpec) -> Result<ContainerSetup, Error> {
        let sandbox = SandboxSpec { hostname: "pod-0".to_owned(), ..SandboxSpec::default() };
        let places = Places { upper: "/u".into(), work: "/w".into(), attach_at: "/r".into(), shm: "/s".into() };
        let node = Node { capabilities: u64::MAX, cgroup_views: &[] };
        container(&sandbox, spec, &node, places, Placement::default())
    }

    #[test]
    fn command_and_arguments_replace_the_images() {
        let check = |command: &[&str], args: &[&str], expect: &[&str]| {
            let spec = ContainerSpec { command: owned(command), args: owned(args), ..spec() };
            assert_eq!(setup(&spec).unwrap().args, expect, "{command:?} {args:?}");
        };
        check(&[], &[], &["/entry", "default"]);
        check(&[], &["x"], &["/entry", "x"]);
        check(&["/other"], &[], &["/other"]);
        check(&["/other"], &["x"], &["/other", "x"]);
    }

    #[test]
    fn the_environment_is_the_images_then_the_pods() {
        let spec = ContainerSpec { env: vec![("A".into(), "pod".into()), ("B".into(), "b=c".into())], ..spec() };
        assert_eq!(setup(&spec).unwrap().env, ["PATH=/bin", "A=pod", "HOSTNAME=pod-0", "B=b=c"]);
    }

    #[test]
    fn defaults_are_strict_and_privileges_open_them() {
        let plain = setup(&spec()).unwrap();
        assert_eq!(plain.lower, [PathBuf::from("/high"), PathBuf::from("/low")]);
        assert_eq!((plain.cwd.as_str(), plain.user.name.as_str()), ("/srv", "web"));
        assert!(plain.masked_paths.contains(&"/proc/kcore".to_owned()));
        assert!(!plain.seccomp.is_empty() && plain.private_pid && !plain.no_new_privs);
        let security = Security { privileged: true, run_as_user: Some(7), ..Security::default() };
        let privileged = setup(&ContainerSpec { security, ..spec() }).unwrap();
        assert!(privileged.masked_paths.is_empty() && privileged.seccomp.is_empty());
        assert_eq!((privileged.capabilities, privileged.user.name.as_str()), (u64::MAX, "7"));
        assert!(privileged.devices.len() > plain.devices.len());
    }

    #[test]
    fn volumes_are_mounted_parents_first_and_not_over_proc() {
        let mounts = vec![Mount::new("/2", "/a/b/c", true), Mount::new("/1", "/a//b/", false)];
        let found = setup(&ContainerSpec { mounts, ..spec() }).unwrap().binds;
        let targets: Vec<_> = found.iter().map(|bind| bind.target.to_str().unwrap()).collect();
        assert_eq!(targets, ["/dev/shm", "/a/b", "/a/b/c"]);
        for target in ["relative", "/a/../b", "/proc/sys"] {
            let mounts = vec![Mount::new("/1", target, false)];
            assert!(matches!(setup(&ContainerSpec { mounts, ..spec() }), Err(Error::Invalid(_))), "{target}");
        }
    }
}
