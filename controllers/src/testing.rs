//! One `check` for all controllers: objects as YAML in, the plan as text out.

use std::sync::Arc;
use std::time::Duration;

use api::surroundings::Surroundings;
use client::source::wire::stored_object;
use client::{Key, Resource, SourceEvent};
use expect_test::Expect;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::caches::resources as known;
use crate::caches::{Caches, Served};
use crate::plan::Plan;
use crate::runtime::{Context, Controller, Failure, Item, Settings};

/// The time at which every test happens.
pub(crate) const NOW: &str = "2026-01-01T00:10:00Z";

/// Given these objects, the controller plans this for `"<plural> <namespace>/<name>"`.
#[track_caller]
pub(crate) fn check(controller: &Controller, item: &str, given: &str, expect: Expect) {
    expect.assert_eq(&plan(0, controller, item, given, None));
}

/// The same, when nothing changed for some seconds.
#[track_caller]
pub(crate) fn check_after(seconds: u64, controller: &Controller, item: &str, given: &str, expect: Expect) {
    expect.assert_eq(&plan(seconds, controller, item, given, None));
}

/// The same, when the last plan failed.
#[track_caller]
pub(crate) fn check_failed(controller: &Controller, item: &str, given: &str, message: &str, expect: Expect) {
    let failure = Failure { reason: "Forbidden".to_owned(), message: message.to_owned() };
    expect.assert_eq(&plan(0, controller, item, given, Some(failure)));
}

/// What a controller plans for an item, given what the caches have seen.
pub(crate) fn plan_for(caches: &Caches, controller: &Controller, item: &str) -> Plan {
    reconcile(0, controller, item, caches, None)
}

fn plan(seconds: u64, controller: &Controller, item: &str, given: &str, last_failure: Option<Failure>) -> String {
    reconcile(seconds, controller, item, &caches(given), last_failure).to_string()
}

fn reconcile(
    seconds: u64,
    controller: &Controller,
    item: &str,
    caches: &Caches,
    last_failure: Option<Failure>,
) -> Plan {
    let begin = Instant::now();
    let context = Context {
        caches,
        surroundings: &Surroundings::real(),
        settings: &settings(),
        now: NOW.parse::<Timestamp>().unwrap(),
        instant: begin + Duration::from_secs(seconds),
        // In the future of the objects' arrival, so that times come out whole.
        watching_since: begin,
        seed: 7,
        last_failure,
    };
    (controller.reconcile)(&context, &parse_item(item))
}

pub(crate) fn settings() -> Settings {
    Settings {
        cluster_cidrs: vec![("10.244.0.0/22".parse().unwrap(), 24)],
        root_ca_pem: "PEM".to_owned(),
        ..Settings::default()
    }
}

pub(crate) fn parse_item(item: &str) -> Item {
    let (plural, name) = item.split_once(' ').unwrap();
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    Item::new(resource(|(resource, _)| resource.plural == plural), Key::new(namespace, name))
}

/// Every resource tests speak of, with its kind.
fn table() -> Vec<(Resource, &'static str)> {
    vec![
        (known::CLUSTER_ROLES, "ClusterRole"),
        (known::CONFIG_MAPS, "ConfigMap"),
        (known::CONTROLLER_REVISIONS, "ControllerRevision"),
        (known::CRON_JOBS, "CronJob"),
        (known::DAEMON_SETS, "DaemonSet"),
        (known::DEPLOYMENTS, "Deployment"),
        (known::ENDPOINT_SLICES, "EndpointSlice"),
        (known::ENDPOINTS, "Endpoints"),
        (known::EVENTS, "Event"),
        (known::JOBS, "Job"),
        (known::LEASES, "Lease"),
        (known::NAMESPACES, "Namespace"),
        (known::NODES, "Node"),
        (known::PERSISTENT_VOLUME_CLAIMS, "PersistentVolumeClaim"),
        (known::PERSISTENT_VOLUMES, "PersistentVolume"),
        (known::PODS, "Pod"),
        (known::REPLICA_SETS, "ReplicaSet"),
        (known::SERVICE_ACCOUNTS, "ServiceAccount"),
        (known::SERVICES, "Service"),
        (known::STATEFUL_SETS, "StatefulSet"),
        (known::VOLUME_ATTRIBUTES_CLASSES, "VolumeAttributesClass"),
    ]
}

fn resource(wanted: impl Fn(&(Resource, &str)) -> bool) -> Resource {
    table().into_iter().find(wanted).unwrap().0
}

/// Caches that have seen these objects.
pub(crate) fn caches(given: &str) -> Caches {
    let caches = Caches::new();
    caches.set_served(
        table()
            .into_iter()
            .filter(|(_, kind)| ["ConfigMap", "Event", "Namespace", "Pod", "ReplicaSet"].contains(kind))
            .map(|(resource, kind)| Served {
                namespaced: kind != "Namespace",
                deletable: true,
                kind: kind.to_owned(),
                resource,
            })
            .collect(),
    );
    for (_, cache) in caches.all() {
        cache.apply(SourceEvent::Reset(Vec::new(), 1));
    }
    for text in given.split("\n---\n").filter(|text| !text.trim().is_empty()) {
        let value: Value = serde_saphyr::from_str(text.trim_start_matches("---\n")).unwrap();
        see(&caches, value);
    }
    caches
}

/// The cache of its kind sees an object.
pub(crate) fn see(caches: &Caches, mut value: Value) {
    let kind = value["kind"].as_str().unwrap().to_owned();
    if value["metadata"]["resourceVersion"].is_null() {
        value["metadata"]["resourceVersion"] = "10".into();
    }
    let object = stored_object(&value.to_string()).unwrap();
    caches.of(&resource(|(_, known)| *known == kind)).apply(SourceEvent::Applied(Arc::new(object)));
}
