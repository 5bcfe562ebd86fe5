//! `ValidatingAdmissionPolicyBinding`: puts a policy in force, and says what happens to what it finds.

use super::binding;
use crate::kind::Kind;
use crate::meta::shown;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::validation::{Errors, Path};

const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "validatingadmissionpolicybindings",
    singular: "validatingadmissionpolicybinding",
    kind: "ValidatingAdmissionPolicyBinding",
    ty: &types::ADMISSIONREGISTRATION_V1_VALIDATING_ADMISSION_POLICY_BINDING,
    check,
    ..binding::BASE
};

fn check(object: &Object, errors: &mut Errors) {
    binding::check(object, errors);
    let path = Path::Root.field("spec");
    let path = path.field("validationActions");
    let actions: Vec<&str> = object.body.items_at("spec.validationActions").iter().filter_map(Node::as_str).collect();
    for (index, action) in actions.iter().enumerate() {
        if !ACTIONS.contains(action) {
            errors.not_supported(&path.index(index), *action, &ACTIONS);
        }
        if actions[..index].contains(action) {
            errors.duplicate(&path.index(index), *action);
        }
    }
    if actions.contains(&"Deny") && actions.contains(&"Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.invalid(&path, shown(object.at("spec.validationActions")), detail);
    }
    if actions.is_empty() {
        errors.required(&path, "at least one validation action is required");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, row};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, "spec: {policyName: p, validationActions: [Deny, Audit]}", &[]),
            (
                &KIND,
                "{}",
                &[
                    "spec.policyName: Required value",
                    "spec.validationActions: Required value: at least one validation action is required",
                ],
            ),
            (
                &KIND,
                "spec: {policyName: p, validationActions: [Shout, Warn, Warn], paramRef: {name: a, selector: {}}}",
                &[
                    "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                    "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
                    "spec.paramRef.parameterNotFoundAction: Required value",
                    "spec.validationActions[0]: Unsupported value: \"Shout\": supported values: \"Audit\", \"Deny\", \"Warn\"",
                    "spec.validationActions[2]: Duplicate value: \"Warn\"",
                ],
            ),
        ]);
        assert_eq!(
            row(&KIND, "spec: {policyName: p, paramRef: {name: a, namespace: n1}}"),
            "web | p | n1/a | <unknown>"
        );
        assert_eq!(row(&KIND, "spec: {policyName: p}"), "web | p | <unset> | <unknown>");
    }
}
