//! `Ingress` as old manifests write it: a view of the Ingresses of `networking.k8s.io/v1`, in another shape. A backend is
//! a service's name and port side by side, and the one for the rest is simply `backend`.

use crate::kind::{Conversion, Kind, copy_field};
use crate::networking::v1::ingress as present;
use crate::node::{Node, Struct};
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    ty: &types::EXTENSIONS_V1BETA1_INGRESS,
    conversion: Some(Conversion { to_stored, from_stored }),
    defaults,
    // Everything is checked as it is stored, so the paths in errors are those of the present version.
    check: |ingress, errors| (present::KIND.check)(&KIND.to_stored(ingress.clone()), errors),
    ..Kind::view(
        &present::KIND,
        "extensions",
        "v1beta1",
        "extensions/v1beta1 Ingress is deprecated in v1.14+, unavailable in v1.22+ of Kubernetes; use networking.k8s.io/v1 Ingress",
    )
};

/// A path meant what whoever served it took it for.
fn defaults(ingress: &mut Struct) {
    let rules = ingress.at_mut("spec.rules").and_then(Node::as_list_mut).into_iter().flatten();
    let paths = rules.filter_map(|rule| rule.at_mut("http.paths")?.as_list_mut()).flatten();
    for path in paths.filter_map(Node::as_struct_mut) {
        path.set_default("pathType", "ImplementationSpecific");
    }
}

fn to_stored(served: Struct) -> Struct {
    convert(&served, &types::NETWORKING_V1_INGRESS, ("backend", "defaultBackend"), backend_to_stored)
}

fn from_stored(stored: Struct) -> Struct {
    convert(&stored, &types::EXTENSIONS_V1BETA1_INGRESS, ("defaultBackend", "backend"), backend_from_stored)
}

/// Makes an Ingress of the other type, whose backends `backend` fills in.
fn convert(from: &Struct, to: crate::schema::Type, rest: (&str, &str), backend: fn(&Struct, &mut Struct)) -> Struct {
    let mut out = Struct::new(to);
    copy_field(&mut out, from, "metadata");
    copy_field(&mut out, from, "status");
    let Some(spec) = from.get("spec").and_then(Node::as_struct) else { return out };
    let target = out.struct_at("spec");
    copy_field(target, spec, "ingressClassName");
    copy_field(target, spec, "tls");
    if let Some(default) = spec.get(rest.0).and_then(Node::as_struct) {
        backend(default, target.struct_at(rest.1));
    }
    for rule in spec.items_at("rules").iter().filter_map(Node::as_struct) {
        let Some(mut made) = target.new_item("rules") else { continue };
        copy_field(&mut made, rule, "host");
        if rule.has("http") {
            let http = made.struct_at("http");
            for path in rule.items_at("http.paths").iter().filter_map(Node::as_struct) {
                let Some(mut other) = http.new_item("paths") else { continue };
                copy_field(&mut other, path, "path");
                copy_field(&mut other, path, "pathType");
                if let Some(own) = path.get("backend").and_then(Node::as_struct) {
                    backend(own, other.struct_at("backend"));
                }
                http.list_at("paths").push(other.into());
            }
        }
        target.list_at("rules").push(made.into());
    }
    out
}

fn backend_to_stored(from: &Struct, to: &mut Struct) {
    copy_field(to, from, "resource");
    if from.has("serviceName") || from.has("servicePort") {
        let service = to.struct_at("service");
        if from.has("serviceName") {
            service.set("name", from.str_at("serviceName"));
        }
        match from.get("servicePort") {
            Some(Node::Int(number)) => service.set("port.number", *number),
            Some(Node::Str(name)) => service.set("port.name", &**name),
            _ => {}
        }
    }
}

fn backend_from_stored(from: &Struct, to: &mut Struct) {
    copy_field(to, from, "resource");
    if !from.str_at("service.name").is_empty() {
        to.set("serviceName", from.str_at("service.name"));
    }
    match (from.i64_at("service.port.number"), from.str_at("service.port.name")) {
        (Some(number), _) => to.set("servicePort", number),
        (None, "") => {}
        (None, name) => to.set("servicePort", name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{created, errors, row};

    const MANIFEST: &str = "
spec:
  backend: {serviceName: rest, servicePort: http}
  tls: [{hosts: [a.example], secretName: t}]
  rules:
  - host: a.example
    http: {paths: [{path: /, backend: {serviceName: web, servicePort: 80}}, {backend: {resource: {kind: Bucket, name: b}}}]}
  - host: b.example
";

    #[test]
    fn an_old_manifest_becomes_an_ingress_and_comes_back_the_same() {
        let served = created(&KIND, MANIFEST);
        let stored = KIND.to_stored(served.clone());
        assert_eq!(&*stored.api_version, "networking.k8s.io/v1");
        assert_eq!(stored.str_at("spec.defaultBackend.service.port.name"), "http");
        let first = stored.at("spec.rules.0.http.paths.0").unwrap();
        assert_eq!(
            (first.str_at("backend.service.name"), first.i64_at("backend.service.port.number")),
            ("web", Some(80))
        );
        assert_eq!(first.str_at("pathType"), "ImplementationSpecific");
        assert_eq!(stored.str_at("spec.rules.0.http.paths.1.backend.resource.kind"), "Bucket");
        assert_eq!(KIND.from_stored(stored).body, served.body);
        assert_eq!(
            row(&KIND, MANIFEST),
            row(&present::KIND, "spec: {tls: [{}], rules: [{host: a.example}, {host: b.example}]}")
        );
    }

    #[test]
    fn mistakes_are_told_as_the_present_version_tells_them() {
        assert_eq!(
            errors(&KIND, "spec: {backend: {serviceName: web}}"),
            ["spec.defaultBackend: Required value: port name or number is required"]
        );
    }
}
