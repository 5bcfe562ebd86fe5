//! EndpointSlice: where the pods of a Service are, and in what state, in slices of at most a hundred endpoints.
//!
//! Slices carry the name of their Service and of this controller in labels and go with the Service by their owner
//! reference. A slice that need not change is not written, and an endpoint never moves from one slice to another.
//! A Service without a selector, or with a name outside of the cluster, is left to whoever looks after it. Deliberately
//! absent: hints for topology, and slices made from Endpoints that someone wrote by hand.

use std::collections::BTreeMap;

use client::Key;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::caches::resources::{ENDPOINT_SLICES, NODES, PODS, SERVICES};
use crate::caches::{Cached, Caches, decode};
use crate::meta::{self, Names, Strings};
use crate::plan::merge_diff::{json as to_json, merge_diff};
use crate::plan::{Act, Action, Pace, Plan};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch, itself};

mod packing;
mod planted;
pub(crate) mod pods;

use packing::{Slot, pack};
use pods::families;

/// The label with the name of the Service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label with the name of who keeps a slice.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// The label of what belongs to a Service that has no address.
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";
const ZONE: &str = "topology.kubernetes.io/zone";

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "endpoint_slice",
    component: "endpoint-slice-controller",
    workers: 4,
    watches: &[
        Watch { resource: Some(SERVICES), keys: itself },
        Watch { resource: Some(PODS), keys: pods::services_of },
        Watch { resource: Some(ENDPOINT_SLICES), keys: of_slice },
        Watch { resource: Some(NODES), keys: of_zone },
    ],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The Service.
    pub service: &'a Service,
    /// The pods that its selector selects.
    pub pods: &'a [Pod],
    /// The zone of each node that has one.
    pub zones: &'a BTreeMap<String, String>,
    /// The slices that this controller keeps for the Service.
    pub slices: &'a [EndpointSlice],
    /// For names of slices.
    pub seed: u64,
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let service = view.service;
    if pods::selector(service).is_none() || service.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let mut names = Names::new(view.seed);
    let families = families(service);
    let (mut writes, mut deletions) = (Vec::new(), Vec::new());
    for family in &families {
        let existing: Vec<&EndpointSlice> = view.slices.iter().filter(|slice| slice.address_type == *family).collect();
        let packed = pack(&existing, pods::groups(service, view.pods, view.zones, family));
        for slot in packed.slots {
            writes.extend(write(service, family, slot, &mut names));
        }
        deletions.extend(packed.unused.into_iter().map(delete));
    }
    let others = view.slices.iter().filter(|slice| !families.contains(&&*slice.address_type));
    deletions.extend(others.map(delete));
    plan.step(Pace::Together, writes);
    // What a slice says elsewhere now is there before the slice goes.
    plan.step(Pace::Together, deletions);
    plan
}

/// What makes the slice as it should be; nothing when it is.
fn write(service: &Service, family: &str, slot: Slot<'_>, names: &mut Names) -> Option<Act> {
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let owner = meta::controller_reference("v1", "Service", &service.metadata);
    let base = format!("{name}-");
    let mut slice = EndpointSlice {
        metadata: ObjectMeta {
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels(service)),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        address_type: family.to_owned(),
        endpoints: Some(slot.endpoints),
        ports: Some(slot.ports),
    };
    let Some(existing) = slot.existing else {
        slice.metadata.name = Some(names.generate(&base));
        slice.metadata.generate_name = Some(base);
        return Some(Action::Create { resource: ENDPOINT_SLICES, body: to_json(&slice) }.into());
    };
    let patch = merge_diff(&kept(existing), &kept(&slice))?;
    let patch = meta::at_revision(patch, existing.metadata.resource_version.as_deref());
    Some(Action::Patch { resource: ENDPOINT_SLICES, key: key_of(existing), subresource: "", patch }.into())
}

/// The part of a slice that this controller decides on.
fn kept(slice: &EndpointSlice) -> Value {
    json!({
        "metadata": { "labels": slice.metadata.labels, "ownerReferences": slice.metadata.owner_references },
        "endpoints": slice.endpoints.as_deref().unwrap_or_default(),
        "ports": packing::ports(slice),
    })
}

/// The labels of the Service, and what says whose slice it is.
fn labels(service: &Service) -> Strings {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if pods::is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn delete(slice: &EndpointSlice) -> Act {
    let uid = slice.metadata.uid.clone().unwrap_or_default();
    let key = key_of(slice);
    Action::Delete { resource: ENDPOINT_SLICES, key, uid, grace_seconds: None, foreground: false }.into()
}

fn key_of(slice: &EndpointSlice) -> Key {
    let metadata = &slice.metadata;
    Key::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let caches = context.caches;
    let service: Service = caches.typed(&SERVICES, &item.key)?;
    let slices = caches.of(&ENDPOINT_SLICES).in_namespace(&item.key.namespace);
    let slices: Vec<EndpointSlice> = slices
        .iter()
        .filter(|slice| is_ours(slice) && slice.object.header().label(SERVICE_NAME) == Some(&*item.key.name))
        .filter_map(|slice| decode(&ENDPOINT_SLICES, slice))
        .collect();
    let pods = pods::selected(caches, &service);
    if planted::leaves_alone(context.surroundings, &slices, &pods) {
        return None;
    }
    let view = View { service: &service, pods: &pods, zones: &zones(caches), slices: &slices, seed: context.seed };
    Some(reconcile(&view))
}

fn is_ours(slice: &Cached) -> bool {
    slice.object.header().label(MANAGED_BY) == Some(MANAGER)
}

fn zone(node: &Cached) -> Option<&str> {
    node.object.header().label(ZONE).filter(|zone| !zone.is_empty())
}

fn zones(caches: &Caches) -> BTreeMap<String, String> {
    let nodes = caches.of(&NODES).list();
    let zone_of = |node: &Cached| Some((node.object.header().name.to_string(), zone(node)?.to_owned()));
    nodes.iter().filter_map(zone_of).collect()
}

/// A slice that someone changed or deleted wakes its Service.
fn of_slice(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    for slice in occurrence.both().filter(|slice| is_ours(slice)) {
        if let Some(name) = slice.object.header().label(SERVICE_NAME) {
            wake(Item::new(SERVICES, Key::new(occurrence.key.namespace.clone(), name)));
        }
    }
}

/// A node that is in another zone now wakes every Service: that is rare, and any of them may have a pod there.
fn of_zone(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    if occurrence.before.and_then(zone) == occurrence.after.and_then(zone) {
        return;
    }
    for service in occurrence.caches.of(&SERVICES).list() {
        wake(Item::new(SERVICES, Key::of(&service.object)));
    }
}

#[cfg(test)]
pub(crate) mod tests;
