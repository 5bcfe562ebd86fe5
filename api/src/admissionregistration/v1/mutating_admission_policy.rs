//! `MutatingAdmissionPolicy`: expressions that change what is written.

use jiff::Timestamp;

use super::policy;
use crate::core::v1::pod_spec::check_choice;
use crate::kind::Kind;
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, integer, name_column};
use crate::validation::{Errors, Path};

/// The forms of a change: what `patchType` calls them, and the field that holds the expression.
const FORMS: [(&str, &str); 2] = [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")];

/// The kind.
pub static KIND: Kind = Kind {
    plural: "mutatingadmissionpolicies",
    singular: "mutatingadmissionpolicy",
    kind: "MutatingAdmissionPolicy",
    ty: &types::ADMISSIONREGISTRATION_V1_MUTATING_ADMISSION_POLICY,
    columns: &[
        name_column(),
        integer("Mutations", "How many changes there are."),
        column("ParamKind", "The kind of the policy's parameters."),
        age_column(),
    ],
    row,
    defaults: policy::defaults,
    check,
    ..policy::BASE
};

fn row(object: &Object, now: Timestamp) -> Row {
    let count = i64::try_from(object.body.items_at("spec.mutations").len()).unwrap_or(i64::MAX);
    Row::of([object.name().into(), count.into(), policy::param_kind(object).into(), Row::age(object, now)])
}

fn check(object: &Object, errors: &mut Errors) {
    policy::check(object, errors);
    let path = Path::Root.field("spec");
    let mutations = object.body.items_at("spec.mutations");
    if mutations.is_empty() {
        errors.required(&path.field("mutations"), "mutations must contain at least one item");
    }
    for (index, mutation) in mutations.iter().enumerate() {
        check_mutation(mutation, &path.field("mutations").index(index), errors);
    }
    let reinvocation = object.str_at("spec.reinvocationPolicy");
    check_choice(reinvocation, &["IfNeeded", "Never"], &path.field("reinvocationPolicy"), errors);
}

fn check_mutation(mutation: &Node, path: &Path<'_>, errors: &mut Errors) {
    let given = mutation.str_at("patchType");
    check_choice(given, &FORMS.map(|(form, _)| form), &path.field("patchType"), errors);
    let Some((form, own)) = FORMS.iter().find(|(form, _)| *form == given) else { return };
    for (_, field) in FORMS {
        match mutation.get(field) {
            Some(expression) if field == *own => policy::check_expression(expression, &path.field(field), errors),
            None if field == *own => {
                errors.required(&path.field(field), format!("must be specified when patchType is {form}"));
            }
            Some(_) => errors.forbidden(&path.field(field), format!("must not be specified when patchType is {form}")),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, row};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        let with = |rest: &str| {
            format!(
                "spec: {{matchConstraints: {{resourceRules: [{{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}}]}}, {rest}}}"
            )
        };
        check_all(&[
            (
                &KIND,
                &with("reinvocationPolicy: Never, mutations: [{patchType: JSONPatch, jsonPatch: {expression: '[]'}}]"),
                &[],
            ),
            (
                &KIND,
                &with("mutations: []"),
                &[
                    "spec.mutations: Required value: mutations must contain at least one item",
                    "spec.reinvocationPolicy: Required value",
                ],
            ),
            (
                &KIND,
                &with(
                    "reinvocationPolicy: Never, mutations: [{patchType: JSONPatch, applyConfiguration: {expression: x}}, {patchType: Odd}]",
                ),
                &[
                    "spec.mutations[0].applyConfiguration: Forbidden: must not be specified when patchType is JSONPatch",
                    "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
                    "spec.mutations[1].patchType: Unsupported value: \"Odd\": supported values: \"ApplyConfiguration\", \"JSONPatch\"",
                ],
            ),
        ]);
        assert_eq!(row(&KIND, "spec: {mutations: [{}]}"), "web | 1 | <unset> | <unknown>");
    }
}
