//! The container's side of a start: from the clone to the exec. So too for a further program in a container that runs.
//!
//! Only system calls on data that [`Plan`] and [`Bounds`] prepared: no allocation, no lock, no formatting. A failure is sent to the shim
//! as eight bytes, and the shim finds the words.

use std::{
    convert::Infallible,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{CWD, FileType, Gid, Mode, OFlags, Uid},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags},
    thread::{CapabilitySet, CapabilitySets, ThreadNameSpaceType, UnshareFlags},
};

use crate::{
    plan::{Bounds, Device, Filesystem, Plan, Program},
    root::{self, Links},
    sys, terminal,
};

/// What was being done when a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Wait,
    Namespaces,
    Root,
    Filesystem,
    Device,
    Mask,
    ReadOnly,
    Bind,
    Pivot,
    Terminal,
    Streams,
    Session,
    Privileges,
    User,
    Filter,
    WorkingDirectory,
    Exec,
}

const STEPS: [Step; 17] = [
    Step::Wait,
    Step::Namespaces,
    Step::Root,
    Step::Filesystem,
    Step::Device,
    Step::Mask,
    Step::ReadOnly,
    Step::Bind,
    Step::Pivot,
    Step::Terminal,
    Step::Streams,
    Step::Session,
    Step::Privileges,
    Step::User,
    Step::Filter,
    Step::WorkingDirectory,
    Step::Exec,
];

/// A failed start, small enough for one write to a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) step: Step,
    /// Which one of the step's list.
    pub(crate) index: u16,
    pub(crate) errno: i32,
}

impl Fault {
    /// Length of [`Fault::encode`].
    pub(crate) const LEN: usize = 8;

    fn encode(self) -> [u8; Self::LEN] {
        let [i0, i1] = self.index.to_ne_bytes();
        let [e0, e1, e2, e3] = self.errno.to_ne_bytes();
        [self.step as u8, 0, i0, i1, e0, e1, e2, e3]
    }

    /// Reads what [`Fault::encode`] wrote.
    pub(crate) fn decode(bytes: [u8; Self::LEN]) -> Option<Self> {
        let [step, _, i0, i1, e0, e1, e2, e3] = bytes;
        Some(Self {
            step: *STEPS.get(usize::from(step))?,
            index: u16::from_ne_bytes([i0, i1]),
            errno: i32::from_ne_bytes([e0, e1, e2, e3]),
        })
    }
}

/// The descriptors a new process begins with.
pub(crate) struct Ends {
    /// Readable when the shim has put the process into its control groups.
    pub(crate) go: OwnedFd,
    /// Takes a [`Fault`]; closed by a successful exec.
    pub(crate) fault: OwnedFd,
    /// Standard input, output and error.
    pub(crate) stdio: [OwnedFd; 3],
    /// Takes the near end of the terminal that the process makes for itself, in place of `stdio`.
    pub(crate) console: Option<OwnedFd>,
}

/// A further program in a container.
pub(crate) struct Join<'a> {
    /// The container's first process.
    pub(crate) container: BorrowedFd<'a>,
    pub(crate) bounds: &'a Bounds,
    pub(crate) program: &'a Program,
    /// The standard streams are a terminal.
    pub(crate) terminal: bool,
}

/// Becomes the container's program, or reports why not and ends.
pub(crate) fn run(plan: &Plan, ends: &Ends) -> ! {
    let Err(fault) = enter(plan, ends);
    give_up(fault, ends)
}

/// Becomes a further program of a container, or reports why not and ends.
pub(crate) fn join(join: &Join<'_>, ends: &Ends) -> ! {
    let Err(fault) = enter_running(join, ends);
    give_up(fault, ends)
}

fn give_up(fault: Fault, ends: &Ends) -> ! {
    let pipe = if fault.step as u8 > Step::Streams as u8 { sys::borrow(FAULT) } else { ends.fault.as_fd() };
    // Nothing is left to do when even this fails: the shim sees the process end.
    rustix::io::write(pipe, &fault.encode()).ok();
    sys::exit_now(127)
}

/// Number of the fault pipe once the streams are in place.
const FAULT: i32 = 3;

fn at(step: Step, index: usize) -> impl Fn(Errno) -> Fault {
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    move |errno| Fault { step, index, errno: errno.raw_os_error() }
}

/// Waits until the shim has put the process into its control groups.
fn wait(ends: &Ends) -> Result<(), Fault> {
    let mut byte = [0_u8; 1];
    match rustix::io::read(&ends.go, &mut byte) {
        Ok(1) => Ok(()),
        Ok(_) => Err(at(Step::Wait, 0)(Errno::PIPE)),
        Err(errno) => Err(at(Step::Wait, 0)(errno)),
    }
}

fn enter(plan: &Plan, ends: &Ends) -> Result<Infallible, Fault> {
    sys::reset_signals();
    wait(ends)?;
    // Only now, so that the container's root of the group hierarchy is its own group.
    sys::unshare(UnshareFlags::NEWCGROUP).map_err(at(Step::Namespaces, 0))?;
    rustix::process::setsid().map_err(at(Step::Namespaces, 1))?;
    rustix::process::umask(Mode::empty());
    build_root(plan)?;
    pivot(plan).map_err(at(Step::Pivot, 0))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let own = ends.console.as_ref().map(|console| terminal::open(console.as_fd(), plan.bounds.identity.uid));
    let own = own.transpose().map_err(at(Step::Terminal, 0))?;
    match &own {
        Some(own) => streams([own, own, own], &ends.fault),
        None => streams(ends.stdio.each_ref(), &ends.fault),
    }
    .map_err(at(Step::Streams, 0))?;
    if own.is_some() {
        rustix::process::ioctl_tiocsctty(sys::borrow(0)).map_err(at(Step::Session, 0))?;
    }
    finish(&plan.bounds, &plan.program)
}

fn enter_running(join: &Join<'_>, ends: &Ends) -> Result<Infallible, Fault> {
    sys::reset_signals();
    wait(ends)?;
    // The process table was joined at the clone; network, host name and shared memory are the shim's own.
    let spaces = ThreadNameSpaceType::MOUNT | ThreadNameSpaceType::CONTROL_GROUP;
    rustix::thread::move_into_thread_name_spaces(join.container, spaces).map_err(at(Step::Namespaces, 0))?;
    rustix::process::setsid().map_err(at(Step::Namespaces, 1))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    streams(ends.stdio.each_ref(), &ends.fault).map_err(at(Step::Streams, 0))?;
    if join.terminal {
        rustix::process::ioctl_tiocsctty(sys::borrow(0)).map_err(at(Step::Session, 0))?;
    }
    finish(join.bounds, join.program)
}

fn finish(bounds: &Bounds, program: &Program) -> Result<Infallible, Fault> {
    // Still as root: the working directory may be another user's.
    rustix::process::chdir(&bounds.cwd).map_err(at(Step::WorkingDirectory, 0))?;
    become_user(bounds)?;
    execute(program)
}

fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", target, c"", flags)
}

fn build_root(plan: &Plan) -> Result<(), Fault> {
    let root = plan.root.as_fd();
    sys::mount_setattr(CWD, c"/", 0, libc::MS_PRIVATE, true).map_err(at(Step::Root, 0))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(root, c"", CWD, &plan.attach_at, flags).map_err(at(Step::Root, 1))?;
    for (index, filesystem) in plan.filesystems.iter().enumerate() {
        make_filesystem(root, filesystem).map_err(at(Step::Filesystem, index))?;
    }
    for (index, device) in plan.devices.iter().enumerate() {
        make_device(root, device).map_err(at(Step::Device, index))?;
    }
    make_device_links(root).map_err(at(Step::Device, plan.devices.len()))?;
    for (index, path) in plan.masked.iter().enumerate() {
        mask(root, path).map_err(at(Step::Mask, index))?;
    }
    for (index, path) in plan.read_only.iter().enumerate() {
        protect(root, path).map_err(at(Step::ReadOnly, index))?;
    }
    for (index, bind) in plan.binds.iter().enumerate() {
        let target = bind.target.ensure(root, Links::Follow).map_err(at(Step::Bind, index))?;
        attach(bind.mount.as_fd(), target.as_fd()).map_err(at(Step::Bind, index))?;
    }
    match plan.cwd.ensure(root, Links::Follow) {
        // In a read-only volume nothing can be made; the change of directory will say so.
        Ok(_) | Err(Errno::ROFS) => {}
        Err(errno) => return Err(at(Step::Root, 3)(errno)),
    }
    if plan.read_only_root {
        sys::mount_setattr(root, c"", sys::ATTR_READ_ONLY, 0, false).map_err(at(Step::Root, 2))?;
    }
    Ok(())
}

fn make_filesystem(root: BorrowedFd<'_>, filesystem: &Filesystem) -> rustix::io::Result<()> {
    let target = filesystem.target.ensure(root, Links::Refuse)?;
    let context = rustix::mount::fsopen(&filesystem.kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in &filesystem.options {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(&context, key, value)?,
            None => rustix::mount::fsconfig_set_flag(&context, key)?,
        }
    }
    rustix::mount::fsconfig_create(&context)?;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, filesystem.attributes)?;
    attach(mount.as_fd(), target.as_fd())
}

fn make_device(root: BorrowedFd<'_>, device: &Device) -> rustix::io::Result<()> {
    let parent = device.parent.ensure(root, Links::Refuse)?;
    let mode = Mode::from_raw_mode(device.mode);
    rustix::fs::mknodat(&parent, &device.name, device.kind, mode, device.number)
}

fn make_device_links(root: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let dev = root::open(root, c"/dev", OFlags::PATH | OFlags::DIRECTORY, Links::Refuse)?;
    for (to, name) in [
        (c"/proc/self/fd", c"fd"),
        (c"/proc/self/fd/0", c"stdin"),
        (c"/proc/self/fd/1", c"stdout"),
        (c"/proc/self/fd/2", c"stderr"),
        (c"pts/ptmx", c"ptmx"),
    ] {
        rustix::fs::symlinkat(to, &dev, name)?;
    }
    Ok(())
}

/// A path to hide or protect; one that does not exist, or is below a file, needs neither.
fn existing(root: BorrowedFd<'_>, path: &std::ffi::CStr) -> rustix::io::Result<Option<OwnedFd>> {
    match root::open(root, path, OFlags::PATH, Links::Refuse) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

fn mask(root: BorrowedFd<'_>, path: &std::ffi::CStr) -> rustix::io::Result<()> {
    let Some(target) = existing(root, path)? else { return Ok(()) };
    let status = rustix::fs::fstat(&target)?;
    let cover = if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        let context = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_flag(&context, c"ro")?;
        rustix::mount::fsconfig_create(&context)?;
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)?
    } else {
        // The node's, before the pivot: an image's /dev/null may be anything.
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let null = rustix::mount::open_tree(CWD, c"/dev/null", flags)?;
        if rustix::fs::fstat(&null)?.st_rdev != rustix::fs::makedev(1, 3) {
            return Err(Errno::NODEV);
        }
        null
    };
    attach(cover.as_fd(), target.as_fd())
}

fn protect(root: BorrowedFd<'_>, path: &std::ffi::CStr) -> rustix::io::Result<()> {
    let Some(target) = existing(root, path)? else { return Ok(()) };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let copy = rustix::mount::open_tree(&target, c"", flags)?;
    sys::mount_setattr(copy.as_fd(), c"", sys::ATTR_READ_ONLY, 0, true)?;
    attach(copy.as_fd(), target.as_fd())
}

fn pivot(plan: &Plan) -> rustix::io::Result<()> {
    rustix::process::fchdir(&plan.root)?;
    rustix::process::pivot_root(c".", c".")?;
    // The old root is now stacked on the new one; taking it away leaves no way back.
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")
}

/// Leaves exactly the three standard streams and the fault pipe open, so that no path below `/proc/self/fd` leads out.
fn streams(stdio: [&OwnedFd; 3], fault: &OwnedFd) -> rustix::io::Result<()> {
    for (number, end) in (0..).zip(stdio) {
        sys::duplicate_to(end.as_fd(), number, false)?;
    }
    sys::duplicate_to(fault.as_fd(), FAULT, true)?;
    sys::close_from(FAULT.cast_unsigned() + 1)
}

fn become_user(bounds: &Bounds) -> Result<(), Fault> {
    let privileges = |index| at(Step::Privileges, index);
    if bounds.no_new_privs {
        rustix::thread::set_no_new_privs(true).map_err(privileges(0))?;
    } else {
        // Without no_new_privs the filter needs a capability that is about to be dropped.
        filter(bounds)?;
    }
    for number in 0..64_u32 {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if bounds.capabilities & (1 << number) != 0 {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // The kernel knows no capability of this number, nor of a greater one.
            Err(Errno::INVAL) => break,
            result => result.map_err(privileges(1))?,
        }
    }
    let groups = &bounds.identity.groups;
    sys::set_groups(groups).map_err(at(Step::User, 0))?;
    let gid = Gid::from_raw(bounds.identity.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(at(Step::User, 1))?;
    let uid = Uid::from_raw(bounds.identity.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(at(Step::User, 2))?;
    let held = if bounds.identity.uid == 0 { bounds.capabilities } else { 0 };
    let held = CapabilitySet::from_bits_retain(held);
    let sets = CapabilitySets { effective: held, permitted: held, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(privileges(2))?;
    // After the change of user, which would clear it. A container must not outlive its shim: nobody would know of it.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(privileges(3))?;
    if bounds.no_new_privs { filter(bounds) } else { Ok(()) }
}

fn filter(bounds: &Bounds) -> Result<(), Fault> {
    if bounds.filter.is_empty() { Ok(()) } else { sys::install_filter(&bounds.filter).map_err(at(Step::Filter, 0)) }
}

/// Tries the program's possible places as a shell does: a place without it is skipped, one that refuses is remembered.
fn execute(program: &Program) -> Result<Infallible, Fault> {
    let mut worst = libc::ENOENT;
    for candidate in &program.candidates {
        match sys::execve(candidate, &program.args, &program.env) {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => worst = libc::EACCES,
            other => return Err(Fault { step: Step::Exec, index: 0, errno: other }),
        }
    }
    Err(Fault { step: Step::Exec, index: 0, errno: worst })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_survive_the_pipe() {
        for (number, step) in STEPS.into_iter().enumerate() {
            assert_eq!(step as usize, number);
            let fault = Fault { step, index: 7, errno: libc::EACCES };
            assert_eq!(Fault::decode(fault.encode()), Some(fault));
        }
        assert_eq!(Fault::decode([255; 8]), None);
    }
}
