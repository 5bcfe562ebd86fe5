//! Every node gets its own part of the cluster's pod address ranges.
//!
//! The lowest free part by the cache; then the store confirms that no other node has it, since a cache may lag behind
//! what the last leader wrote. One worker and the fence make that exact: nobody else can write a claim in between.

use client::Key;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

use crate::caches::decode;
use crate::caches::resources::NODES;
use crate::cidr::Cidr;
use crate::meta;
use crate::plan::{Act, Action, Confirm, Pace, Plan, warning};
use crate::runtime::{Context, Controller, Item, Watch, itself};

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "node_ipam",
    component: "cidrAllocator",
    workers: 1,
    watches: &[Watch { resource: Some(NODES), keys: itself }],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The node.
    pub node: &'a Node,
    /// The ranges of the cluster, with the prefix of a node's part.
    pub cluster_cidrs: &'a [(Cidr, u8)],
    /// What all nodes have.
    pub taken: &'a [Cidr],
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let has = view.node.spec.as_ref().and_then(|spec| spec.pod_cidr.as_ref()).is_some_and(|cidr| !cidr.is_empty());
    if has || view.cluster_cidrs.is_empty() || view.node.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let parts: Option<Vec<Cidr>> =
        view.cluster_cidrs.iter().map(|(range, prefix)| range.first_free(*prefix, view.taken)).collect();
    let Some(parts) = parts else {
        let about = meta::reference("v1", "Node", &view.node.metadata);
        let message =
            "no part of the cluster's pod address range is free: delete nodes that are gone, or widen the range";
        plan.notes.push(warning(&about, "CIDRNotAvailable", message));
        plan.wake(std::time::Duration::from_secs(30));
        return plan;
    };
    let values: Vec<String> = parts.iter().map(Cidr::to_string).collect();
    let key = Key::new("", view.node.metadata.name.clone().unwrap_or_default());
    let claim =
        Confirm::Unclaimed { resource: NODES, by: key.clone(), field: "/spec/podCIDRs", values: values.clone() };
    plan.step(Pace::Together, vec![Act::from(Action::Confirm(claim))]);
    let patch = json!({"spec": {"podCIDR": values.first(), "podCIDRs": values}});
    plan.act(Action::Patch { resource: NODES, key, subresource: "", patch });
    plan
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let mut taken = Vec::new();
    let mut node = None;
    for entry in context.caches.of(&NODES).list() {
        let Some(other) = decode::<Node>(&NODES, &entry) else { continue };
        let spec = other.spec.as_ref();
        let cidrs = spec.and_then(|spec| spec.pod_cidrs.clone()).unwrap_or_default();
        taken.extend(
            cidrs
                .iter()
                .chain(spec.and_then(|spec| spec.pod_cidr.as_ref()))
                .filter_map(|text| text.parse::<Cidr>().ok()),
        );
        if Key::of(&entry.object) == item.key {
            node = Some(other);
        }
    }
    Some(reconcile(&View { node: &node?, cluster_cidrs: &context.settings.cluster_cidrs, taken: &taken }))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::CONTROLLER;
    use crate::testing::check;

    #[test]
    fn a_node_gets_the_lowest_free_part() {
        let nodes = "
{apiVersion: v1, kind: Node, metadata: {name: a}, spec: {podCIDR: 10.244.0.0/24, podCIDRs: [10.244.0.0/24]}}
---
{apiVersion: v1, kind: Node, metadata: {name: b}}
---
{apiVersion: v1, kind: Node, metadata: {name: c}, spec: {podCIDR: 10.244.2.0/24, podCIDRs: [10.244.2.0/24]}}
";
        check(
            &CONTROLLER,
            "nodes b",
            nodes,
            expect![[r#"
            confirm no other of nodes has 10.244.1.0/24 in /spec/podCIDRs
            patch nodes b {"spec":{"podCIDR":"10.244.1.0/24","podCIDRs":["10.244.1.0/24"]}}
        "#]],
        );
        check(
            &CONTROLLER,
            "nodes a",
            nodes,
            expect![[r#"
            nothing to do
        "#]],
        );
    }

    #[test]
    fn a_used_up_range_is_said() {
        let nodes: String = (0..4)
            .map(|n| format!("---\n{{apiVersion: v1, kind: Node, metadata: {{name: n{n}}}, spec: {{podCIDR: 10.244.{n}.0/24}}}}\n"))
            .collect();
        let nodes = format!("{nodes}---\n{{apiVersion: v1, kind: Node, metadata: {{name: b}}}}");
        check(
            &CONTROLLER,
            "nodes b",
            &nodes,
            expect![[r#"
            say Warning CIDRNotAvailable on b: no part of the cluster's pod address range is free: delete nodes that are gone, or widen the range
            wake after 30s
        "#]],
        );
    }
}
