//! What a cluster may leave behind on a machine, looked for from outside.

use std::{fs, path::Path};

use chaos_tests::command::succeed;

/// Every trace of the cluster with this tag and folder: empty when all is gone.
pub(crate) fn traces(tag: &str, dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |what: &str, list: String, word: &str| {
        found.extend(list.lines().filter(|line| line.contains(word)).map(|line| format!("{what}: {line}")));
    };
    let folder = dir.to_string_lossy().into_owned();
    note("namespace", succeed(std::process::Command::new("ip").args(["netns", "list"])), tag);
    note("interface", succeed(std::process::Command::new("ip").args(["-o", "link"])), tag);
    note("mount", fs::read_to_string("/proc/self/mountinfo").expect("mounts"), &folder);
    note("table", succeed(std::process::Command::new("nft").args(["list", "tables"])), tag);
    note("process", processes(), &folder);
    for hierarchy in ["cpu", "memory", "pids", "freezer", "devices", "blkio", "unified", "systemd"] {
        let root = Path::new("/sys/fs/cgroup").join(hierarchy).join(format!("kontiki-{tag}"));
        if root.exists() {
            found.push(format!("cgroup: {}", root.display()));
        }
    }
    if dir.exists() {
        found.push(format!("folder: {folder}"));
    }
    found
}

/// The command line of every process, a line each.
fn processes() -> String {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let line = |pid: String| {
        let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(format!("{pid} {}\n", String::from_utf8_lossy(&text).replace('\0', " ")))
    };
    let own = std::process::id().to_string();
    let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()) && *pid != own).filter_map(line).collect()
}

/// What a host's agent holds for pods: namespaces, shims' folders and cgroups.
pub(crate) fn pods_on(cluster: &chaos_tests::Cluster, host: &str) -> Vec<String> {
    let run = cluster.dir().join("hosts").join(host).join("agent/run");
    let mut found: Vec<String> = ["netns", "pods"].iter().flat_map(|folder| entries(&run.join(folder))).collect();
    let root = format!("/sys/fs/cgroup/pids/kontiki-{}/{host}", cluster.tag());
    found.extend(walk(Path::new(&root)).into_iter().filter(|path| path.contains("/pod")));
    found
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().to_string_lossy().into_owned()).collect()
}

fn walk(folder: &Path) -> Vec<String> {
    let below =
        fs::read_dir(folder).into_iter().flatten().flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    below.flat_map(|entry| [vec![entry.path().to_string_lossy().into_owned()], walk(&entry.path())].concat()).collect()
}
