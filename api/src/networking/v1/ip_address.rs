//! `IPAddress`: that an address is taken, and by what. The address is the object's name.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::kind::{Kind, Scope};
use crate::meta::check_immutable;
use crate::names;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, column, name_column};
use crate::validation::{Errors, Path, quoted};

/// The kind.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    plural: "ipaddresses",
    singular: "ipaddress",
    kind: "IPAddress",
    short_names: &["ip"],
    scope: Scope::Cluster,
    ty: &types::NETWORKING_V1_IP_ADDRESS,
    columns: &[name_column(), column("ParentRef", "The object that has the address.")],
    row,
    name_rule: canonical_address,
    check,
    check_update: |new, old, errors| {
        let (path, field) = (Path::Root.field("spec"), "spec.parentRef");
        check_immutable(new.at(field), old.at(field), &path.field("parentRef"), errors);
    },
    ..Kind::BASE
};

/// An address has one name only.
fn canonical_address(name: &str) -> Vec<String> {
    match name.parse::<IpAddr>().map(|address| address.to_string()) {
        Ok(canonical) if canonical != name => vec![format!("must be in canonical form ({})", quoted(&canonical))],
        _ => names::ip(name),
    }
}

fn row(address: &Object, _: Timestamp) -> Row {
    let parent = address.at("spec.parentRef").map_or_else(
        || "<none>".to_owned(),
        |parent| {
            let group = parent.str_at("group");
            let resource = parent.str_at("resource");
            let resource = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
            let parts = [&resource, parent.str_at("namespace"), parent.str_at("name")];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
        },
    );
    Row::of([address.name().into(), parent.into()])
}

fn check(address: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let path = path.field("parentRef");
    let Some(parent) = address.at("spec.parentRef") else { return errors.required(&path, "") };
    let optional = |field: &str| parent.get(field).and_then(Node::as_str).unwrap_or("");
    let (group, namespace) = (optional("group"), optional("namespace"));
    if !group.is_empty() {
        errors.invalid_each(&path.field("group"), group, names::dns1123_subdomain(group));
    }
    for field in ["resource", "name"] {
        names::check_required_segment(parent.str_at(field), &path.field(field), errors);
    }
    errors.invalid_each(&path.field("namespace"), namespace, names::path_segment(namespace));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, row, update_errors};

    const PARENT: &str = "spec: {parentRef: {resource: services, namespace: default, name: kubernetes}}";

    #[test]
    fn an_address_has_one_name_and_one_owner() {
        let with = |name: &str| format!("metadata: {{name: '{name}'}}\n{PARENT}");
        check_all(&[
            (&KIND, &with("10.96.0.1"), &[]),
            (
                &KIND,
                &with("2001:0db8::1"),
                &["metadata.name: Invalid value: \"2001:0db8::1\": must be in canonical form (\"2001:db8::1\")"],
            ),
            (
                &KIND,
                &with("ten"),
                &[
                    "metadata.name: Invalid value: \"ten\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                ],
            ),
            (&KIND, "metadata: {name: 10.96.0.1}", &["spec.parentRef: Required value"]),
            (
                &KIND,
                "metadata: {name: 10.96.0.1}\nspec: {parentRef: {name: a/b}}",
                &[
                    "spec.parentRef.resource: Required value",
                    "spec.parentRef.name: Invalid value: \"a/b\": may not contain '/'",
                ],
            ),
        ]);
        let other = "spec: {parentRef: {resource: services, name: b}}";
        assert!(update_errors(&KIND, PARENT, other)[0].ends_with(": field is immutable"));
        assert_eq!(row(&KIND, PARENT), "web | services/default/kubernetes");
    }
}
