//! What the cluster looks like to one cycle: nodes with the pods that are or will be on them.
//!
//! Kept up to date by single changes, never rebuilt. A pod counts on its node from the moment the scheduler decides
//! (*assumed*), before the binding is written, until the cache shows the pod bound or gone, or the binding failed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Taint;

use crate::resources::Resources;

/// What is kept of a pod: at most 500 bytes, labels aside, which the object holds anyway.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodFacts {
    /// `spec.nodeName`, empty while unbound.
    pub node: Box<str>,
    /// What it asks for.
    pub requests: Resources,
    /// What it is assumed to use.
    pub assumed_use: Resources,
    /// What it takes of the node's ports.
    pub host_ports: Box<[HostPort]>,
    /// It will never run again.
    pub finished: bool,
    /// It is on its way out.
    pub deleting: bool,
    /// It asks not to be scheduled yet.
    pub gated: bool,
    /// It asks for this scheduler.
    pub ours: bool,
    /// Higher ones are looked at first.
    pub priority: i32,
    /// The uid of its controller.
    pub owner: Option<Box<str>>,
}

/// A port of the host that a container wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Box<str>,
    /// Empty for all addresses.
    pub address: Box<str>,
}

/// What is kept of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// Its name.
    pub name: Box<str>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`.
    pub unschedulable: bool,
    /// What pods may ask for in all.
    pub allocatable: Resources,
    /// How many pods it takes.
    pub pods_max: i64,
    /// It is on its way out.
    pub deleting: bool,
}

/// A pod on a node.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its labels.
    pub labels: Arc<[(Box<str>, Box<str>)]>,
    /// The rest.
    pub facts: Arc<PodFacts>,
}

/// A node with its pods.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    /// The node; `None` while only pods name it.
    pub node: Option<Arc<NodeFacts>>,
    /// By uid.
    pub pods: BTreeMap<Box<str>, Placed>,
    /// The sum of what they ask for.
    pub requested: Resources,
    /// The sum of what they are assumed to use.
    pub used: Resources,
}

/// All nodes by name.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    nodes: BTreeMap<Box<str>, NodeInfo>,
    /// Where each pod counts.
    places: HashMap<Box<str>, Place>,
}

#[derive(Clone, Debug)]
struct Place {
    node: Box<str>,
    assumed: bool,
}

impl Snapshot {
    /// The nodes that exist, by name.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeFacts, &NodeInfo)> {
        self.nodes.values().filter_map(|info| Some((info.node.as_deref()?, info)))
    }

    /// The node appeared, changed or left.
    pub fn set_node(&mut self, name: &str, node: Option<Arc<NodeFacts>>) {
        self.nodes.entry(name.into()).or_default().node = node;
        self.forget_if_empty(name);
    }

    /// The cache shows this of a pod. Returns whether room was freed.
    pub fn observe(&mut self, uid: &str, placed: Option<Placed>) -> bool {
        let counts = placed.filter(|placed| !placed.facts.finished);
        match counts {
            Some(placed) if !placed.facts.node.is_empty() => {
                self.remove(uid);
                let node = placed.facts.node.clone();
                self.place(uid, &node, placed, false);
                false
            }
            // Its binding is on the way.
            Some(_) if self.places.get(uid).is_some_and(|place| place.assumed) => false,
            _ => self.remove(uid),
        }
    }

    /// The scheduler decided: from now on the pod counts there.
    pub fn assume(&mut self, uid: &str, node: &str, placed: Placed) {
        self.remove(uid);
        self.place(uid, node, placed, true);
    }

    /// The binding failed: the pod does not count any more, unless the cache has shown it bound.
    pub fn forget(&mut self, uid: &str) {
        if self.places.get(uid).is_some_and(|place| place.assumed) {
            self.remove(uid);
        }
    }

    /// Nothing that was assumed holds any more.
    pub fn forget_all(&mut self) {
        let assumed = self.places.iter().filter(|(_, place)| place.assumed);
        let assumed: Vec<Box<str>> = assumed.map(|(uid, _)| uid.clone()).collect();
        for uid in assumed {
            self.remove(&uid);
        }
    }

    fn place(&mut self, uid: &str, node: &str, placed: Placed, assumed: bool) {
        let info = self.nodes.entry(node.into()).or_default();
        info.requested.add(&placed.facts.requests);
        info.used.add(&placed.facts.assumed_use);
        info.pods.insert(uid.into(), placed);
        self.places.insert(uid.into(), Place { node: node.into(), assumed });
    }

    fn remove(&mut self, uid: &str) -> bool {
        let Some(place) = self.places.remove(uid) else { return false };
        if let Some(info) = self.nodes.get_mut(&place.node)
            && let Some(placed) = info.pods.remove(uid)
        {
            info.requested.subtract(&placed.facts.requests);
            info.used.subtract(&placed.facts.assumed_use);
        }
        self.forget_if_empty(&place.node);
        true
    }

    fn forget_if_empty(&mut self, name: &str) {
        if self.nodes.get(name).is_some_and(|info| info.node.is_none() && info.pods.is_empty()) {
            self.nodes.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(node: &str, milli_cpu: i64) -> Placed {
        let requests = Resources { milli_cpu, ..Resources::default() };
        let facts = PodFacts { node: node.into(), requests, ..PodFacts::default() };
        Placed { namespace: "a".into(), labels: Arc::new([]), facts: Arc::new(facts) }
    }

    fn cpu(snapshot: &Snapshot, node: &str) -> i64 {
        snapshot.nodes.get(node).map_or(0, |info| info.requested.milli_cpu)
    }

    #[test]
    fn an_assumed_pod_counts_until_it_is_seen_bound_or_forgotten() {
        let mut snapshot = Snapshot::default();
        snapshot.assume("u", "n", placed("", 100));
        snapshot.observe("u", Some(placed("", 100)));
        assert_eq!(cpu(&snapshot, "n"), 100, "a change of the pod while its binding is on the way");
        snapshot.observe("u", Some(placed("n", 100)));
        assert_eq!(cpu(&snapshot, "n"), 100);
        snapshot.forget("u");
        assert_eq!(cpu(&snapshot, "n"), 100, "it was seen bound");
        assert!(snapshot.observe("u", None));
        assert_eq!(cpu(&snapshot, "n"), 0);
        snapshot.assume("v", "n", placed("", 50));
        snapshot.forget_all();
        assert!(snapshot.nodes.is_empty() && snapshot.places.is_empty());
    }

    #[test]
    fn a_pod_is_small() {
        let labels = std::mem::size_of::<Placed>();
        assert!(std::mem::size_of::<PodFacts>() + labels <= 350, "{} + {labels}", std::mem::size_of::<PodFacts>());
    }
}
