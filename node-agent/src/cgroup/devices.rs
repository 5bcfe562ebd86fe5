//! Which devices a container may use: a list on v1, a small program on v2.

use std::{fs, io, os::fd::AsFd, path::Path};

use super::Version;
use crate::sys::bpf;

/// Access to devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceAccess {
    /// What the parent group has.
    Inherited,
    /// Only devices that are harmless in every container.
    Container,
}

struct Rule {
    kind: char,
    /// `None` is any.
    major: Option<u32>,
    minor: Option<u32>,
    /// Making the node is all that is allowed.
    only_make: bool,
}

const fn any(kind: char) -> Rule {
    Rule { kind, major: None, minor: None, only_make: true }
}

const fn character(major: u32, minor: Option<u32>) -> Rule {
    Rule { kind: 'c', major: Some(major), minor, only_make: false }
}

/// null, zero, full, random, urandom; tty, console, ptmx; pseudo terminals. A node of any other device can be made (the
/// capability decides that) but not opened.
const CONTAINER: [Rule; 11] = [
    any('c'),
    any('b'),
    character(1, Some(3)),
    character(1, Some(5)),
    character(1, Some(7)),
    character(1, Some(8)),
    character(1, Some(9)),
    character(5, Some(0)),
    character(5, Some(1)),
    character(5, Some(2)),
    character(136, None),
];

pub(super) fn limit(folder: &Path, access: DeviceAccess, version: Version) -> io::Result<()> {
    match (access, version) {
        (DeviceAccess::Inherited, _) => Ok(()),
        (DeviceAccess::Container, Version::V1) => {
            fs::write(folder.join("devices.deny"), "a")?;
            CONTAINER.iter().try_for_each(|rule| fs::write(folder.join("devices.allow"), line(rule)))
        }
        (DeviceAccess::Container, Version::V2) => {
            bpf::attach_device_program(&program(&CONTAINER), fs::File::open(folder)?.as_fd())
        }
    }
}

fn line(rule: &Rule) -> String {
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    let access = if rule.only_make { "m" } else { "rwm" };
    format!("{} {}:{} {access}", rule.kind, number(rule.major), number(rule.minor))
}

/// One eBPF instruction: operation, registers, offset, immediate.
fn instruction(operation: u8, registers: u8, offset: i16, immediate: i32) -> u64 {
    let offset = u64::from(offset.cast_unsigned());
    u64::from(operation) | u64::from(registers) << 8 | offset << 16 | u64::from(immediate.cast_unsigned()) << 32
}

/// The program gets (access << 16 | kind, major, minor) and answers 1 for yes.
fn program(rules: &[Rule]) -> Vec<u64> {
    const LOAD_WORD: u8 = 0x61;
    const AND: u8 = 0x57;
    const SHIFT_RIGHT: u8 = 0x77;
    const SET: u8 = 0xb7;
    const COPY: u8 = 0xbf;
    const SKIP_UNLESS: u8 = 0x55;
    const EXIT: u8 = 0x95;
    const MAKE: i32 = 1;
    // Registers: 1 context, then scratch; 2 kind; 3 access; 4 major; 5 minor.
    let mut code = vec![
        instruction(LOAD_WORD, 0x12, 0, 0),
        instruction(AND, 2, 0, 0xffff),
        instruction(LOAD_WORD, 0x13, 0, 0),
        instruction(SHIFT_RIGHT, 3, 0, 16),
        instruction(LOAD_WORD, 0x14, 4, 0),
        instruction(LOAD_WORD, 0x15, 8, 0),
    ];
    for rule in rules {
        let mut tests = vec![(2, if rule.kind == 'b' { 1 } else { 2 })];
        tests.extend(rule.major.map(|major| (4, major.cast_signed())));
        tests.extend(rule.minor.map(|minor| (5, minor.cast_signed())));
        let masks = if rule.only_make { 3 } else { 0 };
        // To the end of this rule: the other tests, the access check, the two instructions of the answer.
        let mut left = i16::try_from(tests.len()).unwrap_or(i16::MAX) + masks + 2;
        for (register, value) in tests {
            left -= 1;
            code.push(instruction(SKIP_UNLESS, register, left, value));
        }
        if rule.only_make {
            code.push(instruction(COPY, 0x31, 0, 0));
            code.push(instruction(AND, 1, 0, !MAKE));
            code.push(instruction(SKIP_UNLESS, 1, 2, 0));
        }
        code.push(instruction(SET, 0, 0, 1));
        code.push(instruction(EXIT, 0, 0, 0));
    }
    code.push(instruction(SET, 0, 0, 0));
    code.push(instruction(EXIT, 0, 0, 0));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tiny machine for the instructions above.
    fn allowed(kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let code = program(&CONTAINER);
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0_u64; 6];
        let mut at = 0;
        loop {
            let bytes = code[at].to_le_bytes();
            let (target, source) = (usize::from(bytes[1] & 15), usize::from(bytes[1] >> 4));
            let offset = i16::from_le_bytes([bytes[2], bytes[3]]);
            let immediate = i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            at += 1;
            match bytes[0] {
                0x61 => registers[target] = u64::from(context[usize::try_from(offset / 4).unwrap()]),
                0x57 => registers[target] &= i64::from(immediate).cast_unsigned(),
                0x77 => registers[target] >>= immediate,
                0xb7 => registers[target] = i64::from(immediate).cast_unsigned(),
                0xbf => registers[target] = registers[source],
                0x55 if registers[target] != i64::from(immediate).cast_unsigned() => {
                    at += usize::try_from(offset).unwrap();
                }
                0x55 => {}
                0x95 => return registers[0] == 1,
                other => panic!("operation {other:#x}"),
            }
        }
    }

    #[test]
    fn harmless_devices_are_allowed_and_disks_are_not() {
        let (block, character) = (1, 2);
        let (make, read_write) = (1, 6);
        assert!(allowed(character, read_write, 1, 3));
        assert!(allowed(character, read_write, 136, 77));
        assert!(allowed(block, make, 8, 0));
        assert!(!allowed(block, read_write, 8, 0));
        assert!(!allowed(character, read_write, 1, 1), "/dev/mem");
        assert!(!allowed(block, read_write, 1, 3));
    }

    #[test]
    fn list_lines_are_what_the_kernel_reads() {
        let lines: Vec<_> = CONTAINER.iter().map(line).collect();
        assert_eq!(lines[0], "c *:* m");
        assert_eq!(lines[2], "c 1:3 rwm");
        assert_eq!(lines[10], "c 136:* rwm");
    }

    #[test]
    fn the_kernel_takes_the_program_and_obeys_it() {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let unified = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let Some(unified) = unified.filter(|_| rustix::process::geteuid().is_root()) else { return };
        let group = Path::new(unified).join(format!("kontiki-test-devices-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        limit(&group, DeviceAccess::Container, Version::V2).unwrap();
        let script = "echo $$ > \"$0/cgroup.procs\"; : < /dev/zero || exit 1; if (: < /dev/kmsg); then exit 2; fi";
        let output = std::process::Command::new("sh").args(["-c", script]).arg(&group).output().unwrap();
        fs::remove_dir(&group).unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("not permitted"), "{output:?}");
    }
}
