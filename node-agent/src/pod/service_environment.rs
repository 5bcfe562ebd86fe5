//! Variables that describe Services, in the form Docker links had: `<NAME>_SERVICE_HOST` and its companions.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};

/// The variables for `pod`: of the API's own Service always, of the other Services of its namespace when it links them.
pub(crate) fn variables(pod: &Pod, services: &[Arc<Service>]) -> BTreeMap<String, String> {
    let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut variables = BTreeMap::new();
    for service in services {
        let of = service.metadata.namespace.as_deref().unwrap_or_default();
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let is_api = of == "default" && name == "kubernetes";
        if is_api || (links && of == namespace) {
            describe(service, name, &mut variables);
        }
    }
    variables
}

fn describe(service: &Service, name: &str, variables: &mut BTreeMap<String, String>) {
    let Some(spec) = &service.spec else { return };
    let address = spec.cluster_ip.as_deref().unwrap_or_default();
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return };
    if address.is_empty() || address == "None" {
        return;
    }
    let prefix = name.to_uppercase().replace('-', "_");
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let mut set = |suffix: &str, value: String| {
        variables.insert(format!("{prefix}_{suffix}"), value);
    };
    set("SERVICE_HOST", address.to_owned());
    set("SERVICE_PORT", first.port.to_string());
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            set(&format!("SERVICE_PORT_{}", name.to_uppercase().replace('-', "_")), port.port.to_string());
        }
        if index == 0 {
            set("PORT", url.clone());
        }
        let base = format!("PORT_{}_{}", port.port, protocol.to_uppercase());
        set(&base, url);
        set(&format!("{base}_PROTO"), protocol.to_lowercase());
        set(&format!("{base}_PORT"), port.port.to_string());
        set(&format!("{base}_ADDR"), address.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(namespace: &str, name: &str, ip: &str) -> Arc<Service> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": { "name": name, "namespace": namespace },
                "spec": { "clusterIP": ip, "ports": [{ "name": "https", "port": 443, "protocol": "TCP" }] }
            }))
            .unwrap(),
        )
    }

    #[test]
    fn own_namespace_and_the_api_only() {
        let services = [
            service("default", "kubernetes", "10.96.0.1"),
            service("shop", "red-cart", "10.96.0.7"),
            service("shop", "headless", "None"),
            service("other", "secret", "10.96.0.9"),
        ];
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "namespace": "shop" } })).unwrap();
        let found = variables(&pod, &services);
        assert_eq!(found["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
        assert_eq!(found["KUBERNETES_SERVICE_PORT_HTTPS"], "443");
        assert_eq!(found["RED_CART_PORT_443_TCP"], "tcp://10.96.0.7:443");
        assert!(!found.keys().any(|key| key.starts_with("SECRET") || key.starts_with("HEADLESS")));
        let pod: Pod = serde_json::from_value(
            json!({ "metadata": { "namespace": "shop" }, "spec": { "enableServiceLinks": false, "containers": [] } }),
        )
        .unwrap();
        assert!(!variables(&pod, &services).contains_key("RED_CART_SERVICE_HOST"));
    }
}
