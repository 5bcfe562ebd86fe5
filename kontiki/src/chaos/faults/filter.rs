//! Faults of packets: a table of nf_tables in the host's own network namespace drops them and counts what it dropped.
//!
//! The addresses stand in sets whose elements expire: should nobody be left to heal, the kernel forgets them by itself.

use std::{
    io::Write as _,
    net::Ipv4Addr,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::Lost;
use crate::up::cluster::{Cluster, Host};

/// The table's name in the host's namespace.
const TABLE: &str = "kontiki_chaos";
/// How much longer than planned the kernel keeps the addresses.
pub(crate) const EXPIRY_MARGIN: Duration = Duration::from_secs(30);

/// Drops packets between a host and these addresses. A filter that is there already is replaced.
pub(crate) fn add(cluster: &Cluster, host: &str, lost: Lost, others: &[Ipv4Addr], lasts: Duration) -> Result<()> {
    nft(cluster, host, &rules(lost, others, lasts))
}

/// Lets everything pass again, if anything was dropped.
pub(crate) fn remove(cluster: &Cluster, host: &str) -> Result<()> {
    // Adding a table that is there changes nothing, and lets `delete` succeed where none is.
    nft(cluster, host, &format!("add table inet {TABLE}\ndelete table inet {TABLE}\n"))
}

/// How many packets were dropped.
pub(crate) fn dropped(cluster: &Cluster, host: &str) -> Result<u64> {
    let netns = cluster.netns(host);
    // The table and not the counter alone: for that nft looks at all tables of the host, and it ends itself at those of the
    // service proxy, whose keys have numbers in them (nft 1.0.6).
    let list = ["netns", "exec", &netns, "nft", "list", "table", "inet", TABLE];
    let output = Command::new("ip").args(list).output().context("cannot run `ip`")?;
    ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr).trim());
    packets(&String::from_utf8_lossy(&output.stdout)).context("nft shows no counter")
}

/// Whom a host loses; `pick` chooses where one is lost.
pub(crate) fn others(cluster: &Cluster, host: &str, lost: Lost, pick: u64) -> Vec<Ipv4Addr> {
    let is_other = |other: &&Host| other.name != host;
    match lost {
        Lost::WithOneMaster => {
            let masters: Vec<&Host> = cluster.masters().filter(is_other).collect();
            let picked = usize::try_from(pick % masters.len().max(1) as u64).unwrap_or(0);
            masters.get(picked).map(|other| other.address).into_iter().collect()
        }
        // This machine itself, where clients are, is on the other side too.
        Lost::All | Lost::Incoming | Lost::Some(_) => {
            let hosts = cluster.hosts.iter().filter(is_other).map(|other| other.address);
            hosts.chain([cluster.gateway()]).collect()
        }
    }
}

fn rules(lost: Lost, others: &[Ipv4Addr], lasts: Duration) -> String {
    let expiry = (lasts + EXPIRY_MARGIN).as_secs();
    let elements: Vec<String> = others.iter().map(|address| format!("{address} timeout {expiry}s")).collect();
    let chance = match lost {
        Lost::Some(percent) => format!("numgen random mod 100 < {percent} "),
        Lost::All | Lost::Incoming | Lost::WithOneMaster => String::new(),
    };
    let outgoing = match lost {
        Lost::Incoming => String::new(),
        _ => format!(
            "chain out {{ type filter hook postrouting priority -300; ip daddr @others {chance}counter name dropped drop; }}\n"
        ),
    };
    format!(
        "add table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n\
         set others {{ type ipv4_addr; flags timeout; elements = {{ {} }}; }}\n\
         counter dropped {{ }}\n\
         chain in {{ type filter hook prerouting priority -300; ip saddr @others {chance}counter name dropped drop; }}\n\
         {outgoing}}}\n",
        elements.join(", ")
    )
}

fn packets(listing: &str) -> Option<u64> {
    let mut words = listing.split_ascii_whitespace();
    words.find(|word| *word == "packets")?;
    words.next()?.parse().ok()
}

fn nft(cluster: &Cluster, host: &str, rules: &str) -> Result<()> {
    let netns = cluster.netns(host);
    let mut child = Command::new("ip")
        .args(["netns", "exec", &netns, "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl-C must not end what heals.
        .process_group(0)
        .spawn()
        .context("cannot run `ip`: install iproute2 (`apt-get install iproute2`)")?;
    child.stdin.take().context("a pipe was asked for")?.write_all(rules.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "nft on {host}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        Cluster::plan("/tmp/a".into(), 7, 40_000, 3, 1, false)
    }

    #[test]
    fn whom_a_host_loses_includes_this_machine_and_never_itself() {
        let address = |last| Ipv4Addr::new(10, 213, 7, last);
        let all = others(&cluster(), "m2", Lost::All, 0);
        assert_eq!(all, [address(11), address(13), address(101), address(1)]);
        assert_eq!(others(&cluster(), "m2", Lost::WithOneMaster, 4), [address(11)]);
        assert_eq!(others(&cluster(), "m2", Lost::WithOneMaster, 5), [address(13)]);
    }

    #[test]
    fn rules_expire_and_drop_in_the_directions_that_were_asked_for() {
        let rules = |lost| rules(lost, &[Ipv4Addr::LOCALHOST], Duration::from_secs(3));
        assert!(rules(Lost::All).contains("127.0.0.1 timeout 33s"));
        assert!(rules(Lost::All).contains("prerouting") && rules(Lost::All).contains("postrouting"));
        assert!(!rules(Lost::Incoming).contains("postrouting"));
        assert!(rules(Lost::Some(20)).contains("numgen random mod 100 < 20 counter"));
    }

    #[test]
    fn the_counter_is_read() {
        let listing = "table inet kontiki_chaos {\n\tcounter dropped {\n\t\tpackets 42 bytes 2520\n\t}\n}\n";
        assert_eq!(packets(listing), Some(42));
        assert_eq!(packets(""), None);
    }
}
