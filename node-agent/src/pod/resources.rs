//! Requests and limits as the runtime's numbers, and the pod's quality-of-service class.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use crate::runtime::{QosClass, Resources};

type Amounts = BTreeMap<String, Text>;

/// A named amount of a list; one that does not parse counts as absent, since validation has refused it before.
pub(crate) fn amount(amounts: Option<&Amounts>, name: &str) -> Option<Quantity> {
    amounts?.get(name)?.0.parse().ok()
}

fn milli(quantity: Quantity) -> u64 {
    u64::try_from(quantity.milli_value()).unwrap_or(0)
}

fn units(quantity: Quantity) -> u64 {
    u64::try_from(quantity.value()).unwrap_or(0)
}

/// The containers whose resources count: regular and init ones.
fn all_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.as_ref();
    let containers = spec.map_or(&[][..], |spec| &spec.containers);
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    containers.iter().chain(init)
}

/// The pod's class, by upstream's rules over cpu and memory.
pub(crate) fn qos_class(pod: &Pod) -> QosClass {
    let pod_level = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let lists: Vec<Option<&ResourceRequirements>> = match pod_level {
        Some(resources) => vec![Some(resources)],
        None => all_containers(pod).map(|container| container.resources.as_ref()).collect(),
    };
    let positive = |amounts: Option<&Amounts>, name| amount(amounts, name).filter(|quantity| !quantity.is_zero());
    let mut any = false;
    let mut guaranteed = true;
    for resources in lists {
        for name in ["cpu", "memory"] {
            let limit = positive(resources.and_then(|resources| resources.limits.as_ref()), name);
            let request = positive(resources.and_then(|resources| resources.requests.as_ref()), name);
            any |= limit.is_some() || request.is_some();
            // A missing request defaults to the limit.
            guaranteed &= match (limit, request) {
                (Some(limit), Some(request)) => limit == request,
                (Some(_), None) => true,
                (None, _) => false,
            };
        }
    }
    match (any, guaranteed) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

/// The name of a class in a pod's status.
pub(crate) fn qos_name(class: QosClass) -> &'static str {
    match class {
        QosClass::Guaranteed => "Guaranteed",
        QosClass::Burstable => "Burstable",
        QosClass::BestEffort => "BestEffort",
    }
}

/// What one container may use. `memory_capacity` is the node's, for the out-of-memory score.
pub(crate) fn of_container(container: &Container, class: QosClass, memory_capacity: u64) -> Resources {
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let cpu_limit = amount(limits, "cpu").map(milli);
    let memory_limit = amount(limits, "memory").map(units);
    let memory_request = amount(requests, "memory").map(units).or(memory_limit);
    Resources {
        memory_limit: memory_limit.filter(|limit| *limit > 0),
        cpu_request: amount(requests, "cpu").map(milli).or(cpu_limit),
        cpu_limit: cpu_limit.filter(|limit| *limit > 0),
        pids_limit: None,
        cpus: None,
        oom_score_adj: Some(oom_score_adj(class, memory_request.unwrap_or(0), memory_capacity)),
    }
}

/// The more of the node a burstable container asked for, the later it is killed; never as late as a guaranteed one.
fn oom_score_adj(class: QosClass, memory_request: u64, memory_capacity: u64) -> i32 {
    match class {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let share = (u128::from(memory_request) * 1000 / u128::from(memory_capacity.max(1))).min(1000);
            (1000 - i32::try_from(share).unwrap_or(1000)).clamp(3, 999)
        }
    }
}

/// What the pod as a whole may use: the sum of its containers, a limit only when every one of them has it.
pub(crate) fn of_pod(pod: &Pod) -> Resources {
    let pod_level = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    if let Some(resources) = pod_level {
        let (limits, requests) = (resources.limits.as_ref(), resources.requests.as_ref());
        return Resources {
            memory_limit: amount(limits, "memory").map(units),
            cpu_request: amount(requests, "cpu").or(amount(limits, "cpu")).map(milli),
            cpu_limit: amount(limits, "cpu").map(milli),
            ..Resources::default()
        };
    }
    Resources {
        memory_limit: total(pod, |resources| amount(resources.limits.as_ref(), "memory").map(units)),
        cpu_request: Some(requested(pod, "cpu", milli)),
        cpu_limit: total(pod, |resources| amount(resources.limits.as_ref(), "cpu").map(milli)),
        ..Resources::default()
    }
}

/// The pod's request of one resource: its containers together, or its hungriest init container.
fn requested(pod: &Pod, name: &str, unit: impl Fn(Quantity) -> u64) -> u64 {
    let of = |container: &Container| {
        let resources = container.resources.as_ref();
        amount(resources.and_then(|r| r.requests.as_ref()), name)
            .or_else(|| amount(resources.and_then(|r| r.limits.as_ref()), name))
            .map_or(0, &unit)
    };
    let spec = pod.spec.as_ref();
    let together: u64 = spec.map_or(0, |spec| spec.containers.iter().map(of).sum());
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let sidecars: u64 = init.iter().filter(|container| super::is_sidecar(container)).map(of).sum();
    together.saturating_add(sidecars).max(init.iter().map(of).max().unwrap_or(0))
}

fn total(pod: &Pod, limit: impl Fn(&ResourceRequirements) -> Option<u64>) -> Option<u64> {
    let mut sum = 0u64;
    for container in all_containers(pod) {
        sum = sum.saturating_add(container.resources.as_ref().and_then(&limit)?);
    }
    Some(sum).filter(|sum| *sum > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(containers: serde_json::Value) -> Pod {
        serde_json::from_value(json!({ "spec": { "containers": containers } })).unwrap()
    }

    #[test]
    fn classes_follow_requests_and_limits() {
        let both = json!({ "cpu": "1", "memory": "1Gi" });
        let half = json!({ "cpu": "500m", "memory": "1Gi" });
        for (resources, class) in [
            (json!({}), QosClass::BestEffort),
            (json!({ "limits": both }), QosClass::Guaranteed),
            (json!({ "limits": both, "requests": both }), QosClass::Guaranteed),
            (json!({ "limits": both, "requests": half }), QosClass::Burstable),
            (json!({ "requests": { "cpu": "1m" } }), QosClass::Burstable),
            (json!({ "limits": { "cpu": "1" } }), QosClass::Burstable),
        ] {
            let pod = pod(json!([{ "name": "a", "resources": resources }]));
            assert_eq!(qos_class(&pod), class, "{resources}");
        }
        let mixed = pod(json!([{ "name": "a", "resources": { "limits": both } }, { "name": "b" }]));
        assert_eq!(qos_class(&mixed), QosClass::Burstable);
    }

    #[test]
    fn limits_become_numbers() {
        let pod = pod(json!([
            { "name": "a", "resources": { "limits": { "cpu": "250m", "memory": "64Mi" }, "requests": { "cpu": "100m" } } },
            { "name": "b", "resources": { "requests": { "cpu": "1" } } },
        ]));
        let containers = &pod.spec.as_ref().unwrap().containers;
        let a = of_container(&containers[0], QosClass::Burstable, 640 << 20);
        assert_eq!((a.cpu_limit, a.cpu_request, a.memory_limit), (Some(250), Some(100), Some(64 << 20)));
        assert_eq!(a.oom_score_adj, Some(900), "asks for a tenth of the node");
        let whole = of_pod(&pod);
        assert_eq!((whole.cpu_request, whole.cpu_limit, whole.memory_limit), (Some(1100), None, None));
    }
}
