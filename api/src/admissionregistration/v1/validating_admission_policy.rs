//! `ValidatingAdmissionPolicy`: expressions that must be true of what is written.

use jiff::Timestamp;

use super::policy;
use crate::kind::{Kind, READ_AND_CHANGE, Subresource};
use crate::meta::shown;
use crate::names;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, integer, name_column};
use crate::validation::{Errors, Path};

const ANNOTATIONS_MAX: usize = 20;
const ANNOTATION_EXPRESSION_MAX: usize = 5 * 1024;
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "validatingadmissionpolicies",
    singular: "validatingadmissionpolicy",
    kind: "ValidatingAdmissionPolicy",
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "ValidatingAdmissionPolicy",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::ADMISSIONREGISTRATION_V1_VALIDATING_ADMISSION_POLICY,
    columns: &[
        name_column(),
        integer("Validations", "How many expressions there are."),
        column("ParamKind", "The kind of the policy's parameters."),
        age_column(),
    ],
    row,
    defaults: policy::defaults,
    check,
    ..policy::BASE
};

fn row(object: &Object, now: Timestamp) -> Row {
    let count = i64::try_from(object.body.items_at("spec.validations").len()).unwrap_or(i64::MAX);
    Row::of([object.name().into(), count.into(), policy::param_kind(object).into(), Row::age(object, now)])
}

fn check(object: &Object, errors: &mut Errors) {
    policy::check(object, errors);
    let path = Path::Root.field("spec");
    let validations = object.body.items_at("spec.validations");
    let annotations = object.body.items_at("spec.auditAnnotations");
    if validations.is_empty() && annotations.is_empty() {
        for field in ["validations", "auditAnnotations"] {
            let detail = "validations or auditAnnotations must contain at least one item";
            errors.required(&path.field(field), detail);
        }
    }
    for (index, validation) in validations.iter().enumerate() {
        check_validation(validation, &path.field("validations").index(index), errors);
    }
    let path = path.field("auditAnnotations");
    if annotations.len() > ANNOTATIONS_MAX {
        let detail = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        errors.invalid(&path, shown(object.at("spec.auditAnnotations")), detail);
    }
    for (index, annotation) in annotations.iter().enumerate() {
        let path = path.index(index);
        check_annotation(object.name(), annotation, &path, errors);
        let key = annotation.str_at("key");
        if annotations[..index].iter().any(|before| before.str_at("key") == key) {
            errors.duplicate(&path.field("key"), key);
        }
    }
}

fn check_validation(validation: &Node, path: &Path<'_>, errors: &mut Errors) {
    policy::check_expression(validation, path, errors);
    let is_blank = |text: &str| !text.is_empty() && text.trim().is_empty();
    let (expression, message) = (validation.str_at("messageExpression"), validation.str_at("message"));
    if is_blank(expression) {
        errors.invalid(&path.field("messageExpression"), expression, "must be non-empty if specified");
    }
    if is_blank(message) {
        errors.invalid(&path.field("message"), message, "message must be non-empty if specified");
    } else if message.trim().contains(['\n', '\r']) {
        errors.invalid(&path.field("message"), message, "message must not contain line breaks");
    }
    let reason = validation.get("reason").and_then(Node::as_str);
    if let Some(reason) = reason.filter(|reason| !REASONS.contains(reason)) {
        errors.not_supported(&path.field("reason"), reason, &REASONS);
    }
}

fn check_annotation(policy: &str, annotation: &Node, path: &Path<'_>, errors: &mut Errors) {
    let key = annotation.str_at("key");
    if policy.is_empty() {
        errors.invalid(&path.field("key"), key, "requires metadata.name be non-empty");
    } else {
        let whole = format!("{policy}/{key}");
        errors.invalid_each(&path.field("key"), &whole, names::qualified_name(&whole));
    }
    let expression = annotation.str_at("valueExpression").trim();
    if expression.is_empty() {
        errors.required(&path.field("valueExpression"), "valueExpression is not specified");
    } else if expression.len() > ANNOTATION_EXPRESSION_MAX {
        let detail = format!("must not exceed {ANNOTATION_EXPRESSION_MAX} bytes in length");
        errors.required(&path.field("valueExpression"), detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, row};

    const RULES: &str = "matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]}";

    #[test]
    fn mistakes_are_told_with_their_paths() {
        let with = |rest: &str| format!("spec: {{{RULES}, {rest}}}");
        check_all(&[
            (&KIND, &with("validations: [{expression: 'true', reason: Forbidden}]"), &[]),
            (
                &KIND,
                "{}",
                &[
                    "spec.matchConstraints: Required value",
                    "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
                    "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
                ],
            ),
            (
                &KIND,
                &with(
                    "paramKind: {apiVersion: a/b/c}, variables: [{name: in, expression: ''}], validations: [{message: \"a\\nb\", reason: Odd}]",
                ),
                &[
                    "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                    "spec.paramKind.kind: Required value",
                    "spec.variables[0].name: Invalid value: \"in\": name is not a valid CEL identifier",
                    "spec.variables[0].expression: Required value: expression is not specified",
                    "spec.validations[0].expression: Required value: expression is not specified",
                    "spec.validations[0].message: Invalid value: \"a\\nb\": message must not contain line breaks",
                    "spec.validations[0].reason: Unsupported value: \"Odd\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
                ],
            ),
            (
                &KIND,
                &with("auditAnnotations: [{key: a, valueExpression: x}, {key: a}]"),
                &[
                    "spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified",
                    "spec.auditAnnotations[1].key: Duplicate value: \"a\"",
                ],
            ),
        ]);
    }

    #[test]
    fn what_a_policy_leaves_out_is_known() {
        let made = created(&KIND, &format!("spec: {{{RULES}}}"));
        assert_eq!(made.str_at("spec.failurePolicy"), "Fail");
        assert_eq!(made.str_at("spec.matchConstraints.matchPolicy"), "Equivalent");
        assert_eq!(made.str_at("spec.matchConstraints.resourceRules.0.scope"), "*");
        let yaml = "spec: {paramKind: {apiVersion: a.b/v1, kind: K}, validations: [{expression: x}]}";
        assert_eq!(row(&KIND, yaml), "web | 1 | a.b/v1/K | <unknown>");
    }
}
