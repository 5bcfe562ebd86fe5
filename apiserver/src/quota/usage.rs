//! What one object uses of which resources, under the names quotas know them by (upstream's evaluators).

use api::{Node, Object, kind::Kind};
use jiff::{SignedDuration, Timestamp};

use crate::amounts::{self, Amounts, amounts, count};

/// Kinds that are also counted under their bare name.
const BARE: [&str; 7] =
    ["configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services", "pods"];

/// What an object uses.
pub(crate) fn of(kind: &Kind, object: &Object) -> Amounts {
    let resource = api::status::Grouped::new(kind.group, kind.plural);
    let mut used = Amounts::from([(format!("count/{resource}"), count(1))]);
    if !kind.group.is_empty() {
        return used;
    }
    match kind.plural {
        "pods" => pod(object, &mut used),
        "services" => service(object, &mut used),
        "persistentvolumeclaims" => claim(object, &mut used),
        other if BARE.contains(&other) => drop(used.insert(other.to_owned(), count(1))),
        _ => {}
    }
    used
}

/// True when a kind may use something under this name.
pub(crate) fn concerns(kind: &Kind, name: &str) -> bool {
    let resource = api::status::Grouped::new(kind.group, kind.plural).to_string();
    if let Some(counted) = name.strip_prefix("count/") {
        return counted == resource;
    }
    if !kind.group.is_empty() {
        return false;
    }
    let of_claims = name == "requests.storage" || name.contains(".storageclass.storage.k8s.io/");
    match kind.plural {
        "pods" => {
            !of_claims
                && (matches!(name, "pods" | "cpu" | "memory" | "ephemeral-storage")
                    || ["requests.", "limits.", "hugepages-"].iter().any(|prefix| name.starts_with(prefix)))
        }
        "services" => name == "services" || name.starts_with("services."),
        "persistentvolumeclaims" => name == "persistentvolumeclaims" || of_claims,
        other => name == other && BARE.contains(&other),
    }
}

/// A pod that is over, or should be gone, uses nothing any more but its place among the objects.
fn pod(pod: &Object, used: &mut Amounts) {
    if matches!(pod.str_at("status.phase"), "Succeeded" | "Failed") || is_overdue(pod) {
        return;
    }
    used.insert("pods".into(), count(1));
    compute(&amounts::of_pod(pod, "requests"), &amounts::of_pod(pod, "limits"), used);
}

fn is_overdue(pod: &Object) -> bool {
    let grace = pod.body.i64_at("metadata.deletionGracePeriodSeconds").unwrap_or_default();
    let end: Option<Timestamp> = pod.str_at("metadata.deletionTimestamp").parse().ok();
    let overdue = end.and_then(|end| end.checked_add(SignedDuration::from_secs(grace)).ok());
    overdue.is_some_and(|overdue| overdue < api::clock::now())
}

/// Requests and limits under the names of quotas.
pub(super) fn compute(requests: &Amounts, limits: &Amounts, used: &mut Amounts) {
    for (name, amount) in requests {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
            used.insert(name.clone(), *amount);
            used.insert(format!("requests.{name}"), *amount);
        } else if name.contains('/') {
            used.insert(format!("requests.{name}"), *amount);
        }
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.insert(format!("limits.{name}"), *amount);
        }
    }
}

fn service(service: &Object, used: &mut Amounts) {
    let ports = service.body.items_at("spec.ports");
    let chosen = || ports.iter().filter(|port| port.i64_at("nodePort").is_some_and(|port| port > 0)).count();
    let (balancers, node_ports) = match service.str_at("spec.type") {
        "NodePort" => (0, ports.len()),
        "LoadBalancer" if service.body.bool_at("spec.allocateLoadBalancerNodePorts") == Some(false) => (1, chosen()),
        "LoadBalancer" => (1, ports.len()),
        _ => (0, 0),
    };
    used.insert("services".into(), count(1));
    used.insert("services.loadbalancers".into(), count(balancers));
    used.insert("services.nodeports".into(), count(node_ports));
}

fn claim(claim: &Object, used: &mut Amounts) {
    let class = match claim.annotation("volume.beta.kubernetes.io/storage-class") {
        Some(class) => class,
        None => claim.str_at("spec.storageClassName"),
    };
    let own = |name: &str| format!("{class}.storageclass.storage.k8s.io/{name}");
    used.insert("persistentvolumeclaims".into(), count(1));
    if !class.is_empty() {
        used.insert(own("persistentvolumeclaims"), count(1));
    }
    let asked = amounts(claim.at("spec.resources.requests")).get("storage").copied();
    let allocated = amounts(claim.at("status.allocatedResources")).get("storage").copied();
    if let Some(storage) = asked.max(allocated) {
        used.insert("requests.storage".into(), storage);
        if !class.is_empty() {
            used.insert(own("requests.storage"), storage);
        }
    }
}

/// What the containers of a pod leave unsaid of the resources a quota limits; nothing if all is said.
pub(crate) fn unsaid(pod: &Object, limited: &[&str]) -> Option<String> {
    const NEEDED: [&str; 6] = ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
    let whole = Amounts::from_iter(compute_of(pod.at("spec.resources.requests"), pod.at("spec.resources.limits")));
    let needed = NEEDED.into_iter().filter(|name| limited.contains(name) && !whole.contains_key(*name));
    let lists = ["spec.containers", "spec.initContainers"];
    let complaint = |name: &str| {
        let containers = lists.iter().flat_map(|list| pod.body.items_at(list));
        let silent = containers.filter(|container| {
            !compute_of(container.at("resources.requests"), container.at("resources.limits")).contains_key(name)
        });
        let mut names: Vec<&str> = silent.map(|container| container.str_at("name")).collect();
        names.sort_unstable();
        (!names.is_empty()).then(|| format!("{name} for: {}", names.join(",")))
    };
    let complaints: Vec<String> = needed.filter_map(complaint).collect();
    (!complaints.is_empty()).then(|| format!("must specify {}", complaints.join("; ")))
}

fn compute_of(requests: Option<&Node>, limits: Option<&Node>) -> Amounts {
    let mut used = Amounts::new();
    compute(&amounts(requests), &amounts(limits), &mut used);
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(plural: &str, text: &str) -> (&'static Kind, Object) {
        let kind = api::kind::lookup("", "v1", plural).unwrap();
        let json = api::yaml::to_json(text).unwrap();
        (kind, api::json::decode(kind.ty, &json, api::json::Options::CHECKED).unwrap().object)
    }

    #[test]
    fn objects_use_what_quotas_count() {
        for (plural, text, expected) in [
            ("configmaps", "data: {a: b}", "configmaps=1,count/configmaps=1"),
            ("pods", "spec: {containers: [{resources: {requests: {cpu: 1, a.b/c: 2}, limits: {memory: 1Gi}}}]}", {
                "count/pods=1,cpu=1,limits.memory=1Gi,pods=1,requests.a.b/c=2,requests.cpu=1"
            }),
            ("pods", "spec: {containers: [{resources: {requests: {cpu: 1}}}]}\nstatus: {phase: Succeeded}", {
                "count/pods=1"
            }),
            ("services", "spec: {type: NodePort, ports: [{port: 1}, {port: 2}]}", {
                "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2"
            }),
            (
                "services",
                "spec: {type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 1, nodePort: 30000}, {port: 2}]}",
                { "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1" },
            ),
        ] {
            let (kind, object) = object(plural, text);
            assert_eq!(amounts::text(&of(kind, &object)), expected, "{text}");
            for name in of(kind, &object).keys() {
                assert!(concerns(kind, name), "{name}");
            }
        }
    }

    #[test]
    fn silence_about_what_is_limited_is_told() {
        let (_, pod) = object("pods", "spec: {containers: [{name: b}, {name: a, resources: {requests: {cpu: 1}}}]}");
        assert_eq!(unsaid(&pod, &["pods"]), None);
        assert_eq!(unsaid(&pod, &["cpu", "limits.memory"]).as_deref(), {
            Some("must specify cpu for: b; limits.memory for: a,b")
        });
    }
}
