//! `FlowSchema`: which requests belong together, and which priority level they have.

use jiff::Timestamp;

use super::{conditions, fixed};
use crate::kind::{Generation, Kind, READ_AND_CHANGE, Scope, Subresource};
use crate::names;
use crate::node::Struct;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Cell, Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

mod rules;

const PRECEDENCE_MAX: i64 = 10000;
const PRECEDENCE_DEFAULT: i64 = 1000;
/// The only schema that can come first of all.
const EXEMPT: &str = "exempt";
const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];

/// The kind.
pub static KIND: Kind = Kind {
    group: "flowcontrol.apiserver.k8s.io",
    plural: "flowschemas",
    singular: "flowschema",
    kind: "FlowSchema",
    scope: Scope::Cluster,
    subresources: &[Subresource { name: "status", group: "", version: "", kind: "FlowSchema", verbs: READ_AND_CHANGE }],
    ty: &types::FLOWCONTROL_V1_FLOW_SCHEMA,
    columns: &[
        name_column(),
        column("PriorityLevel", "The priority level of the requests."),
        column("MatchingPrecedence", "Of all schemas that match, the one with the lowest number counts."),
        column("DistinguisherMethod", "What tells the flows of the schema apart."),
        age_column(),
        column("MissingPL", "Whether the priority level does not exist."),
    ],
    row,
    generation: Generation::Spec,
    defaults: |schema: &mut Struct| {
        let spec = schema.struct_at("spec");
        if spec.i64_at("matchingPrecedence").unwrap_or(0) == 0 {
            spec.set("matchingPrecedence", PRECEDENCE_DEFAULT);
        }
    },
    check,
    check_status_update: |new, _, errors| conditions::check(new, errors),
    ..Kind::BASE
};

fn precedence(schema: &Object) -> i64 {
    schema.body.i64_at("spec.matchingPrecedence").unwrap_or(0)
}

fn row(schema: &Object, now: Timestamp) -> Row {
    let method = match schema.str_at("spec.distinguisherMethod.type") {
        "" => "<none>",
        method => method,
    };
    let conditions = schema.body.items_at("status.conditions");
    let dangling = conditions.iter().find(|condition| condition.str_at("type") == "Dangling");
    Row::of([
        schema.name().into(),
        schema.str_at("spec.priorityLevelConfiguration.name").into(),
        Cell::Int(precedence(schema)),
        method.into(),
        Row::age(schema, now),
        dangling.map_or("?", |condition| condition.str_at("status")).into(),
    ])
}

fn check(schema: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let (precedence, precedence_path) = (precedence(schema), path.field("matchingPrecedence"));
    if precedence <= 0 {
        errors.invalid(&precedence_path, precedence, "must be a positive value");
    }
    if precedence > PRECEDENCE_MAX {
        errors.invalid(&precedence_path, precedence, format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    if precedence == 1 && schema.name() != EXEMPT {
        let detail = "only the schema named 'exempt' may have matchingPrecedence 1";
        errors.invalid(&precedence_path, precedence, detail);
    }
    if schema.at("spec.distinguisherMethod").is_some() {
        let method = schema.str_at("spec.distinguisherMethod.type");
        if !METHODS.contains(&method) {
            errors.not_supported(&path.field("distinguisherMethod").field("type"), method, &METHODS);
        }
    }
    let level = schema.str_at("spec.priorityLevelConfiguration.name");
    let level_path = path.field("priorityLevelConfiguration");
    if level.is_empty() {
        errors.required(&level_path.field("name"), "must reference a priority level");
    } else {
        errors.invalid_each(&level_path.field("name"), level, names::dns1123_subdomain(level));
    }
    for (index, rule) in schema.body.items_at("spec.rules").iter().enumerate() {
        rules::check(rule, &path.field("rules").index(index), errors);
    }
    conditions::check(schema, errors);
    fixed::check(schema, &fixed::SCHEMAS, errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, row};

    fn with_rule(rule: &str) -> String {
        format!("spec: {{priorityLevelConfiguration: {{name: p}}, rules: [{{{rule}}}]}}")
    }

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, "spec: {priorityLevelConfiguration: {name: p}, distinguisherMethod: {type: ByUser}}", &[]),
            (
                &KIND,
                "spec: {matchingPrecedence: 1, distinguisherMethod: {type: ByMood}}",
                &[
                    "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
                    "spec.distinguisherMethod.type: Unsupported value: \"ByMood\": supported values: \"ByNamespace\", \"ByUser\"",
                    "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
                ],
            ),
            (
                &KIND,
                "spec: {matchingPrecedence: 10001, priorityLevelConfiguration: {name: p}}",
                &["spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"],
            ),
        ]);
        assert_eq!(created(&KIND, "spec: {}").body.i64_at("spec.matchingPrecedence"), Some(1000));
        let yaml = "spec: {matchingPrecedence: 7, priorityLevelConfiguration: {name: p}}\nstatus: {conditions: [{type: Dangling, status: 'False'}]}";
        assert_eq!(row(&KIND, yaml), "web | p | 7 | <none> | <unknown> | False");
    }

    #[test]
    fn rules_name_somebody_and_something() {
        check_all(&[
            (
                &KIND,
                &with_rule(
                    "subjects: [{kind: Group, group: {name: g}}], resourceRules: [{verbs: [get], apiGroups: [''], resources: [pods], namespaces: ['*']}]",
                ),
                &[],
            ),
            (
                &KIND,
                &with_rule("subjects: []"),
                &[
                    "spec.rules[0].subjects: Required value: subjects must contain at least one value",
                    "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
                ],
            ),
            (
                &KIND,
                &with_rule(
                    "subjects: [{kind: User, group: {name: g}}, {kind: Cat}, {kind: ServiceAccount, serviceAccount: {name: '*'}}], nonResourceRules: [{verbs: ['*', get], nonResourceURLs: [a, /a*b, //]}]",
                ),
                &[
                    "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
                    "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
                    "spec.rules[0].subjects[1].kind: Unsupported value: \"Cat\": supported values: \"Group\", \"ServiceAccount\", \"User\"",
                    "spec.rules[0].subjects[2].serviceAccount.namespace: Required value: must specify namespace for service account",
                    "spec.rules[0].nonResourceRules[0].verbs: Invalid value: [\"*\",\"get\"]: if '*' is present, must not specify other verbs",
                    "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"a\": must start with slash",
                    "spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: \"/a*b\": wildcard can only do suffix matching",
                    "spec.rules[0].nonResourceRules[0].nonResourceURLs[2]: Invalid value: \"//\": must not contain double slash",
                ],
            ),
        ]);
    }
}
