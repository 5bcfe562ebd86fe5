//! `IngressClass`: which controller serves an Ingress, and with what parameters.

use jiff::Timestamp;

use crate::kind::{Generation, Kind, Scope};
use crate::meta::check_immutable;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

const CONTROLLER_MAX: usize = 250;

/// The kind.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    plural: "ingressclasses",
    singular: "ingressclass",
    kind: "IngressClass",
    scope: Scope::Cluster,
    ty: &types::NETWORKING_V1_INGRESS_CLASS,
    columns: &[
        name_column(),
        column("Controller", "Who serves Ingresses of the class."),
        column("Parameters", "The object that says more about the class."),
        age_column(),
    ],
    row,
    generation: Generation::Spec,
    defaults,
    check,
    check_update: |new, old, errors| {
        let path = Path::Root.field("spec");
        let (new, old) = (new.at("spec.controller"), old.at("spec.controller"));
        check_immutable(new, old, &path.field("controller"), errors);
    },
    ..Kind::BASE
};

fn defaults(class: &mut Struct) {
    if let Some(parameters) = class.get_mut("spec").and_then(|spec| spec.get_mut("parameters"))
        && parameters.get("scope").is_none()
    {
        parameters.set("scope", "Cluster");
    }
}

fn row(class: &Object, now: Timestamp) -> Row {
    let parameters = class.at("spec.parameters").map_or_else(
        || "<none>".to_owned(),
        |parameters| {
            let group = parameters.get("apiGroup").and_then(Node::as_str);
            let group = group.map(|group| format!(".{group}")).unwrap_or_default();
            format!("{}{group}/{}", parameters.str_at("kind"), parameters.str_at("name"))
        },
    );
    Row::of([class.name().into(), class.str_at("spec.controller").into(), parameters.into(), Row::age(class, now)])
}

fn check(class: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let controller = class.str_at("spec.controller");
    let controller_path = path.field("controller");
    if controller.len() > CONTROLLER_MAX {
        errors.too_long(&controller_path, CONTROLLER_MAX);
    }
    names::check_domain_prefixed_path(controller, &controller_path, errors);
    if let Some(parameters) = class.at("spec.parameters") {
        let path = path.field("parameters");
        check_reference(parameters, &path, errors);
        check_scope(parameters, &path, errors);
    }
}

/// Checks `apiGroup`, `kind` and `name` of a reference.
pub(super) fn check_reference(reference: &Node, path: &Path<'_>, errors: &mut Errors) {
    if let Some(group) = reference.get("apiGroup").and_then(Node::as_str) {
        errors.invalid_each(&path.field("apiGroup"), group, names::dns1123_subdomain(group));
    }
    for field in ["kind", "name"] {
        names::check_required_segment(reference.str_at(field), &path.field(field), errors);
    }
}

fn check_scope(parameters: &Node, path: &Path<'_>, errors: &mut Errors) {
    let namespace = parameters.get("namespace").and_then(Node::as_str);
    let path_of = path.field("namespace");
    match (parameters.str_at("scope"), namespace) {
        ("Namespace", None) => errors.required(&path_of, "`parameters.scope` is set to 'Namespace'"),
        ("Namespace", Some(namespace)) => errors.invalid_each(&path_of, namespace, names::dns1123_label(namespace)),
        ("Cluster", Some(_)) => errors.forbidden(&path_of, "`parameters.scope` is set to 'Cluster'"),
        ("Cluster", None) => {}
        (other, _) => errors.not_supported(&path.field("scope"), other, &["Cluster", "Namespace"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, defaulted, row, update_errors};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, "spec: {controller: example.com/ingress}", &[]),
            (&KIND, "{}", &["spec.controller: Required value"]),
            (
                &KIND,
                "spec: {controller: ingress}",
                &[
                    "spec.controller: Invalid value: \"ingress\": must be a domain-prefixed path (such as \"acme.io/foo\")",
                ],
            ),
            (
                &KIND,
                "spec: {controller: a.b/c, parameters: {kind: K, name: a/b, namespace: x}}",
                &[
                    "spec.parameters.name: Invalid value: \"a/b\": may not contain '/'",
                    "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
                ],
            ),
            (
                &KIND,
                "spec: {controller: a.b/c, parameters: {name: a, scope: Namespace}}",
                &[
                    "spec.parameters.kind: Required value",
                    "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
                ],
            ),
            (
                &KIND,
                "spec: {controller: a.b/c, parameters: {kind: K, name: a, scope: World}}",
                &["spec.parameters.scope: Unsupported value: \"World\": supported values: \"Cluster\", \"Namespace\""],
            ),
        ]);
        assert_eq!(
            update_errors(&KIND, "spec: {controller: a.b/c}", "spec: {controller: a.b/d}"),
            ["spec.controller: Invalid value: \"a.b/d\": field is immutable"]
        );
    }

    #[test]
    fn parameters_are_shown_with_their_group() {
        let yaml = "spec: {controller: a.b/c, parameters: {apiGroup: x.y, kind: K, name: n1}}";
        assert_eq!(row(&KIND, yaml), "web | a.b/c | K.x.y/n1 | <unknown>");
        assert_eq!(row(&KIND, "spec: {controller: a.b/c}"), "web | a.b/c | <none> | <unknown>");
        assert_eq!(defaulted(&KIND, yaml).str_at("spec.parameters.scope"), "Cluster");
    }
}
