//! Starting a host's server or agent: with a token the first time, with nothing but its folder from then on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
};

use anyhow::{Context as _, Result};

use super::{
    cluster::{Cluster, Host},
    process::{self, Process},
};
use crate::{files, moved_clock};

/// Starts the process of this role on a host with this program's own file and records it. `creates` makes the server the first
/// of a new cluster.
pub(crate) fn start(cluster: &Cluster, host: &Host, role: &str, creates: bool) -> Result<Child> {
    let program = own_file()?;
    let child = spawn(cluster, host, role, creates, &program)?;
    keep(cluster, &host.name, role, &program)?;
    Ok(child)
}

/// Starts it again with the file that it was last started with.
pub(crate) fn again(cluster: &Cluster, host: &Host, role: &str) -> Result<Child> {
    let last = fs::read_to_string(program_file(cluster, &host.name, role)).map(PathBuf::from);
    match last.ok().filter(|file| file.exists()) {
        Some(file) => spawn(cluster, host, role, false, &file),
        None => start(cluster, host, role, false),
    }
}

/// Starts it with another file, once.
pub(crate) fn with(cluster: &Cluster, host: &Host, role: &str, program: &Path) -> Result<Child> {
    spawn(cluster, host, role, false, program)
}

/// From now on it is started again with this file.
pub(crate) fn keep(cluster: &Cluster, host: &str, role: &str, program: &Path) -> Result<()> {
    files::write_durably(&program_file(cluster, host, role), program.as_os_str().as_encoded_bytes(), 0o600)
}

fn program_file(cluster: &Cluster, host: &str, role: &str) -> PathBuf {
    cluster.host_dir(host).join(format!("{role}.program"))
}

fn own_file() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's own file")
}

fn spawn(cluster: &Cluster, host: &Host, role: &str, creates: bool, program: &Path) -> Result<Child> {
    let folder = cluster.host_dir(&host.name);
    let dir = folder.join(role);
    let arguments = match role {
        "server" => server_arguments(cluster, host, &dir, creates),
        _ => agent_arguments(cluster, host, &dir),
    };
    files::private_folder(&folder)?;
    let (netns, log) = (cluster.netns_path(&host.name), folder.join(format!("{role}.log")));
    let clock = cluster.clock_file(&host.name);
    let child = process::spawn_in_netns(&netns, program, &arguments, (moved_clock::VARIABLE, &clock), &log)?;
    if let Some(process) = i32::try_from(child.id()).ok().and_then(Process::find) {
        process.save(&cluster.process_file(&host.name, role))?;
    }
    Ok(child)
}

fn server_arguments(cluster: &Cluster, host: &Host, dir: &Path, creates: bool) -> Vec<String> {
    let mut arguments = vec!["server".to_owned(), format!("--dir={}", dir.display())];
    if !cluster.runtime_config.is_empty() {
        arguments.push(format!("--runtime-config={}", cluster.runtime_config.join(",")));
    }
    // A restart reads everything from the folder.
    if !dir.join("master.json").exists() {
        arguments.push(format!("--name={}", host.name));
        arguments.push(format!("--advertise-address={}", host.address));
        if creates {
            arguments.push("--init".into());
        } else {
            arguments.extend(join_arguments(cluster, "master"));
        }
    }
    arguments
}

fn agent_arguments(cluster: &Cluster, host: &Host, dir: &Path) -> Vec<String> {
    let mut arguments = vec![
        "agent".to_owned(),
        format!("--dir={}", dir.display()),
        format!("--images={}", cluster.dir.join("images").display()),
        format!("--cgroup-root={}/{}", cluster.cgroup_root(), host.name),
    ];
    if !dir.join("node.json").exists() {
        arguments.push(format!("--name={}", host.name));
        arguments.push(format!("--node-address={}", host.address));
        arguments.extend(join_arguments(cluster, "node"));
    }
    arguments
}

/// The first master's address and the token for a role, as someone would carry them to another machine.
fn join_arguments(cluster: &Cluster, role: &str) -> [String; 2] {
    let first = &cluster.hosts[0];
    let token = cluster.host_dir(&first.name).join("server/tokens").join(role);
    [format!("--join=https://{}:6443", first.address), format!("--token=@{}", token.display())]
}
