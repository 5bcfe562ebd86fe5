//! The hosts' network: one namespace a host, joined by a bridge in a namespace of its own.
//!
//! ```text
//!  this machine          fabric namespace         host namespaces
//!  kt<tag> ─────────────── root ─┐
//!  10.213.N.1                    ├─ br0 ─┬─ p-m1 ──── eth0 10.213.N.11  (m1)
//!                                        ├─ p-m2 ──── eth0 10.213.N.12  (m2)
//!                                        └─ p-w1 ──── eth0 10.213.N.101 (w1)
//! ```
//! The bridge has a namespace of its own, so that this machine's packet filters see none of the hosts' traffic. It is built
//! with `ip -batch`: a few commands for the whole cluster.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::cluster::Cluster;

/// The fabric's name among the namespaces of a cluster.
pub(crate) const FABRIC: &str = "fabric";

/// Builds the network of a planned cluster; a network that is there already stays as it is.
pub(crate) fn create(cluster: &Cluster) -> Result<()> {
    if cluster.netns_path(FABRIC).exists() && cluster.hosts.iter().all(|h| cluster.netns_path(&h.name).exists()) {
        return Ok(());
    }
    remove(cluster)?;
    let (fabric, root) = (cluster.netns(FABRIC), cluster.interface());
    let mut here = format!("netns add {fabric}\n");
    let mut bridge =
        "link add br0 type bridge\nlink set br0 up\nlink set root master br0\nlink set root up\n".to_owned();
    writeln!(here, "link add {root} type veth peer name root netns {fabric}")?;
    writeln!(here, "addr add {}/24 dev {root}", cluster.gateway())?;
    writeln!(here, "link set {root} up")?;
    for host in &cluster.hosts {
        let (netns, port) = (cluster.netns(&host.name), format!("p-{}", host.name));
        writeln!(here, "netns add {netns}")?;
        writeln!(here, "link add eth0 netns {netns} type veth peer name {port} netns {fabric}")?;
        writeln!(bridge, "link set {port} master br0\nlink set {port} up")?;
    }
    ip(&[], &here)?;
    ip(&["-n", &fabric], &bridge)?;
    for host in &cluster.hosts {
        let inside = format!("link set lo up\naddr add {}/24 dev eth0\nlink set eth0 up\n", host.address);
        ip(&["-n", &cluster.netns(&host.name)], &format!("{inside}route add default via {}\n", cluster.gateway()))?;
    }
    Ok(())
}

/// Removes what [`create`] made, also when only a part of it is there.
pub(crate) fn remove(cluster: &Cluster) -> Result<()> {
    let names = cluster.hosts.iter().map(|host| host.name.as_str()).chain([FABRIC]);
    for name in names.filter(|name| cluster.netns_path(name).exists()) {
        ip(&[], &format!("netns del {}\n", cluster.netns(name)))?;
    }
    // The kernel takes an interface down with its peer's namespace, but only some time after the namespace's end.
    if std::path::Path::new("/sys/class/net").join(cluster.interface()).exists() {
        match ip(&[], &format!("link del {}\n", cluster.interface())) {
            Err(error) if !error.to_string().contains("Cannot find device") => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A number N such that no route of this machine leads into `10.213.N.0/24`, at or after `first`.
pub(crate) fn free_subnet(first: u8) -> Result<u8> {
    let output = Command::new("ip").args(["-4", "-o", "route", "show", "table", "all"]).output();
    let routes = output.context("cannot run `ip`: install iproute2 (`apt-get install iproute2`)")?;
    ensure!(routes.status.success(), "`ip route` failed: {}", String::from_utf8_lossy(&routes.stderr).trim());
    let taken = subnets(&String::from_utf8_lossy(&routes.stdout));
    let candidates = (0..=u8::MAX).map(|n| first.wrapping_add(n));
    match candidates.into_iter().find(|n| !taken.contains(n)) {
        Some(subnet) => Ok(subnet),
        None => bail!("every network 10.213.0.0/24 to 10.213.255.0/24 is in use: end a cluster with `kontiki down`"),
    }
}

/// The third bytes of all addresses in 10.213.0.0/16 that a listing of routes names.
fn subnets(routes: &str) -> BTreeSet<u8> {
    let third = |word: &str| word.strip_prefix("10.213.")?.split('.').next()?.parse().ok();
    routes.split_ascii_whitespace().filter_map(third).collect()
}

fn ip(options: &[&str], commands: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `ip`: install iproute2 (`apt-get install iproute2`)")?;
    child.stdin.take().context("a pipe was asked for")?.write_all(commands.as_bytes())?;
    let output = child.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the network could not be set up: {}", complaint.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_that_a_route_names_is_taken() {
        let routes = "10.213.7.0/24 dev kt1 proto kernel scope link src 10.213.7.1\n10.0.0.0/8 via 10.213.9.1 dev x\n";
        assert_eq!(subnets(routes), BTreeSet::from([7, 9]));
    }
}
