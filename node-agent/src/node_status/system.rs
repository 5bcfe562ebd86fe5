//! What the machine is and has, read from the kernel.

use std::path::Path;

use k8s_openapi::api::core::v1::NodeSystemInfo;

/// The version of Kubernetes whose API the agent speaks.
const KUBERNETES_VERSION: &str = concat!("v1.37.0+kontiki.", env!("CARGO_PKG_VERSION"));
const RUNTIME_VERSION: &str = concat!("kontiki://", env!("CARGO_PKG_VERSION"));

/// Amounts of the machine, in bytes and whole numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) cpus: i64,
    pub(crate) memory: i64,
    pub(crate) memory_available: i64,
    pub(crate) storage: i64,
    pub(crate) storage_available: i64,
    pub(crate) inodes_free_percent: i64,
    pub(crate) processes: i64,
    pub(crate) processes_max: i64,
}

/// Reads them; what cannot be read is zero.
pub(crate) fn amounts(dir: &Path) -> Amounts {
    let meminfo = read("/proc/meminfo");
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut amounts = Amounts {
        cpus: i64::try_from(cpus).unwrap_or(1),
        memory: memory_field(&meminfo, "MemTotal:"),
        memory_available: memory_field(&meminfo, "MemAvailable:"),
        processes_max: read("/proc/sys/kernel/pid_max").trim().parse().unwrap_or(0),
        processes: processes(&read("/proc/loadavg")),
        ..Amounts::default()
    };
    if let Ok(stat) = nix::sys::statvfs::statvfs(dir) {
        let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(stat.fragment_size())).unwrap_or(i64::MAX);
        amounts.storage = bytes(usable_blocks(stat.blocks(), stat.blocks_free(), stat.blocks_available()));
        amounts.storage_available = bytes(stat.blocks_available());
        // Some file systems count no inodes; they never run out of them.
        let percent = stat.files_available().saturating_mul(100).checked_div(stat.files()).unwrap_or(100);
        amounts.inodes_free_percent = i64::try_from(percent).unwrap_or(100);
    }
    amounts
}

/// How large the disk is for whoever may not touch its reserved blocks, as df(1) counts: a share of `available` says
/// something only of that size. A file system may reserve most of its blocks.
fn usable_blocks(blocks: u64, free: u64, available: u64) -> u64 {
    blocks.saturating_sub(free).saturating_add(available)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A line such as `MemTotal:  24576 kB`, in bytes.
fn memory_field(meminfo: &str, name: &str) -> i64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse::<i64>().ok()).unwrap_or(0) * 1024
}

/// The number of processes and threads: the second half of the fourth field.
fn processes(loadavg: &str) -> i64 {
    let field = loadavg.split_whitespace().nth(3).and_then(|field| field.split_once('/'));
    field.and_then(|(_, all)| all.parse().ok()).unwrap_or(0)
}

/// Names and versions.
pub(crate) fn info() -> NodeSystemInfo {
    let line = |path: &str| read(path).trim().to_owned();
    NodeSystemInfo {
        architecture: architecture().to_owned(),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: RUNTIME_VERSION.to_owned(),
        kernel_version: line("/proc/sys/kernel/osrelease"),
        kubelet_version: KUBERNETES_VERSION.to_owned(),
        machine_id: line("/etc/machine-id"),
        operating_system: "linux".to_owned(),
        os_image: os_image(&read("/etc/os-release")),
        system_uuid: line("/sys/class/dmi/id/product_uuid"),
        ..NodeSystemInfo::default()
    }
}

/// The architecture as Go names it, which is what node selectors use.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn os_image(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernel_s_formats() {
        assert_eq!(memory_field("MemTotal:       24576 kB\nMemFree: 1 kB\n", "MemTotal:"), 24576 * 1024);
        assert_eq!(processes("0.16 0.43 0.48 2/345 999"), 345);
        assert_eq!(os_image("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
        let amounts = amounts(Path::new("/"));
        assert!(amounts.cpus > 0 && amounts.memory > amounts.memory_available && amounts.storage > 0, "{amounts:?}");
        assert!(info().kubelet_version.starts_with("v1.37.0+kontiki."));
    }

    #[test]
    fn reserved_blocks_do_not_count_as_used() {
        // 61 % of this disk are reserved, 5 % are used: it is not short of space.
        let (blocks, free, available) = (1000, 950, 340);
        assert_eq!(usable_blocks(blocks, free, available), 390);
        assert_eq!(usable_blocks(blocks, blocks, blocks), blocks);
    }
}
