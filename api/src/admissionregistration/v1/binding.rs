//! What bindings of both kinds of policies have in common.

use jiff::Timestamp;

use super::{match_resources, policy};
use crate::kind::Kind;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::selector::{self, LabelSelector};
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

/// What bindings have in common.
pub(super) const BASE: Kind = Kind {
    columns: &[
        name_column(),
        column("PolicyName", "The policy that is put in force."),
        column("ParamRef", "The objects that the policy takes its parameters from."),
        age_column(),
    ],
    row,
    defaults: |binding: &mut Struct| {
        match_resources::defaults(binding.get_mut("spec").and_then(|spec| spec.get_mut("matchResources")));
    },
    check,
    ..policy::BASE
};

fn row(binding: &Object, now: Timestamp) -> Row {
    let parameters = binding.at("spec.paramRef").map_or_else(
        || "<unset>".to_owned(),
        |reference| {
            let selected = reference.get("selector").and_then(LabelSelector::from_object);
            let target = selected.map_or_else(|| reference.str_at("name").to_owned(), |selector| selector.to_string());
            match reference.str_at("namespace") {
                "" => target,
                namespace => format!("{namespace}/{target}"),
            }
        },
    );
    let policy = binding.str_at("spec.policyName");
    Row::of([binding.name().into(), policy.into(), parameters.into(), Row::age(binding, now)])
}

/// Checks the policy's name, the parameters and what is matched.
pub(super) fn check(binding: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let policy = binding.str_at("spec.policyName");
    if policy.is_empty() {
        errors.required(&path.field("policyName"), "");
    } else {
        errors.invalid_each(&path.field("policyName"), policy, names::dns1123_subdomain(policy));
    }
    if let Some(reference) = binding.at("spec.paramRef") {
        check_parameters(reference, &path.field("paramRef"), errors);
    }
    if let Some(resources) = binding.at("spec.matchResources") {
        // Spelled as upstream spells it.
        match_resources::check(resources, &path.field("matchResouces"), errors);
    }
}

fn check_parameters(reference: &Node, path: &Path<'_>, errors: &mut Errors) {
    let (name, selector) = (reference.str_at("name"), reference.get("selector"));
    errors.invalid_each(&path.field("name"), name, names::path_segment(name));
    selector::check_object(selector, &path.field("selector"), errors);
    match (name.is_empty(), selector.is_some()) {
        (false, true) => {
            errors.forbidden(&path.field("name"), "name and selector are mutually exclusive");
            errors.forbidden(&path.field("selector"), "name and selector are mutually exclusive");
        }
        (true, false) => errors.required(path, "one of name or selector must be specified"),
        _ => {}
    }
    match reference.str_at("parameterNotFoundAction") {
        "" => errors.required(&path.field("parameterNotFoundAction"), ""),
        "Deny" | "Allow" => {}
        other => errors.not_supported(&path.field("parameterNotFoundAction"), other, &["Deny", "Allow"]),
    }
}
