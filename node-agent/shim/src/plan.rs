//! Everything a new container needs, made ready before the clone: after it only system calls are allowed.

use std::{
    ffi::CString,
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, OFlags},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags},
};

use crate::{
    protocol::{BindSetup, ContainerSetup, Failure, FilesystemSetup},
    root::{self, Links, Target},
    sys::{self, PointerList},
    users::{self, Identity},
};

/// Account files longer than this are cut; a real one has a few kilobytes.
const ACCOUNT_FILE_MAX: u64 = 1024 * 1024;
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a container cannot be started.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) failure: Failure,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn create(message: impl Into<String>) -> Self {
        Self { failure: Failure::Create, message: message.into() }
    }
}

/// A prepared start.
pub(crate) struct Plan {
    /// The root file system, mounted nowhere yet.
    pub(crate) root: OwnedFd,
    pub(crate) attach_at: CString,
    pub(crate) read_only_root: bool,
    pub(crate) filesystems: Vec<Filesystem>,
    pub(crate) devices: Vec<Device>,
    pub(crate) masked: Vec<CString>,
    pub(crate) read_only: Vec<CString>,
    pub(crate) binds: Vec<Bind>,
    pub(crate) cwd: Target,
    pub(crate) bounds: Bounds,
    pub(crate) program: Program,
}

/// What every process of a container is and may, its first one and those that are run in it later.
pub(crate) struct Bounds {
    pub(crate) identity: Identity,
    pub(crate) capabilities: u64,
    pub(crate) no_new_privs: bool,
    pub(crate) filter: Vec<libc::sock_filter>,
    /// The working directory.
    pub(crate) cwd: CString,
    env: Vec<String>,
}

impl Bounds {
    /// A further program within the same bounds; lines of `env` replace the container's.
    pub(crate) fn program(&self, args: &[String], env: &[String]) -> Result<Program, Refusal> {
        let name = |line: &str| line.split('=').next().map(str::to_owned);
        let replaced: Vec<_> = env.iter().map(|line| name(line)).collect();
        let kept = self.env.iter().filter(|line| !replaced.contains(&name(line)));
        let env: Vec<String> = kept.chain(env).cloned().collect();
        Program::new(args, &env)
    }
}

/// A program to execute.
pub(crate) struct Program {
    /// Its possible paths, in the order of `$PATH`.
    pub(crate) candidates: Vec<CString>,
    pub(crate) args: PointerList,
    pub(crate) env: PointerList,
    /// What `args` and `env` point to.
    _strings: [Vec<CString>; 2],
}

impl Program {
    fn new(args: &[String], env: &[String]) -> Result<Self, Refusal> {
        let strings = [c_strings(args)?, c_strings(env)?];
        Ok(Self {
            candidates: candidates(args, env)?,
            args: PointerList::new(&strings[0]),
            env: PointerList::new(&strings[1]),
            _strings: strings,
        })
    }
}

/// A file system to make inside the container's namespaces.
pub(crate) struct Filesystem {
    pub(crate) kind: CString,
    pub(crate) target: Target,
    pub(crate) options: Vec<(CString, Option<CString>)>,
    pub(crate) attributes: MountAttrFlags,
}

/// A device node to make.
pub(crate) struct Device {
    pub(crate) parent: Target,
    pub(crate) name: CString,
    pub(crate) kind: FileType,
    pub(crate) number: u64,
    pub(crate) mode: u32,
}

/// A detached mount and the place for it.
pub(crate) struct Bind {
    pub(crate) mount: OwnedFd,
    pub(crate) target: Target,
    folder: bool,
}

impl Plan {
    pub(crate) fn new(setup: &ContainerSetup) -> Result<Self, Refusal> {
        let root = overlay(setup)?;
        let identity = identity(setup, root.as_fd())?;
        let env = environment(setup, &identity);
        let binds = setup.binds.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        for (bind, made) in setup.binds.iter().zip(&binds) {
            settle(root.as_fd(), &bind.target, made.folder)?;
        }
        settle(root.as_fd(), Path::new(&setup.cwd), true)?;
        let program = Program::new(&setup.args, &env)?;
        Ok(Self {
            attach_at: c_string(setup.attach_at.as_os_str().as_bytes())?,
            read_only_root: setup.read_only_root,
            filesystems: setup.filesystems.iter().map(filesystem).collect::<Result<_, _>>()?,
            devices: setup.devices.iter().map(device).collect::<Result<_, _>>()?,
            masked: c_strings(&setup.masked_paths)?,
            read_only: c_strings(&setup.read_only_paths)?,
            binds,
            cwd: target(Path::new(&setup.cwd), true)?,
            bounds: Bounds {
                capabilities: setup.capabilities,
                no_new_privs: setup.no_new_privs,
                filter: setup.seccomp.iter().map(|packed| unpack(*packed)).collect(),
                cwd: c_string(setup.cwd.as_bytes())?,
                identity,
                env,
            },
            program,
            root,
        })
    }
}

fn unpack(packed: u64) -> libc::sock_filter {
    let [c1, c0, jt, jf, k @ ..] = packed.to_be_bytes();
    libc::sock_filter { code: u16::from_be_bytes([c1, c0]), jt, jf, k: u32::from_be_bytes(k) }
}

fn c_string(bytes: &[u8]) -> Result<CString, Refusal> {
    CString::new(bytes).map_err(|_| Refusal {
        failure: Failure::Config,
        message: format!("{:?} contains a zero byte", String::from_utf8_lossy(bytes)),
    })
}

fn c_strings(strings: &[String]) -> Result<Vec<CString>, Refusal> {
    strings.iter().map(|string| c_string(string.as_bytes())).collect()
}

fn target(path: &Path, folder: bool) -> Result<Target, Refusal> {
    Target::new(path, folder).map_err(|message| Refusal { failure: Failure::Config, message })
}

/// Mounts the layers as a file system that is attached nowhere, so a crash leaves nothing to unmount.
fn overlay(setup: &ContainerSetup) -> Result<OwnedFd, Refusal> {
    match overlay_of_paths(setup) {
        // Kernels before 6.8 do not know the option for one layer.
        Err((rustix::io::Errno::INVAL, _)) => overlay_of_numbers(setup),
        result => result,
    }
    .map_err(|(error, what)| Refusal::create(format!("mounting the root file system: {what}: {error}")))
}

/// An error and what was being done.
type Failed = (rustix::io::Errno, String);

fn new_overlay() -> Result<OwnedFd, Failed> {
    rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|error| (error, "overlay".to_owned()))
}

fn set(context: &OwnedFd, key: &str, value: &Path) -> Result<(), Failed> {
    rustix::mount::fsconfig_set_string(context, key, value)
        .map_err(|error| (error, format!("{key} {}", value.display())))
}

fn mounted(context: &OwnedFd) -> Result<OwnedFd, Failed> {
    rustix::mount::fsconfig_create(context).map_err(|error| (error, "create".to_owned()))?;
    rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .map_err(|error| (error, "mount".to_owned()))
}

fn overlay_of_paths(setup: &ContainerSetup) -> Result<OwnedFd, Failed> {
    let context = new_overlay()?;
    for layer in &setup.lower {
        set(&context, "lowerdir+", layer)?;
    }
    set(&context, "upperdir", &setup.upper)?;
    set(&context, "workdir", &setup.work)?;
    mounted(&context)
}

/// For older kernels, whose option for all layers together takes 255 bytes: every folder is opened, and named by its
/// number relative to the folder of open files.
fn overlay_of_numbers(setup: &ContainerSetup) -> Result<OwnedFd, Failed> {
    let open = |path: &PathBuf| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(|error| (error, path.display().to_string()))
    };
    let lower = setup.lower.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let (upper, work) = (open(&setup.upper)?, open(&setup.work)?);
    let number = |folder: &OwnedFd| folder.as_raw_fd().to_string();
    let list = lower.iter().map(number).collect::<Vec<_>>().join(":");
    let context = new_overlay()?;
    let place = |path: &str| rustix::process::chdir(path).map_err(|error| (error, path.to_owned()));
    place("/proc/self/fd")?;
    let result = [("lowerdir", list), ("upperdir", number(&upper)), ("workdir", number(&work))]
        .iter()
        .try_for_each(|(key, value)| set(&context, key, Path::new(value)))
        .and_then(|()| mounted(&context));
    place("/")?;
    result
}

/// Prepares the place of a path in the image. Below the file systems that are made later, the places are made there.
fn settle(root: BorrowedFd<'_>, path: &Path, folder: bool) -> Result<(), Refusal> {
    if ["/dev", "/proc", "/sys"].iter().any(|made| path.starts_with(made)) {
        return Ok(());
    }
    let failed = |error| Refusal::create(format!("making {} in the container: {error}", path.display()));
    root::settle(root, path, folder).map_err(failed)
}

fn identity(setup: &ContainerSetup, root: BorrowedFd<'_>) -> Result<Identity, Refusal> {
    let read = |path: &std::ffi::CStr| {
        let mut text = Vec::new();
        if let Ok(file) = root::open(root, path, OFlags::RDONLY | OFlags::NONBLOCK, Links::Follow) {
            // A file that cannot be read to its end is as good as its beginning: names that are missing are reported.
            drop(File::from(file).take(ACCOUNT_FILE_MAX).read_to_end(&mut text));
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    users::resolve(&setup.user, &read(c"/etc/passwd"), &read(c"/etc/group"))
        .map_err(|message| Refusal { failure: Failure::Config, message })
}

fn environment(setup: &ContainerSetup, identity: &Identity) -> Vec<String> {
    let mut env = setup.env.clone();
    for (name, value) in [("PATH", DEFAULT_PATH), ("HOME", &identity.home)] {
        let prefix = format!("{name}=");
        if !env.iter().any(|line| line.starts_with(&prefix)) {
            env.push(format!("{prefix}{value}"));
        }
    }
    env
}

fn candidates(args: &[String], env: &[String]) -> Result<Vec<CString>, Refusal> {
    let Some(program) = args.first().filter(|program| !program.is_empty()) else {
        return Err(Refusal { failure: Failure::Config, message: "no command specified".to_owned() });
    };
    if program.contains('/') {
        return Ok(vec![c_string(program.as_bytes())?]);
    }
    let path = env.iter().rev().find_map(|line| line.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let folders = path.split(':').map(|folder| if folder.is_empty() { "." } else { folder });
    folders.map(|folder| c_string(format!("{folder}/{program}").as_bytes())).collect()
}

fn filesystem(setup: &FilesystemSetup) -> Result<Filesystem, Refusal> {
    let option = |(key, value): &(String, Option<String>)| {
        Ok((c_string(key.as_bytes())?, value.as_ref().map(|value| c_string(value.as_bytes())).transpose()?))
    };
    Ok(Filesystem {
        kind: c_string(setup.kind.as_bytes())?,
        target: target(Path::new(&setup.target), true)?,
        options: setup.options.iter().map(option).collect::<Result<_, Refusal>>()?,
        attributes: MountAttrFlags::from_bits_retain(setup.attributes),
    })
}

fn device(setup: &crate::protocol::DeviceSetup) -> Result<Device, Refusal> {
    let path = Path::new("/dev").join(&setup.path);
    Ok(Device {
        parent: target(path.parent().unwrap_or(Path::new("/dev")), true)?,
        name: c_string(path.file_name().unwrap_or_default().as_bytes())?,
        kind: if setup.block { FileType::BlockDevice } else { FileType::CharacterDevice },
        number: rustix::fs::makedev(setup.major, setup.minor),
        mode: setup.mode,
    })
}

fn bind(setup: &BindSetup) -> Result<Bind, Refusal> {
    let at = setup.target.display();
    let failed =
        |error: rustix::io::Errno| Refusal::create(format!("mounting {} at {at}: {error}", setup.source.display()));
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let mount = rustix::mount::open_tree(CWD, setup.source.as_path(), flags).map_err(failed)?;
    let propagation = match (setup.from_host, setup.to_host) {
        (_, true) => libc::MS_SHARED,
        (true, false) => libc::MS_SLAVE,
        (false, false) => libc::MS_PRIVATE,
    };
    sys::mount_setattr(mount.as_fd(), c"", 0, propagation, true).map_err(failed)?;
    if setup.read_only {
        let recursive = setup.recursive_read_only;
        sys::mount_setattr(mount.as_fd(), c"", sys::ATTR_READ_ONLY, 0, recursive).map_err(failed)?;
    }
    let status = rustix::fs::statat(&mount, "", AtFlags::EMPTY_PATH).map_err(failed)?;
    let folder = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
    Ok(Bind { mount, target: target(&setup.target, folder)?, folder })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_searched_along_the_containers_path() {
        let check = |program: &str, env: &[&str], expect: &[&str]| {
            let env: Vec<_> = env.iter().map(|line| (*line).to_owned()).collect();
            let found = candidates(&[program.to_owned()], &env).unwrap();
            assert_eq!(found.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>(), expect);
        };
        check("/bin/a", &["PATH=/x"], &["/bin/a"]);
        check("./a", &[], &["./a"]);
        check("a", &["PATH=/x:/y"], &["/x/a", "/y/a"]);
        check("a", &["PATH=/x", "PATH=/z:"], &["/z/a", "./a"]);
        assert!(candidates(&[], &[]).is_err());
    }

    #[test]
    fn layers_stack_by_path_and_by_number() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = std::env::temp_dir().join(format!("shim-overlay-{}", std::process::id()));
        let mut setup: ContainerSetup = serde_json::from_value(serde_json::json!({
            "lower": [], "upper": "", "work": "", "attach_at": "", "read_only_root": false, "args": [], "env": [],
            "cwd": "/", "user": {"name": "", "gid": null, "non_root": false, "groups": [], "strict_groups": false},
            "filesystems": [], "devices": [], "masked_paths": [], "read_only_paths": [], "binds": [],
            "capabilities": 0, "no_new_privs": false, "seccomp": [], "private_pid": true, "oom_score_adj": null,
            "cgroup2": null, "cgroup_procs": [], "oom_events": null, "log_path": "",
        }))
        .unwrap();
        for (name, mount) in [("paths", overlay_of_paths as fn(&_) -> _), ("numbers", overlay_of_numbers)] {
            let base = dir.join(name);
            let folder = |layer: &str| {
                std::fs::create_dir_all(base.join(layer)).unwrap();
                base.join(layer)
            };
            setup.lower = (0..40).map(|layer| folder(&format!("layer-{layer}"))).collect();
            (setup.upper, setup.work) = (folder("upper"), folder("work"));
            std::fs::write(setup.lower[0].join("file"), "top").unwrap();
            std::fs::write(setup.lower[39].join("file"), "bottom").unwrap();
            std::fs::write(setup.lower[39].join("deep"), "x").unwrap();
            let root: OwnedFd = mount(&setup).unwrap();
            let read = |path: &std::ffi::CStr| {
                let mut text = String::new();
                let file = root::open(root.as_fd(), path, OFlags::RDONLY, Links::Follow).unwrap();
                File::from(file).read_to_string(&mut text).unwrap();
                text
            };
            assert_eq!((read(c"file").as_str(), read(c"/deep").as_str()), ("top", "x"), "by {name}");
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn filter_instructions_unpack() {
        let found = unpack(0x0015_0203_c000_003e);
        assert_eq!((found.code, found.jt, found.jf, found.k), (0x15, 2, 3, 0xc000_003e));
    }
}
