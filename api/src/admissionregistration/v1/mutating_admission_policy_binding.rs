//! `MutatingAdmissionPolicyBinding`: puts a policy in force.

use super::binding;
use crate::kind::Kind;
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    plural: "mutatingadmissionpolicybindings",
    singular: "mutatingadmissionpolicybinding",
    kind: "MutatingAdmissionPolicyBinding",
    ty: &types::ADMISSIONREGISTRATION_V1_MUTATING_ADMISSION_POLICY_BINDING,
    ..binding::BASE
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created};

    #[test]
    fn a_binding_names_a_policy() {
        check_all(&[
            (&KIND, "spec: {policyName: p}", &[]),
            (
                &KIND,
                "spec: {policyName: p, paramRef: {parameterNotFoundAction: Cry, name: x}}",
                &[
                    "spec.paramRef.parameterNotFoundAction: Unsupported value: \"Cry\": supported values: \"Deny\", \"Allow\"",
                ],
            ),
        ]);
        let made = created(&KIND, "spec: {policyName: p, matchResources: {}}");
        assert_eq!(made.str_at("spec.matchResources.matchPolicy"), "Equivalent");
    }
}
