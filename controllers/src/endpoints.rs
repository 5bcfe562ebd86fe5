//! Endpoints: the older form of EndpointSlices, one object of the Service's name, kept for clients that read it.
//!
//! It tells less: one family, no pods on their way out, a thousand addresses at most. It goes with its Service, unless
//! someone else made it.

use client::Key;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use crate::caches::resources::{ENDPOINTS, PODS, SERVICES};
use crate::endpoint_slice::{HEADLESS, pods};
use crate::meta::{self, Strings};
use crate::plan::merge_diff::{json as to_json, merge_diff};
use crate::plan::{Action, Plan};
use crate::runtime::{Context, Controller, Item, Occurrence, Watch, itself};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
/// The annotation that says that there are more.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// As upstream.
const ADDRESSES_MAX: usize = 1000;

/// See the module's documentation.
pub static CONTROLLER: Controller = Controller {
    name: "endpoints",
    component: "endpoint-controller",
    workers: 2,
    watches: &[
        Watch { resource: Some(SERVICES), keys: itself },
        Watch { resource: Some(PODS), keys: pods::services_of },
        Watch { resource: Some(ENDPOINTS), keys: of_endpoints },
    ],
    reconcile: |context, item| gather(context, item).unwrap_or_default(),
};

/// All that is looked at.
pub struct View<'a> {
    /// The Service; `None` when it is gone.
    pub service: Option<&'a Service>,
    /// The pods that its selector selects.
    pub pods: &'a [Pod],
    /// The object of the Service's name.
    pub endpoints: Option<&'a Endpoints>,
}

/// Decides.
pub fn reconcile(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    match (view.service, view.endpoints) {
        (Some(service), _) if pods::selector(service).is_some() && service.metadata.deletion_timestamp.is_none() => {
            write(&mut plan, service, view);
        }
        (None, Some(endpoints)) if is_ours(endpoints.metadata.labels.as_ref()) => {
            let uid = endpoints.metadata.uid.clone().unwrap_or_default();
            let key = key_of(&endpoints.metadata);
            plan.act(Action::Delete { resource: ENDPOINTS, key, uid, grace_seconds: None, foreground: false });
        }
        _ => {}
    }
    plan
}

fn write(plan: &mut Plan, service: &Service, view: &View<'_>) {
    let (subsets, truncated) = subsets(service, view.pods);
    let before = view.endpoints.map(|endpoints| &endpoints.metadata);
    let mut annotations = before.and_then(|before| before.annotations.clone()).unwrap_or_default();
    annotations.remove(OVER_CAPACITY);
    if truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    }
    let wanted = Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels(service)),
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            ..ObjectMeta::default()
        },
        subsets: Some(subsets),
    };
    let Some(present) = view.endpoints else {
        plan.act(Action::Create { resource: ENDPOINTS, body: to_json(&wanted) });
        return;
    };
    let kept = |endpoints: &Endpoints| {
        let metadata = &endpoints.metadata;
        let subsets = endpoints.subsets.as_deref().unwrap_or_default();
        json!({ "metadata": { "labels": metadata.labels, "annotations": metadata.annotations }, "subsets": subsets })
    };
    if let Some(patch) = merge_diff(&kept(present), &kept(&wanted)) {
        let patch = meta::at_revision(patch, present.metadata.resource_version.as_deref());
        plan.act(Action::Patch { resource: ENDPOINTS, key: key_of(&present.metadata), subresource: "", patch });
    }
}

fn labels(service: &Service) -> Strings {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if pods::is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

/// The addresses by the ports they serve at, and whether some had to be left out.
fn subsets(service: &Service, all: &[Pod]) -> (Vec<EndpointSubset>, bool) {
    let families = pods::families(service);
    let family = families.first().copied().unwrap_or_default();
    let tolerates = pods::publishes_not_ready(service);
    let has_ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).is_some_and(|ports| !ports.is_empty());
    let told = |pod: &&Pod| pods::has_place(pod) && (tolerates || pod.metadata.deletion_timestamp.is_none());
    let mut subsets: Vec<EndpointSubset> = Vec::new();
    let (mut count, mut truncated) = (0, false);
    let mut chosen: Vec<&Pod> = all.iter().filter(told).collect();
    // Where there is no room for all, it is for those that answer.
    chosen.sort_by_key(|pod| !pods::is_ready(pod));
    for pod in chosen {
        let Some(ip) = pods::address(pod, family) else { continue };
        let ports = ports(service, pod);
        // A pod that has none of the ports is no place to go, except where none are asked for.
        if ports.is_empty() && has_ports {
            continue;
        }
        if count == ADDRESSES_MAX {
            truncated = true;
            break;
        }
        count += 1;
        let address = EndpointAddress {
            ip: ip.to_owned(),
            hostname: pods::hostname(service, pod),
            node_name: pods::node_name(pod),
            target_ref: Some(pods::target(pod)),
        };
        let ports = Some(ports).filter(|ports| !ports.is_empty());
        let at = subsets.iter().position(|subset| subset.ports == ports).unwrap_or_else(|| {
            subsets.push(EndpointSubset { ports, ..EndpointSubset::default() });
            subsets.len() - 1
        });
        let subset = &mut subsets[at];
        let list =
            if tolerates || pods::is_ready(pod) { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address);
    }
    sort(&mut subsets);
    (subsets, truncated)
}

/// In an order of its own: a pod that becomes ready moves no other.
fn sort(subsets: &mut [EndpointSubset]) {
    for subset in &mut *subsets {
        for list in [&mut subset.addresses, &mut subset.not_ready_addresses].into_iter().flatten() {
            list.sort_by(|one, other| one.ip.cmp(&other.ip));
        }
    }
    subsets.sort_by_key(|subset| {
        subset.ports.iter().flatten().map(|port| (port.name.clone(), port.port)).collect::<Vec<_>>()
    });
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let convert = |port: discovery::EndpointPort| {
        Some(EndpointPort {
            name: port.name.filter(|name| !name.is_empty()),
            port: port.port?,
            protocol: port.protocol,
            app_protocol: port.app_protocol,
        })
    };
    pods::ports(service, pod).into_iter().filter_map(convert).collect()
}

fn key_of(metadata: &ObjectMeta) -> Key {
    Key::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

fn is_ours(labels: Option<&Strings>) -> bool {
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
}

fn gather(context: &Context<'_>, item: &Item) -> Option<Plan> {
    let caches = context.caches;
    let entry = caches.get(&SERVICES, &item.key);
    let service: Option<Service> = caches.typed(&SERVICES, &item.key);
    if entry.is_some() && service.is_none() {
        // What cannot be read is not gone.
        return None;
    }
    let endpoints: Option<Endpoints> = caches.typed(&ENDPOINTS, &item.key);
    let pods = service.as_ref().map(|service| pods::selected(caches, service)).unwrap_or_default();
    Some(reconcile(&View { service: service.as_ref(), pods: &pods, endpoints: endpoints.as_ref() }))
}

/// Endpoints that someone changed or deleted, or whose Service went while nobody looked.
fn of_endpoints(occurrence: &Occurrence<'_>, wake: &mut dyn FnMut(Item)) {
    wake(Item::new(SERVICES, occurrence.key.clone()));
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::CONTROLLER;
    use crate::endpoint_slice::tests::{pod, service};
    use crate::testing::check;

    const OURS: &str = "metadata: {name: web, namespace: a, uid: e1, labels: {endpoints.kubernetes.io/managed-by: endpoint-controller}}";

    fn endpoints(metadata: &str, rest: &str) -> String {
        format!("\n---\n{{apiVersion: v1, kind: Endpoints, {metadata}{rest}}}")
    }

    #[test]
    fn they_are_created_with_the_service_and_go_with_it() {
        check(
            &CONTROLLER,
            "services a/web",
            &service(""),
            expect![[r#"
            create endpoints a/web labels={"endpoints.kubernetes.io/managed-by":"endpoint-controller"}
        "#]],
        );
        check(
            &CONTROLLER,
            "services a/web",
            &(service("") + &endpoints(OURS, "")),
            expect![[r#"
            nothing to do
        "#]],
        );
        check(
            &CONTROLLER,
            "services a/web",
            &endpoints(OURS, ""),
            expect![[r#"
            delete endpoints a/web
        "#]],
        );
        let by_hand = "metadata: {name: web, namespace: a, uid: e1}";
        check(
            &CONTROLLER,
            "services a/web",
            &endpoints(by_hand, ""),
            expect![[r#"
            nothing to do
        "#]],
        );
    }

    #[test]
    fn addresses_stand_by_their_readiness_and_those_that_leave_are_left_out() {
        let pods = pod("ready", "10.0.0.2", "True", "")
            + &pod("unready", "10.0.0.3", "False", "")
            + &pod("leaving", "10.0.0.4", "True", "deletionTimestamp: '2026-01-01T00:10:00Z'");
        let named = service("").replace("targetPort: 8080", "targetPort: other");
        check(
            &CONTROLLER,
            "services a/web",
            &(named + &pods + &endpoints(OURS, "")),
            expect![[r#"
            nothing to do
        "#]],
        );
        check(
            &CONTROLLER,
            "services a/web",
            &(service("") + &pods + &endpoints(OURS, "")),
            expect![[r#"
            patch endpoints a/web {"metadata":{"resourceVersion":"10"},"subsets":[{"addresses":[{"ip":"10.0.0.2","nodeName":"n1","targetRef":{"kind":"Pod","name":"ready","namespace":"a","uid":"ready"}}],"notReadyAddresses":[{"ip":"10.0.0.3","nodeName":"n1","targetRef":{"kind":"Pod","name":"unready","namespace":"a","uid":"unready"}}],"ports":[{"port":8080,"protocol":"TCP"}]}]}
        "#]],
        );
    }
}
