//! Whom a proxy request is for: `name`, `name:port` or `scheme:name:port`.

use std::net::IpAddr;

use api::{Object, status::Status};
use serde_json::Value;

use crate::{error::Result, pipeline::Call};

/// Says which service an EndpointSlice belongs to.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An address that this server reaches itself.
    Direct { address: IpAddr, port: u16 },
    /// A port of a pod, through its node.
    Pod { node: String, namespace: String, name: String, port: u16, tls: bool },
}

impl Target {
    /// The host and port that the other side is asked under.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Direct { address, port } => std::net::SocketAddr::new(*address, *port).to_string(),
            Self::Pod { name, port, .. } => format!("{name}:{port}"),
        }
    }
}

/// The parts of the name in the address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) object: &'a str,
    /// A number or a name; empty when not given.
    port: &'a str,
    /// Whether it is asked by HTTPS.
    tls: bool,
}

impl<'a> Name<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, object, port) = match parts.as_slice() {
            [object] => ("", *object, ""),
            [object, port] => ("", *object, *port),
            [scheme, object, port] => (*scheme, *object, *port),
            _ => ("", "", ""),
        };
        if object.is_empty() {
            return Err(Status::bad_request(format!("invalid proxy request {text:?}")).into());
        }
        if !matches!(scheme, "" | "http" | "https") {
            return Err(
                Status::bad_request(format!("invalid proxy request {text:?}: its scheme is http or https")).into()
            );
        }
        Ok(Self { object, port, tls: scheme == "https" })
    }

    /// What is not a pod is reached from here, and this server takes no certificate that nobody vouches for.
    pub(super) fn check_direct(&self) -> Result<()> {
        if self.tls {
            return Err(Status::bad_request("this server makes proxy requests by https to pods alone").into());
        }
        Ok(())
    }

    /// The port as a number, if one is given.
    pub(super) fn number(&self) -> Result<Option<u16>> {
        if self.port.is_empty() {
            return Ok(None);
        }
        let number = self.port.parse().map_err(|_| Status::bad_request(format!("invalid port {:?}", self.port)))?;
        Ok(Some(number))
    }
}

/// A pod, by default at the first port that it names.
pub(super) async fn pod(call: &Call) -> Result<Target> {
    let name = Name::parse(&call.info.name)?;
    let missing = || Status::not_found(call.resource.kind.resource(), name.object);
    let pod = call.load(name.object, true).await?.ok_or_else(missing)?.object;
    let ports = pod.body.items_at("spec.containers").iter().flat_map(|container| container.items_at("ports"));
    let mut ports = ports.filter_map(|port| u16::try_from(port.i64_at("containerPort")?).ok());
    let port = name.number()?.or_else(|| ports.next()).unwrap_or(80);
    in_pod(&pod, call.namespace(), port, name.tls)
}

fn in_pod(pod: &Object, namespace: &str, port: u16, tls: bool) -> Result<Target> {
    let node = pod.str_at("spec.nodeName").to_owned();
    if node.is_empty() || pod.str_at("status.podIP").is_empty() {
        return Err(Status::bad_request("address not allowed").into());
    }
    Ok(Target::Pod { node, namespace: namespace.to_owned(), name: pod.name().to_owned(), port, tls })
}

/// One of the ready endpoints of a service, chosen by `random`.
pub(super) async fn service(call: &Call, random: u64) -> Result<Target> {
    let name = Name::parse(&call.info.name)?;
    let namespace = call.namespace();
    let missing = || Status::not_found(call.resource.kind.resource(), name.object);
    let service = call.load(name.object, true).await?.ok_or_else(missing)?.object;
    let unavailable = || Status::unavailable(format!("no endpoints available for service \"{}\"", name.object));
    let port_name = port_name(&service, name.port).ok_or_else(unavailable)?;
    let slices = slices(call, namespace, name.object);
    let ready = endpoints(&slices, &port_name);
    let count = u64::try_from(ready.len()).unwrap_or(u64::MAX);
    let chosen = random.checked_rem(count).and_then(|index| ready.get(usize::try_from(index).ok()?));
    let (endpoint, port) = chosen.ok_or_else(unavailable)?;
    let pod = &endpoint["targetRef"];
    if pod["kind"] == "Pod"
        && let (Some(node), Some(pod)) = (endpoint["nodeName"].as_str(), pod["name"].as_str())
    {
        let (node, namespace, pod) = (node.to_owned(), namespace.to_owned(), pod.to_owned());
        return Ok(Target::Pod { node, namespace, name: pod, port: *port, tls: name.tls });
    }
    name.check_direct()?;
    let address = endpoint["addresses"][0].as_str().and_then(|address| address.parse().ok());
    Ok(Target::Direct { address: address.ok_or_else(unavailable)?, port: *port })
}

/// The name of the service's port that is meant: by its name, by its number, or the only one.
fn port_name(service: &Object, asked: &str) -> Option<String> {
    let ports = service.body.items_at("spec.ports");
    let is_asked = |port: &&api::Node| {
        port.str_at("name") == asked || port.i64_at("port").is_some_and(|number| number.to_string() == asked)
    };
    let found = match (asked, ports) {
        ("", [only]) => Some(only),
        ("", _) => ports.iter().find(|port| port.str_at("name").is_empty()),
        _ => ports.iter().find(is_asked),
    };
    found.map(|port| port.str_at("name").to_owned())
}

fn slices(call: &Call, namespace: &str, service: &str) -> Vec<Value> {
    let mut found = Vec::new();
    call.server.storage.visit_local("discovery.k8s.io", "endpointslices", namespace, |_, slice| {
        let slice: Value = serde_json::from_slice(slice.json()).unwrap_or_default();
        if slice["metadata"]["labels"][SERVICE_LABEL] == service {
            found.push(slice);
        }
        true
    });
    found
}

/// The ready endpoints with the number of the named port.
fn endpoints<'a>(slices: &'a [Value], port_name: &str) -> Vec<(&'a Value, u16)> {
    let mut found = Vec::new();
    for slice in slices {
        let ports = slice["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
        let port = ports.iter().find(|port| port["name"].as_str().unwrap_or_default() == port_name);
        let Some(port) = port.and_then(|port| u16::try_from(port["port"].as_u64()?).ok()) else { continue };
        let endpoints = slice["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_ready = |endpoint: &&Value| endpoint["conditions"]["ready"] != false;
        found.extend(endpoints.iter().filter(is_ready).map(|endpoint| (endpoint, port)));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_may_say_scheme_and_port() {
        let parsed = |text| Name::parse(text).map(|name| (name.object.to_owned(), name.port.to_owned())).ok();
        let expected = |object: &str, port: &str| Some((object.to_owned(), port.to_owned()));
        assert_eq!(parsed("web"), expected("web", ""));
        assert_eq!(parsed("web:http"), expected("web", "http"));
        assert_eq!(parsed("http:web:80"), expected("web", "80"));
        assert_eq!(parsed("https:web:443"), expected("web", "443"));
        assert_eq!(["web", "http:web:", "https:web:"].map(|text| Name::parse(text).unwrap().tls), [false, false, true]);
        assert_eq!(parsed("ftp:web:21"), None);
        assert_eq!(parsed(":80"), None);
        assert_eq!(Name::parse("web:8080").unwrap().number().unwrap(), Some(8080));
        assert!(Name::parse("web:http").unwrap().number().is_err());
    }

    #[test]
    fn only_ready_endpoints_with_the_port_count() {
        let slices = [json!({
            "ports": [{ "name": "http", "port": 8080 }],
            "endpoints": [
                { "addresses": ["10.0.0.1"], "conditions": { "ready": true } },
                { "addresses": ["10.0.0.2"], "conditions": { "ready": false } },
                { "addresses": ["10.0.0.3"] },
            ],
        })];
        let addresses = |name| -> Vec<(Value, u16)> {
            endpoints(&slices, name).into_iter().map(|(one, port)| (one["addresses"][0].clone(), port)).collect()
        };
        assert_eq!(addresses("http"), [(json!("10.0.0.1"), 8080), (json!("10.0.0.3"), 8080)]);
        assert!(addresses("grpc").is_empty());
    }
}
