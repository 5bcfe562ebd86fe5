//! The downward API: what a container may learn of its own pod through variables and files.

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use super::ConfigError;
use super::resources::amount;

/// What stands in no pod object but can be asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Addresses of the pod, the primary one first.
    pub(crate) pod_ips: Vec<String>,
    /// Address of the node.
    pub(crate) host_ip: String,
    /// The node's allocatable cpu, in thousandths: the limit of a container without one.
    pub(crate) node_cpu_milli: i64,
    /// The node's allocatable memory in bytes.
    pub(crate) node_memory: i64,
}

/// The value of a `fieldRef` path.
pub(crate) fn field(pod: &Pod, facts: &Facts, path: &str) -> Result<String, ConfigError> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => metadata.labels.as_ref(),
            "metadata.annotations" => metadata.annotations.as_ref(),
            _ => return Err(unsupported(path)),
        };
        return Ok(text(map.and_then(|map| map.get(key))));
    }
    Ok(match path {
        "metadata.name" => text(metadata.name.as_ref()),
        "metadata.namespace" => text(metadata.namespace.as_ref()),
        "metadata.uid" => text(metadata.uid.as_ref()),
        "metadata.labels" => lines(metadata.labels.as_ref()),
        "metadata.annotations" => lines(metadata.annotations.as_ref()),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" | "status.hostIPs" => facts.host_ip.clone(),
        "status.podIP" => facts.pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => facts.pod_ips.join(","),
        _ => return Err(unsupported(path)),
    })
}

fn unsupported(path: &str) -> ConfigError {
    ConfigError(format!("unsupported fieldPath: {path}"))
}

/// `metadata.labels['key']` as its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

fn lines(map: Option<&std::collections::BTreeMap<String, String>>) -> String {
    map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
}

/// The value of a `resourceFieldRef`, in units of its divisor, rounded up.
pub(crate) fn resource(
    container: &Container,
    facts: &Facts,
    of: &ResourceFieldSelector,
) -> Result<String, ConfigError> {
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let node = |name: &str| match name {
        "cpu" => Quantity::from_milli(facts.node_cpu_milli),
        "memory" => Quantity::from_units(facts.node_memory),
        _ => Quantity::ZERO,
    };
    let (list, name) = of.resource.split_once('.').unwrap_or(("", ""));
    let value = match list {
        "limits" => amount(limits, name).filter(|limit| !limit.is_zero()).unwrap_or_else(|| node(name)),
        "requests" => amount(requests, name).or_else(|| amount(limits, name)).unwrap_or(Quantity::ZERO),
        _ => return Err(ConfigError(format!("unsupported container resource: {}", of.resource))),
    };
    let divisor = of.divisor.as_ref().and_then(|divisor| divisor.0.parse::<Quantity>().ok());
    let divisor = divisor.filter(|divisor| !divisor.is_zero()).unwrap_or(Quantity::from_units(1));
    let (value, divisor) =
        if name == "cpu" { (value.milli_value(), divisor.milli_value()) } else { (value.value(), divisor.value()) };
    Ok(value.max(0).unsigned_abs().div_ceil(divisor.max(1).unsigned_abs()).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "web", "namespace": "shop", "uid": "u1", "labels": { "app": "web" } },
            "spec": { "nodeName": "n1", "containers": [{ "name": "a", "resources": {
                "limits": { "cpu": "1500m" }, "requests": { "memory": "3Mi" }
            } }] }
        }))
        .unwrap()
    }

    #[test]
    fn fields_have_values() {
        let facts = Facts { pod_ips: vec!["10.0.0.1".into()], host_ip: "192.168.0.1".into(), ..Facts::default() };
        for (path, value) in [
            ("metadata.name", "web"),
            ("metadata.namespace", "shop"),
            ("metadata.labels['app']", "web"),
            ("metadata.labels['none']", ""),
            ("metadata.labels", "app=\"web\""),
            ("spec.nodeName", "n1"),
            ("status.podIP", "10.0.0.1"),
            ("status.hostIP", "192.168.0.1"),
        ] {
            assert_eq!(field(&pod(), &facts, path).unwrap(), value, "{path}");
        }
        assert!(field(&pod(), &facts, "status.phase").is_err());
    }

    #[test]
    fn resources_are_rounded_up_to_the_divisor() {
        let facts = Facts { node_memory: 1 << 30, node_cpu_milli: 4000, ..Facts::default() };
        for (name, divisor, value) in [
            ("limits.cpu", None, "2"),
            ("limits.cpu", Some("1m"), "1500"),
            ("requests.cpu", Some("1m"), "1500"),
            ("requests.memory", Some("1Mi"), "3"),
            ("limits.memory", Some("1Mi"), "1024"),
        ] {
            let selector: ResourceFieldSelector =
                serde_json::from_value(json!({ "resource": name, "divisor": divisor })).unwrap();
            let pod = pod();
            let container = &pod.spec.as_ref().unwrap().containers[0];
            assert_eq!(resource(container, &facts, &selector).unwrap(), value, "{name} / {divisor:?}");
        }
    }
}
