//! The system calls a container may make by default: the list that other runtimes allow, so that images that run there
//! run here. Calls that need a capability are allowed with it. What is not listed gets EPERM; calls newer than the list
//! get ENOSYS, so that programs fall back. Calls of another architecture end the process.

mod emit;
mod lists;

use nix::libc;

use super::capabilities;
use emit::{Answer, Rule};

/// Bits of clone(2)'s flags that make namespaces.
const NAMESPACE_FLAGS: u32 = 0x7e02_0000;
/// Address family of sockets to the hypervisor.
const AF_VSOCK: u32 = 40;
/// Personalities: Linux, 32 bit, and both with a fixed address space layout; the last only asks.
const PERSONALITIES: [u32; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The default filter for a container with these capabilities, one instruction per number.
pub(crate) fn default_filter(held: u64) -> Vec<u64> {
    let mut rules: Vec<Rule> =
        lists::ALWAYS.iter().chain(lists::OLD).map(|call| Rule::new(*call, Answer::Allow)).collect();
    let holds = |name: &str| capabilities::bit(name).is_some_and(|bit| held & bit != 0);
    for (name, calls) in lists::WITH_CAPABILITY {
        if holds(name) {
            rules.extend(calls.iter().map(|call| Rule::new(*call, Answer::Allow)));
        }
    }
    if !holds("SYS_ADMIN") {
        rules.push(Rule::new(libc::SYS_clone, Answer::AllowWithout { argument: 0, bits: NAMESPACE_FLAGS }));
        // Its flags lie in memory, where a filter cannot see them; libraries fall back to clone.
        rules.push(Rule::new(libc::SYS_clone3, Answer::Error(libc::ENOSYS)));
    }
    rules.push(Rule::new(libc::SYS_personality, Answer::AllowOnly { argument: 0, values: &PERSONALITIES }));
    rules.push(Rule::new(libc::SYS_socket, Answer::AllowExcept { argument: 0, value: AF_VSOCK }));
    emit::program(rules, Answer::Error(libc::EPERM), Answer::Error(libc::ENOSYS))
}

#[cfg(test)]
mod tests {
    use super::{emit::testing::run, *};

    const ALLOW: u32 = 0x7fff_0000;
    const ERROR: u32 = 0x0005_0000;

    fn check(held: u64, call: i64, first: u64, expect: u32) {
        let found = run(&default_filter(held), emit::ARCHITECTURE, call, first);
        assert_eq!(found, expect, "call {call} with {first:#x}, capabilities {held:#x}");
    }

    #[test]
    fn ordinary_calls_pass_and_dangerous_ones_do_not() {
        let (eperm, enosys) = (ERROR | libc::EPERM.cast_unsigned(), ERROR | libc::ENOSYS.cast_unsigned());
        for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_futex, libc::SYS_openat, libc::SYS_statx] {
            check(0, call, 0, ALLOW);
        }
        for call in [libc::SYS_mount, libc::SYS_unshare, libc::SYS_kexec_load, libc::SYS_add_key, libc::SYS_bpf] {
            check(0, call, 0, eperm);
        }
        check(0, libc::SYS_clone3, 0, enosys);
        check(0, 9_999, 0, enosys);
        check(0, libc::SYS_clone, 17, ALLOW);
        check(0, libc::SYS_clone, 0x1000_0011, eperm);
        check(0, libc::SYS_personality, 0x2_0000, ALLOW);
        check(0, libc::SYS_personality, 0x4_0000, eperm);
        check(0, libc::SYS_socket, 2, ALLOW);
        check(0, libc::SYS_socket, 40, eperm);
    }

    #[test]
    fn a_capability_opens_its_calls() {
        let admin = capabilities::bit("SYS_ADMIN").unwrap();
        for call in [libc::SYS_mount, libc::SYS_clone, libc::SYS_clone3, libc::SYS_unshare] {
            check(admin, call, 0x1000_0000, ALLOW);
        }
        check(capabilities::bit("SYS_CHROOT").unwrap(), libc::SYS_chroot, 0, ALLOW);
    }

    #[test]
    fn foreign_architectures_end_the_process() {
        assert_eq!(run(&default_filter(0), 0x4000_0003, 3, 0), 0x8000_0000);
    }

    #[test]
    fn the_filter_is_short() {
        let len = default_filter(0).len();
        assert!(len < 250, "{len} instructions; the kernel walks them for every call number at install");
    }
}
