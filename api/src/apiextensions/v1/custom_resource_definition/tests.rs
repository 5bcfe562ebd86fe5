use super::*;
use crate::kind::KINDS;
use crate::kinds::testing::{created, errors, row, update_errors};

const TABS: &str = "
metadata: {name: tabs.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: tabs, kind: Tab, shortNames: [tb]}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {a: {type: string}}}}}}}
";

fn with(change: &[(&str, &str)]) -> String {
    change.iter().fold(TABS.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

#[test]
fn names_and_conversion_have_defaults() {
    let definition = created(&KIND, TABS);
    assert_eq!(definition.str_at("spec.names.singular"), "tab");
    assert_eq!(definition.str_at("spec.names.listKind"), "TabList");
    assert_eq!(definition.str_at("spec.conversion.strategy"), "None");
    assert_eq!(definition.body.items_at("status.storedVersions")[0].as_str(), Some("v1"));
    assert_eq!(
        row(&KIND, "metadata: {name: a.b, creationTimestamp: '2026-01-01T00:00:00Z'}"),
        "a.b | 2026-01-01T00:00:00Z"
    );
}

/// Replacements in a good definition, and what is wrong with what comes out.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn mistakes_in_definitions_are_told_with_their_paths() {
    let schema = "spec.versions[0].schema.openAPIV3Schema";
    let table: &[Case<'_>] = &[
        (&[], &[]),
        (
            &[("name: tabs.example.com", "name: tabs")],
            &["metadata.name: Invalid value: \"tabs\": must be spec.names.plural+\".\"+spec.group"],
        ),
        (
            &[("tabs.example.com", "tabs.tabs.k8s.io"), ("group: example.com", "group: tabs.k8s.io")],
            &[
                "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
            ],
        ),
        (
            &[("tabs.example.com", "tabs.example"), ("group: example.com", "group: example")],
            &["spec.group: Invalid value: \"example\": should be a domain with at least one dot"],
        ),
        (
            &[("scope: Namespaced", "scope: World")],
            &["spec.scope: Unsupported value: \"World\": supported values: \"Cluster\", \"Namespaced\""],
        ),
        (
            &[("storage: true", "storage: false")],
            &[
                "spec.versions: Invalid value: [{\"name\":\"v1\",\"served\":true,\"storage\":false,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}}}}}]: must have exactly one version marked as storage version",
            ],
        ),
        (
            &[("scope: Namespaced", "scope: Namespaced\n  conversion: {strategy: Webhook}")],
            &[
                "spec.conversion.strategy: Invalid value: \"Webhook\": conversion webhooks are not supported yet: all versions must have the same schema but for what the strategy None can do, which changes the apiVersion alone",
            ],
        ),
        (
            &[("scope: Namespaced", "scope: Namespaced\n  preserveUnknownFields: true")],
            &[
                "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
            ],
        ),
        (
            &[("a: {type: string}", "a: {}")],
            &[&*format!(
                "{schema}.properties[spec].properties[a].type: Required value: must not be empty for specified object fields"
            )],
        ),
        (
            &[(
                "storage: true,",
                "storage: true, additionalPrinterColumns: [{name: A, type: text, jsonPath: spec}], selectableFields: [{jsonPath: .spec.b}], subresources: {scale: {specReplicasPath: .replicas, statusReplicasPath: .status.replicas}},",
            )],
            &[
                "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".replicas\": should be a json path under .spec",
                "spec.versions[0].additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string",
                "spec.versions[0].additionalPrinterColumns[0].jsonPath: Invalid value: \"spec\": is an invalid JSON path: must begin with a dot",
                "spec.versions[0].selectableFields[0].jsonPath: Invalid value: \".spec.b\": is an invalid path: does not refer to a valid field",
            ],
        ),
    ];
    for (change, want) in table {
        assert_eq!(errors(&KIND, &with(change)), *want, "{change:?}");
    }
    assert!(errors(&KIND, "metadata: {name: a.b}").len() > 5);
}

#[test]
fn group_and_plural_never_change() {
    let other = with(&[("tabs.example.com", "tabs.other.com"), ("group: example.com", "group: other.com")]);
    let found = update_errors(&KIND, TABS, &other);
    assert!(found.contains(&"spec.group: Invalid value: \"other.com\": field is immutable".to_owned()), "{found:?}");
    // The scope may change until the definition has its names.
    assert_eq!(update_errors(&KIND, TABS, &with(&[("Namespaced", "Cluster")])), Vec::<String>::new());
}

fn settled(definition: &Object, others: &[&Object]) -> Object {
    let now = "2026-01-01T00:00:00Z";
    settle(definition, others.iter().copied(), KINDS.iter().copied(), now)
}

fn conditions(definition: &Object) -> Vec<String> {
    let conditions = definition.body.items_at("status.conditions").iter();
    conditions.map(|one| format!("{}={} {}", one.str_at("type"), one.str_at("status"), one.str_at("reason"))).collect()
}

#[test]
fn who_has_a_name_keeps_it() {
    let first = settled(&created(&KIND, TABS), &[]);
    assert_eq!(conditions(&first), ["NamesAccepted=True NoConflicts", "Established=True InitialNamesAccepted"]);
    assert_eq!(first.str_at("status.acceptedNames.listKind"), "TabList");
    assert_eq!(settled(&first, &[&first]), first, "once is enough");
    let second = with(&[
        ("tabs.example.com", "others.example.com"),
        ("plural: tabs, kind: Tab", "plural: others, singular: other, kind: Tab"),
    ]);
    let second = settled(&created(&KIND, &second), &[&first]);
    assert_eq!(conditions(&second), ["NamesAccepted=False KindConflict", "Established=False NotAccepted"]);
    assert_eq!(second.body.items_at("status.conditions")[0].str_at("message"), "\"Tab\" is already in use");
    // When the first is gone, its names are free.
    let second = settled(&second, &[]);
    assert_eq!(conditions(&second), ["NamesAccepted=True NoConflicts", "Established=True InitialNamesAccepted"]);
}

#[test]
fn objects_go_before_their_definition() {
    let mut definition = created(&KIND, TABS);
    (KIND.on_delete)(&mut definition);
    assert_eq!(definition.finalizers().collect::<Vec<_>>(), [CLEANUP_FINALIZER]);
}

#[test]
fn rules_in_cel_are_accepted_with_a_warning() {
    let with_rules =
        with(&[("a: {type: string}", "a: {type: string, x-kubernetes-validations: [{rule: 'self != \"\"'}]}")]);
    assert_eq!(errors(&KIND, &with_rules), Vec::<String>::new());
    let warnings = (KIND.warnings)(&created(&KIND, &with_rules));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("spec.versions[0].schema.openAPIV3Schema: x-kubernetes-validations"));
    assert!((KIND.warnings)(&created(&KIND, TABS)).is_empty());
}
