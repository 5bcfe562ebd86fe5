//! What one reconcile knows of a DaemonSet, its nodes and its pods.

use std::collections::BTreeMap;
use std::time::Duration;

use api::int_or_string::{IntOrString, Rounding};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, RollingUpdateDaemonSet};
use k8s_openapi::apimachinery::pkg::util::intstr;

use super::View;
use super::node::{DaemonNode, Fit};
use super::pods::DaemonPod;
use super::template;
use crate::replica_set::available_in;

pub(super) struct Facts<'a> {
    pub(super) daemon_set: &'a DaemonSet,
    /// All nodes, with what each is to the pods.
    pub(super) nodes: Vec<(&'a DaemonNode, Fit)>,
    /// The pods by node, oldest first; those of none are under the empty name. Who ended and leaves counts no longer.
    pub(super) pods: BTreeMap<&'a str, Vec<&'a DaemonPod<'a>>>,
    /// Tells the pods of the present template.
    pub(super) hash: String,
    pub(super) now: Timestamp,
    pub(super) seed: u64,
}

impl<'a> Facts<'a> {
    pub(super) fn new(view: &View<'a>, owned: Vec<&'a DaemonPod<'a>>, hash: String) -> Self {
        let spec = template::spec(view.daemon_set);
        let nodes = view.nodes.iter().map(|node| (node, node.fit(&spec))).collect();
        let mut pods: BTreeMap<&str, Vec<&DaemonPod<'_>>> = BTreeMap::new();
        for pod in owned.into_iter().filter(|pod| !(pod.is_leaving() && pod.view.digest.is_finished())) {
            pods.entry(&pod.node).or_default().push(pod);
        }
        for pods in pods.values_mut() {
            pods.sort_by_key(|pod| {
                let digest = pod.view.digest;
                (digest.node.is_empty(), digest.created, &*pod.view.object.header().name)
            });
        }
        Self { daemon_set: view.daemon_set, nodes, pods, hash, now: view.now, seed: view.seed }
    }

    pub(super) fn pods_on(&self, node: &str) -> &[&'a DaemonPod<'a>] {
        self.pods.get(node).map_or(&[], Vec::as_slice)
    }

    /// The nodes that should run a pod.
    pub(super) fn running_nodes(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.nodes.iter().filter(|(_, fit)| *fit == Fit::Runs).map(|(node, _)| &*node.name)
    }

    /// How many nodes should run a pod.
    pub(super) fn desired(&self) -> usize {
        self.running_nodes().count()
    }

    /// When a pod is available: `Some(None)` is now, `None` is not foreseeable.
    pub(super) fn available_in(&self, pod: &DaemonPod<'_>) -> Option<Option<Duration>> {
        available_in(pod.view.digest, self.daemon_set.spec.min_ready_seconds.unwrap_or_default(), self.now)
    }

    pub(super) fn is_available(&self, pod: &DaemonPod<'_>) -> bool {
        self.available_in(pod) == Some(None)
    }

    fn rolling(&self) -> Option<&RollingUpdateDaemonSet> {
        self.daemon_set.spec.update_strategy.as_ref()?.rolling_update.as_ref()
    }

    fn is_rolling(&self) -> bool {
        let strategy = self.daemon_set.spec.update_strategy.as_ref();
        strategy.and_then(|strategy| strategy.type_.as_deref()).is_none_or(|strategy| strategy == "RollingUpdate")
    }

    /// How many nodes may have a second pod, and how many may have none, while the template changes; of all that should
    /// have one. `None`: pods are replaced only when someone deletes them.
    pub(super) fn budget(&self) -> Option<(usize, usize)> {
        if !self.is_rolling() {
            return None;
        }
        let total = i64::try_from(self.desired()).unwrap_or(i64::MAX);
        let scale = |value: Option<&intstr::IntOrString>| {
            let value = match value? {
                intstr::IntOrString::Int(number) => IntOrString::Int(i64::from(*number)),
                intstr::IntOrString::String(text) => IntOrString::Str(text.clone()),
            };
            value.scaled(total, Rounding::Up).and_then(|number| usize::try_from(number).ok())
        };
        let surge = scale(self.rolling().and_then(|rolling| rolling.max_surge.as_ref())).unwrap_or(0);
        let unavailable = scale(self.rolling().and_then(|rolling| rolling.max_unavailable.as_ref())).unwrap_or(1);
        Some(if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) })
    }

    /// Whether a node may have two pods for a while.
    pub(super) fn may_surge(&self) -> bool {
        self.budget().is_some_and(|(surge, _)| surge > 0)
    }
}
