//! Capabilities: names, the default set, and what this node can give at all.

use super::{Error, Security};

/// Names without `CAP_`, by number.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container has unless its pod says otherwise.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// The bit of a capability given by its name without `CAP_`.
pub(crate) fn bit(name: &str) -> Option<u64> {
    NAMES.iter().position(|known| *known == name).map(|number| 1 << number)
}

fn parse(name: &str) -> Result<u64, Error> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if short == "ALL" {
        return Ok(u64::MAX);
    }
    bit(short).ok_or_else(|| Error::Invalid(format!("unknown capability {name:?}")))
}

/// The set a container gets. `available` is what the agent itself may hand on: more cannot be had on this node.
pub(crate) fn of(security: &Security, available: u64) -> Result<u64, Error> {
    if security.privileged {
        return Ok(available);
    }
    let mut set = 0;
    let (mut add, mut drop) = (0, 0);
    for name in &security.add_capabilities {
        add |= parse(name)?;
    }
    for name in &security.drop_capabilities {
        drop |= parse(name)?;
    }
    // Dropping everything does not take back what is added by name.
    let add_all = add == u64::MAX;
    for name in DEFAULT {
        set |= bit(name).unwrap_or_default();
    }
    set = if add_all { !drop } else { (set & !drop) | add };
    Ok(set & available)
}

/// The agent's own bounding set.
pub(crate) fn available() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(Error::io("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .ok_or_else(|| Error::Invalid("/proc/self/status has no CapBnd line".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(add: &[&str], drop: &[&str], available: u64, expect: u64) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let security = Security { add_capabilities: owned(add), drop_capabilities: owned(drop), ..Security::default() };
        assert_eq!(of(&security, available).unwrap(), expect, "add {add:?} drop {drop:?}");
    }

    #[test]
    fn lists_add_to_and_drop_from_the_default() {
        const DEFAULT_BITS: u64 = 0xa804_25fb;
        check(&[], &[], u64::MAX, DEFAULT_BITS);
        check(&["NET_ADMIN"], &[], u64::MAX, DEFAULT_BITS | 1 << 12);
        check(&["cap_net_admin"], &["ALL"], u64::MAX, 1 << 12);
        check(&["ALL"], &["SYS_ADMIN"], (1 << 41) - 1, ((1 << 41) - 1) & !(1 << 21));
        check(&[], &["CAP_CHOWN"], u64::MAX, DEFAULT_BITS & !1);
        check(&["SYS_RESOURCE"], &[], !(1 << 24), DEFAULT_BITS);
    }

    #[test]
    fn unknown_names_are_refused() {
        let security = Security { add_capabilities: vec!["FLY".to_owned()], ..Security::default() };
        assert!(of(&security, u64::MAX).unwrap_err().to_string().contains("FLY"));
    }
}
