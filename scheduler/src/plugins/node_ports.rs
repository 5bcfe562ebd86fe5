//! Two pods cannot have the same port of one host.

use crate::plugin::{Change, Cycle, Filter, Reason, Target};
use crate::snapshot::HostPort;

/// See the module's documentation.
pub struct NodePorts;

impl Filter for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn filter(&self, cycle: &Cycle<'_>, target: Target<'_>) -> Vec<Reason> {
        let wanted = &cycle.pod.placed.facts.host_ports;
        if wanted.is_empty() {
            return Vec::new();
        }
        let mut taken = target.info.pods.values().flat_map(|pod| &pod.facts.host_ports);
        if taken.any(|taken| wanted.iter().any(|wanted| clash(wanted, taken))) {
            return vec![Reason::new("node(s) didn't have free ports for the requested pod ports")];
        }
        Vec::new()
    }

    fn wakes_on(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::PodGone)
    }
}

/// One on all addresses clashes with one on any.
fn clash(a: &HostPort, b: &HostPort) -> bool {
    let addresses = a.address.is_empty() || b.address.is_empty() || a.address == b.address;
    a.port == b.port && a.protocol == b.protocol && addresses
}
