//! What both kinds of policies have in common.

use super::match_resources;
use crate::kind::{Generation, Kind, Scope};
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::split_api_version;
use crate::validation::{Errors, Path};

/// Words that are no names in CEL.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// What policies and their bindings have in common.
pub(super) const BASE: Kind = Kind {
    group: "admissionregistration.k8s.io",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    generation: Generation::Spec,
    unconditional_update: false,
    ..Kind::BASE
};

/// Sets what every policy leaves out.
pub(super) fn defaults(policy: &mut Struct) {
    let spec = policy.struct_at("spec");
    spec.set_default("failurePolicy", "Fail");
    match_resources::defaults(spec.get_mut("matchConstraints"));
}

/// The cell of the kind of parameters.
pub(super) fn param_kind(policy: &Object) -> String {
    let kind = policy.at("spec.paramKind");
    kind.map_or_else(|| "<unset>".to_owned(), |kind| format!("{}/{}", kind.str_at("apiVersion"), kind.str_at("kind")))
}

/// Checks everything up to what the policy does.
pub(super) fn check(policy: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let failure = policy.at("spec.failurePolicy");
    match_resources::check_optional_choice(failure, &["Fail", "Ignore"], &path.field("failurePolicy"), errors);
    if let Some(kind) = policy.at("spec.paramKind") {
        check_param_kind(kind, &path.field("paramKind"), errors);
    }
    let constraints_path = path.field("matchConstraints");
    match policy.at("spec.matchConstraints") {
        None => errors.required(&constraints_path, ""),
        Some(constraints) => {
            match_resources::check(constraints, &constraints_path, errors);
            if constraints.items_at("resourceRules").is_empty() {
                errors.required(&constraints_path.field("resourceRules"), "");
            }
        }
    }
    let conditions = policy.body.items_at("spec.matchConditions");
    match_resources::check_conditions(conditions, &path.field("matchConditions"), errors);
    for (index, variable) in policy.body.items_at("spec.variables").iter().enumerate() {
        let path = path.field("variables");
        let path = path.index(index);
        let name = variable.str_at("name");
        if name.trim().is_empty() {
            errors.required(&path.field("name"), "name is not specified");
        } else if !is_identifier(name) {
            errors.invalid(&path.field("name"), name, "name is not a valid CEL identifier");
        }
        check_expression(variable, &path, errors);
    }
}

/// Checks that there is an expression.
pub(super) fn check_expression(holder: &Node, path: &Path<'_>, errors: &mut Errors) {
    if holder.str_at("expression").trim().is_empty() {
        errors.required(&path.field("expression"), "expression is not specified");
    }
}

fn is_identifier(name: &str) -> bool {
    let shaped = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    name.bytes().all(shaped) && !name.starts_with(|c: char| c.is_ascii_digit()) && !RESERVED.contains(&name)
}

fn check_param_kind(kind: &Node, path: &Path<'_>, errors: &mut Errors) {
    let (api_version, name) = (kind.str_at("apiVersion"), kind.str_at("kind"));
    let version_path = path.field("apiVersion");
    let (group, version) = split_api_version(api_version);
    if api_version.is_empty() {
        errors.required(&version_path, "");
    } else if version.contains('/') {
        errors.invalid(&version_path, api_version, format!("unexpected GroupVersion string: {api_version}"));
    } else {
        let problems = names::dns1123_subdomain(group);
        if !group.is_empty() && !problems.is_empty() {
            errors.invalid(&version_path, group, problems.join(","));
        }
        let problems = names::dns1035_label(version);
        if version.is_empty() {
            errors.invalid(&version_path, api_version, "version must be specified");
        } else if !problems.is_empty() {
            errors.invalid(&version_path, version, problems.join(","));
        }
    }
    let problems = names::dns1035_label(&name.to_lowercase());
    if name.is_empty() {
        errors.required(&path.field("kind"), "");
    } else if !problems.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", problems.join(","));
        errors.invalid(&path.field("kind"), name, detail);
    }
}
