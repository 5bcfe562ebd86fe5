//! Faults of a host's cable: unplugged at the far end, or made slow.
//!
//! The far end is in the fabric's namespace, so that the host keeps its address and routes, as with a pulled plug.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::up::{cluster::Cluster, network::FABRIC};

/// What a slow link carries: less than a busy master sends.
const SLOW: [&str; 6] = ["rate", "1mbit", "burst", "8kb", "latency", "300ms"];

/// Plugs a host's cable in or pulls it.
pub(crate) fn set(cluster: &Cluster, host: &str, up: bool) -> Result<()> {
    let (fabric, port) = (cluster.netns(FABRIC), port(host));
    run("ip", &["-n", &fabric, "link", "set", &port, if up { "up" } else { "down" }]).map(drop)
}

/// How often the host has seen its link come or go (`carrier_changes` of sysfs).
pub(crate) fn changes(cluster: &Cluster, host: &str) -> Result<u64> {
    let netns = cluster.netns(host);
    let text = run("ip", &["netns", "exec", &netns, "cat", "/sys/class/net/eth0/carrier_changes"])?;
    text.trim().parse().context("carrier_changes is no number")
}

/// Lets the link carry little, both ways.
pub(crate) fn slow(cluster: &Cluster, host: &str) -> Result<()> {
    for (netns, device) in ends(cluster, host) {
        let shape = ["-n", &netns, "qdisc", "replace", "dev", &device, "root", "tbf"];
        run("tc", &[&shape[..], &SLOW[..]].concat())?;
    }
    Ok(())
}

/// Takes the limits off, where there are any.
pub(crate) fn unslow(cluster: &Cluster, host: &str) -> Result<()> {
    for (netns, device) in ends(cluster, host) {
        if run("tc", &["-n", &netns, "qdisc", "show", "dev", &device, "root"])?.contains("tbf") {
            run("tc", &["-n", &netns, "qdisc", "del", "dev", &device, "root"])?;
        }
    }
    Ok(())
}

/// How many packets had to wait for the slow link, or were dropped before it.
pub(crate) fn held_back(cluster: &Cluster, host: &str) -> Result<u64> {
    let mut total = 0;
    for (netns, device) in ends(cluster, host) {
        total += overlimits(&run("tc", &["-n", &netns, "-s", "qdisc", "show", "dev", &device, "root"])?);
    }
    Ok(total)
}

/// The number after `overlimits` in tc's statistics.
fn overlimits(text: &str) -> u64 {
    let mut words = text.split_ascii_whitespace();
    words.find(|word| *word == "overlimits");
    words.next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn port(host: &str) -> String {
    format!("p-{host}")
}

/// Both ends of the cable: what leaves the first is received by the host, what leaves the second is sent by it.
fn ends(cluster: &Cluster, host: &str) -> [(String, String); 2] {
    [(cluster.netns(FABRIC), port(host)), (cluster.netns(host), "eth0".to_owned())]
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let hint = || format!("cannot run `{program}`: install iproute2 (`apt-get install iproute2`)");
    // Of a group of its own: Ctrl-C must not end what heals.
    let output = Command::new(program).args(arguments).process_group(0).output().with_context(hint)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_waited_are_read_from_the_statistics() {
        let text = "qdisc tbf 8001: root refcnt 2 rate 1Mbit burst 8Kb lat 300ms\n \
                    Sent 5 bytes 3 pkt (dropped 1, overlimits 17 requeues 0)\n backlog 0b 0p requeues 0\n";
        assert_eq!(overlimits(text), 17);
        assert_eq!(overlimits("qdisc noqueue 0: root refcnt 2\n"), 0);
    }
}
