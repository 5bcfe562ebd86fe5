//! `Ingress`: which Service answers requests from outside, by host and path.

use jiff::Timestamp;

use crate::kind::{Generation, Kind, READ_AND_CHANGE, Subresource};
use crate::names;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path, Value};

mod rules;

/// The older way of naming a class.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// Hosts that are shown before the rest is counted.
const SHOWN_MAX: usize = 3;

/// The kind.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    plural: "ingresses",
    singular: "ingress",
    kind: "Ingress",
    short_names: &["ing"],
    subresources: &[Subresource { name: "status", group: "", version: "", kind: "Ingress", verbs: READ_AND_CHANGE }],
    ty: &types::NETWORKING_V1_INGRESS,
    columns: &[
        name_column(),
        column("Class", "The class that says who serves the Ingress."),
        column("Hosts", "Host names that are served."),
        column("Address", "Where requests from outside arrive."),
        column("Ports", "Ports at which they arrive."),
        age_column(),
    ],
    row,
    generation: Generation::Spec,
    check,
    check_create,
    check_status_update,
    ..Kind::BASE
};

fn row(ingress: &Object, now: Timestamp) -> Row {
    let class = ingress.at("spec.ingressClassName").and_then(Node::as_str).unwrap_or("<none>");
    let ports = if ingress.body.items_at("spec.tls").is_empty() { "80" } else { "80, 443" };
    Row::of([
        ingress.name().into(),
        class.into(),
        hosts(ingress.body.items_at("spec.rules")).into(),
        addresses(ingress.body.items_at("status.loadBalancer.ingress")).into(),
        ports.into(),
        Row::age(ingress, now),
    ])
}

fn hosts(rules: &[Node]) -> String {
    let named = rules.iter().map(|rule| rule.str_at("host")).filter(|host| !host.is_empty());
    let shown: Vec<&str> = named.take(SHOWN_MAX).collect();
    match (shown.len(), rules.len()) {
        (0, _) => "*".to_owned(),
        (SHOWN_MAX, all) if all > SHOWN_MAX => format!("{} + {} more...", shown.join(","), all - SHOWN_MAX),
        _ => shown.join(","),
    }
}

fn addresses(ingress: &[Node]) -> String {
    let address = |ingress: &Node| match ingress.str_at("ip") {
        "" => ingress.str_at("hostname").to_owned(),
        ip => ip.to_owned(),
    };
    let mut all: Vec<String> = ingress.iter().map(address).filter(|address| !address.is_empty()).collect();
    all.sort();
    all.dedup();
    all.join(",")
}

fn check(ingress: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let (all, backend) = (ingress.body.items_at("spec.rules"), ingress.at("spec.defaultBackend"));
    if all.is_empty() && backend.is_none() {
        errors.invalid(&path, Value::text("null"), "either `defaultBackend` or `rules` must be specified");
    }
    if let Some(backend) = backend {
        rules::check_backend(backend, &path.field("defaultBackend"), errors);
    }
    rules::check_rules(all, &path.field("rules"), errors);
    rules::check_tls(ingress.body.items_at("spec.tls"), &path.field("tls"), errors);
    if let Some(class) = ingress.at("spec.ingressClassName").and_then(Node::as_str) {
        errors.invalid_each(&path.field("ingressClassName"), class, names::dns1123_subdomain(class));
    }
}

fn check_create(ingress: &Object, errors: &mut Errors) {
    let class = ingress.at("spec.ingressClassName").and_then(Node::as_str);
    if let (Some(annotation), Some(class)) = (ingress.annotation(CLASS_ANNOTATION), class)
        && annotation != class
    {
        let path = Path::Root.field("annotations");
        let detail = "must match `ingressClassName` when both are specified";
        errors.invalid(&path.field(CLASS_ANNOTATION), annotation, detail);
    }
}

fn check_status_update(new: &Object, _: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    let path = path.field("loadBalancer");
    let path = path.field("ingress");
    for (index, point) in new.body.items_at("status.loadBalancer.ingress").iter().enumerate() {
        let path = path.index(index);
        let (ip, host) = (point.str_at("ip"), point.str_at("hostname"));
        if !ip.is_empty() {
            errors.invalid_each(&path.field("ip"), ip, names::ip(ip));
        }
        if !host.is_empty() {
            errors.invalid_each(&path.field("hostname"), host, names::dns1123_subdomain(host));
            rules::check_no_address(host, &path.field("hostname"), errors);
        }
    }
}

#[cfg(test)]
mod tests;
