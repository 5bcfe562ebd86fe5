//! The system calls that no safe wrapper offers. The only `unsafe` code of the shim.
#![allow(unsafe_code, reason = "the one place for it; each block says why it is sound")]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_ulong},
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// `MOUNT_ATTR_RDONLY` of mount_setattr(2).
pub(crate) const ATTR_READ_ONLY: u64 = 1;

/// Flag of clone3(2) that the C library's header truncates.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The two sides of [`clone3`].
pub(crate) enum Cloned {
    /// In the new process.
    Child,
    /// In the shim.
    Parent {
        /// Process id of the child.
        pid: u32,
        /// A descriptor of the child.
        pidfd: OwnedFd,
    },
}

/// Makes a process in new namespaces, in the cgroup2 group `cgroup` if given.
pub(crate) fn clone3(flags: c_int, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all-zero is a valid value of this plain C structure.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from((flags | libc::CLONE_PIDFD).cast_unsigned());
    args.pidfd = ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: `args` is initialised and its size is passed; no memory is shared with the child (no CLONE_VM), and the
    // shim has one thread, so the child finds every lock free. `pidfd` outlives the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, ptr::from_mut(&mut args), size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Cloned::Child),
        pid => {
            let pid = u32::try_from(pid).map_err(io::Error::other)?;
            // SAFETY: with CLONE_PIDFD the kernel stored a new descriptor there, which nobody else owns.
            Ok(Cloned::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
        }
    }
}

/// Pointers to `strings` with the null at the end that execve(2) wants. They live as long as `strings`.
pub(crate) struct PointerList(Vec<*const c_char>);

impl PointerList {
    pub(crate) fn new(strings: &[CString]) -> Self {
        Self(strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect())
    }
}

/// Executes a program; returns only the error.
///
/// The strings behind both lists must still live.
pub(crate) fn execve(path: &CStr, args: &PointerList, env: &PointerList) -> c_int {
    // SAFETY: `path` is a C string; both lists end in null and point to C strings that the caller keeps alive.
    unsafe { libc::execve(path.as_ptr(), args.0.as_ptr(), env.0.as_ptr()) };
    errno()
}

/// Ends the process without running any destructor.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(code) }
}

fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// Changes flags and propagation of a mount given by descriptor.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    path: &CStr,
    set: u64,
    propagation: c_ulong,
    recursive: bool,
) -> rustix::io::Result<()> {
    // SAFETY: all-zero is a valid value of this plain C structure.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = set;
    attributes.propagation = propagation;
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the descriptor is open, the path is a C string, the structure is initialised and its size is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            path.as_ptr(),
            flags,
            ptr::from_mut(&mut attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(rustix::io::Errno::from_raw_os_error(errno())) }
}

/// Installs a system call filter for this process and its children.
pub(crate) fn install_filter(filter: &[libc::sock_filter]) -> rustix::io::Result<()> {
    let Ok(len) = u16::try_from(filter.len()) else {
        return Err(rustix::io::Errno::TOOBIG);
    };
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: `program` describes `filter` exactly; the kernel copies it during the call.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::c_ulong::from(libc::SECCOMP_MODE_FILTER),
            ptr::from_ref(&program),
            0 as c_ulong,
            0 as c_ulong,
        )
    };
    if result == 0 { Ok(()) } else { Err(rustix::io::Errno::from_raw_os_error(errno())) }
}

/// Sends a signal by number: unlike the safe wrapper's names, numbers include the real-time signals.
pub(crate) fn send_signal(process: BorrowedFd<'_>, number: c_int) -> rustix::io::Result<()> {
    // SAFETY: the descriptor is open; without a siginfo the kernel makes one.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), number, ptr::null::<libc::siginfo_t>(), 0)
    };
    if result == 0 { Ok(()) } else { Err(rustix::io::Errno::from_raw_os_error(errno())) }
}

/// Blocks SIGCHLD and returns a descriptor that is readable when one came.
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before use; signalfd returns a new descriptor or -1.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Gives a new program the signal state it expects: nothing blocked, nothing ignored.
pub(crate) fn reset_signals() {
    // SAFETY: the set is initialised by sigemptyset; SIG_DFL is a valid disposition.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut());
        // The Rust runtime ignores SIGPIPE, and ignored signals stay ignored in a new program.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// Makes `fd` the descriptor number `number`, closed at exec if `close_on_exec`.
pub(crate) fn duplicate_to(fd: BorrowedFd<'_>, number: RawFd, close_on_exec: bool) -> rustix::io::Result<()> {
    let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: dup3 works on numbers; the caller gives up whatever owned `number` before.
    let result = unsafe {
        if fd.as_raw_fd() == number {
            libc::fcntl(number, libc::F_SETFD, if close_on_exec { libc::FD_CLOEXEC } else { 0 })
        } else {
            libc::dup3(fd.as_raw_fd(), number, flags)
        }
    };
    if result >= 0 { Ok(()) } else { Err(rustix::io::Errno::from_raw_os_error(errno())) }
}

/// The far end of the terminal whose near end this is, by the kernel's own reference and not by a path.
pub(crate) fn far_end(near: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let unlock: c_int = 0;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the first call reads an integer that outlives it; the second takes flags and returns a new descriptor,
    // which nobody else owns, or -1.
    unsafe {
        if libc::ioctl(near.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock) != 0 {
            return Err(rustix::io::Errno::from_raw_os_error(errno()));
        }
        let far = libc::ioctl(near.as_raw_fd(), libc::TIOCGPTPEER, flags);
        if far < 0 { Err(rustix::io::Errno::from_raw_os_error(errno())) } else { Ok(OwnedFd::from_raw_fd(far)) }
    }
}

/// Closes every descriptor from `first` on. Whatever owned them must never be used or dropped again, which holds for a
/// process that is about to execute another program or to end by [`exit_now`].
pub(crate) fn close_from(first: u32) -> rustix::io::Result<()> {
    // SAFETY: see above: no owner of these numbers acts on them afterwards.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(rustix::io::Errno::from_raw_os_error(errno())) }
}

/// A borrowed view of a descriptor number that the caller knows to be open.
pub(crate) fn borrow(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: used for numbers 0 to 3, which this program sets up itself and keeps open until exec.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Moves this process into new namespaces.
pub(crate) fn unshare(flags: rustix::thread::UnshareFlags) -> rustix::io::Result<()> {
    debug_assert!(!flags.contains(rustix::thread::UnshareFlags::FILES), "owners of descriptors would be fooled");
    // SAFETY: only unsharing the descriptor table could break owners of descriptors.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Sets the additional groups.
pub(crate) fn set_groups(groups: &[u32]) -> rustix::io::Result<()> {
    // SAFETY: the pointer and the length describe `groups`. The raw call is right for a process with one thread, and
    // unlike a list of another type it needs no copy.
    let result = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(rustix::io::Errno::from_raw_os_error(errno())) }
}
