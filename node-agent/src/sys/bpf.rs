//! bpf(2): loading a program that answers for device access, and tying it to a control group.
#![allow(unsafe_code, reason = "no crate we use wraps bpf(2)")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// The first fields of the kernel's `union bpf_attr` for loading; what follows may be left out.
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
}

/// The same for attaching.
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads a device program, one instruction per number, and attaches it to the group behind `group`. The group keeps it.
pub(crate) fn attach_device_program(instructions: &[u64], group: BorrowedFd<'_>) -> io::Result<()> {
    let license = c"Apache-2.0";
    let load = LoadAttributes {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
    };
    let program = call(PROG_LOAD, &load)?;
    let program = i32::try_from(program).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    let program = unsafe { OwnedFd::from_raw_fd(program) };
    let attach = AttachAttributes {
        target: group.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        attach_type: ATTACH_TYPE_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    call(PROG_ATTACH, &attach).map(drop)
}

fn call<T>(command: i32, attributes: &T) -> io::Result<i64> {
    // SAFETY: both callers pass a `repr(C)` prefix of `union bpf_attr` for their command together with its size, and the
    // pointers in it are valid for the call; the kernel takes the missing rest as zero.
    let result =
        unsafe { nix::libc::syscall(nix::libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
