use super::*;
use crate::apiextensions::v1::custom_resource_definition::KIND as DEFINITION;
use crate::json::{self, Options, Problem};
use crate::kinds::testing::{defaulted, now};
use crate::managed_fields::{Writer, apply, update};
use crate::patch;

pub(crate) const CRON_TABS: &str = "
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, kind: CronTab, shortNames: [ct]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
    selectableFields: [{jsonPath: .spec.image}]
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [cronSpec]
            properties:
              cronSpec: {type: string, pattern: '^\\S+( \\S+){4}$'}
              image: {type: string}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              hosts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, port: {type: integer}}}
              extra: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, properties: {replicas: {type: integer}, selector: {type: string}}}
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

/// A definition that has its names.
pub(crate) fn established(yaml: &str) -> Object {
    let mut definition = defaulted(&DEFINITION, yaml);
    definition.set("status.acceptedNames", definition.at("spec.names").unwrap().clone());
    definition
}

fn kinds(yaml: &str) -> Vec<&'static Kind> {
    Compiler::default().kinds(&Definition::new(&established(yaml)))
}

fn cron_tab() -> &'static Kind {
    kinds(CRON_TABS)[0]
}

fn read(kind: &Kind, yaml: &str) -> Object {
    let text = crate::yaml::to_json(yaml).unwrap();
    let mut object = json::decode(kind.ty, &text, Options { check: true, keep_zeros: false }).unwrap().object;
    object.api_version = kind.api_version().into();
    object.kind = kind.kind.into();
    object.set("metadata.name", "a");
    object.set("metadata.namespace", "default");
    object
}

fn body(object: &Object) -> String {
    let mut value: serde_json::Value = serde_json::from_slice(&json::encode_struct(&object.body)).unwrap();
    value.as_object_mut().unwrap().remove("metadata");
    value.to_string()
}

#[test]
fn a_definition_is_one_kind_for_each_version() {
    let kinds = kinds(CRON_TABS);
    let [stable, beta] = kinds[..] else { panic!("{kinds:?}") };
    assert_eq!(
        (stable.api_version().as_str(), stable.plural, stable.singular),
        ("stable.example.com/v1", "crontabs", "crontab")
    );
    assert_eq!((stable.list_kind().as_str(), stable.short_names), ("CronTabList", &["ct"][..]));
    assert!(stable.has_status() && stable.scale.is_some() && stable.is_selectable("spec.image"));
    assert_eq!(beta.deprecation, "stable.example.com/v1beta1 CronTab is deprecated");
    assert!(std::ptr::eq(beta.storage(), stable) && !beta.has_status());
}

#[test]
fn what_was_made_once_is_not_made_again() {
    let mut compiler = Compiler::default();
    let mut kinds = |yaml: &str| compiler.kinds(&Definition::new(&established(yaml)));
    let first = kinds(CRON_TABS);
    // Only the schema differs, and it stands in the same place.
    let wider = kinds(&CRON_TABS.replace("maximum: 10", "maximum: 20"));
    assert!(std::ptr::eq(first[0], wider[0]) && std::ptr::eq(first[1], wider[1]));
    let object = read(first[0], "spec: {cronSpec: '* * * * *', replicas: 15}");
    assert!(first[0].validate(&object).is_empty());
    let renamed = kinds(&CRON_TABS.replace("name: Replicas", "name: Count"));
    assert!(!std::ptr::eq(first[0], renamed[0]));
    assert!(std::ptr::eq(first[0], kinds(CRON_TABS)[0]));
}

#[test]
fn unknown_fields_are_dropped_and_told() {
    let text = br#"{"apiVersion":"stable.example.com/v1","kind":"CronTab","metadata":{"name":"a","x":1},
        "spec":{"cronSpec":"a","image":null,"foo":1,"hosts":[{"name":"h","y":1}],"extra":{"z":{"deep":[1,2.5,null]}},
        "tags":["a"],"tags":["b"]},"other":{}}"#;
    let decoded = json::decode(cron_tab().ty, text, Options::CHECKED).unwrap();
    let unknown = |path: &str| Problem::Unknown(path.to_owned());
    assert_eq!(
        decoded.problems,
        [
            unknown("metadata.x"),
            Problem::Duplicate("spec.tags".to_owned()),
            unknown("spec.foo"),
            unknown("spec.hosts[0].y"),
            unknown("other"),
        ]
    );
    let want = r#"{"spec":{"cronSpec":"a","extra":{"z":{"deep":[1,2.5,null]}},"hosts":[{"name":"h"}],"image":null,"tags":["b"]}}"#;
    assert_eq!(body(&decoded.object), want);
}

#[test]
fn what_is_kept_without_a_name_survives_every_way() {
    let open = kinds(CRON_TABS)[1];
    let object = read(open, "{spec: {a: 1}, zebra: {b: [1]}, apple: x}");
    assert_eq!(body(&object), r#"{"apple":"x","spec":{"a":1},"zebra":{"b":[1]}}"#);
    let patched = patch::merge_patch(&object, br#"{"zebra":{"c":true},"apple":null}"#).unwrap();
    assert_eq!(
        (body(&patched.object).as_str(), &*patched.problems),
        (r#"{"spec":{"a":1},"zebra":{"b":[1],"c":true}}"#, &[][..])
    );
    let mut next = patched.object;
    open.prepare_for_update(&mut next, &object);
    assert_eq!(next.generation(), 1);
}

#[test]
fn objects_are_defaulted_and_validated_by_their_schema() {
    let kind = cron_tab();
    let mut object = read(kind, "spec: {cronSpec: '* * * * *'}");
    kind.default(&mut object);
    assert_eq!(object.body.i64_at("spec.replicas"), Some(1));
    assert!(kind.validate(&object).is_empty());
    let wrong =
        |yaml: &str| -> Vec<String> { kind.validate(&read(kind, yaml)).iter().map(ToString::to_string).collect() };
    assert_eq!(wrong("{}"), ["spec: Required value"]);
    assert_eq!(
        wrong("spec: {cronSpec: x, replicas: 11, image: 1}"),
        [
            "spec.cronSpec: Invalid value: \"x\": spec.cronSpec in body should match '^\\S+( \\S+){4}$'",
            "spec.image: Invalid value: \"integer\": spec.image in body must be of type string: \"integer\"",
            "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
        ]
    );
}

#[test]
fn the_status_is_written_apart_and_the_generation_counts_the_rest() {
    let kind = cron_tab();
    let mut object = read(kind, "{spec: {cronSpec: '* * * * *'}, status: {replicas: 3}}");
    kind.prepare_for_create(&mut object);
    assert!(object.at("status").is_none() && object.generation() == 1);
    let mut new = object.clone();
    new.set("metadata.labels.a", "b");
    kind.prepare_for_update(&mut new, &object);
    assert_eq!(new.generation(), 1);
    new = read(kind, "{spec: {cronSpec: 'x * * * *'}, status: {replicas: 3}}");
    kind.prepare_for_update(&mut new, &object);
    assert!(new.at("status").is_none() && new.generation() == 2);
    let mut status = read(kind, "{metadata: {labels: {a: b}}, spec: {cronSpec: other}, status: {replicas: 3}}");
    kind.prepare_for_status_update(&mut status, &object);
    assert_eq!(body(&status), r#"{"spec":{"cronSpec":"* * * * *"},"status":{"replicas":3}}"#);
    assert!(status.labels().is_none() && status.generation() == 1);
}

#[test]
fn rows_have_the_columns_of_the_definition() {
    let kinds = kinds(CRON_TABS);
    let mut object = read(kinds[0], "spec: {cronSpec: '* * * * *'}");
    object.set("metadata.creationTimestamp", "2026-11-23T11:00:00Z");
    let names: Vec<&str> = kinds[0].columns.iter().map(|column| column.name).collect();
    assert_eq!(names, ["Name", "Spec", "Replicas", "Age"]);
    let cells = kinds[0].table_row(&object, now()).cells;
    assert_eq!(cells, [Cell::from("a"), Cell::from("* * * * *"), Cell::Null, Cell::from("60m")]);
    let names: Vec<&str> = kinds[1].columns.iter().map(|column| column.name).collect();
    assert_eq!(names, ["Name", "Age"]);
}

fn owned(object: &Object) -> Vec<String> {
    let entries = object.body.items_at("metadata.managedFields").iter();
    entries
        .map(|entry| format!("{} {}", entry.str_at("manager"), entry.at("fieldsV1").unwrap().as_raw().unwrap()))
        .collect()
}

fn writer<'a>(manager: &'a str) -> Writer<'a> {
    Writer {
        manager,
        api_version: "stable.example.com/v1",
        subresource: "",
        now: "2026-01-01T00:00:00Z",
        ignored: &["status"],
    }
}

#[test]
fn ownership_follows_the_lists_of_the_schema() {
    let kind = cron_tab();
    let mut object = read(kind, "spec: {cronSpec: a, tags: [x], hosts: [{name: h, port: 1}], extra: {k: {l: [1]}}}");
    update(&writer("w"), None, &mut object);
    assert_eq!(
        owned(&object),
        [
            r#"w {"f:spec":{".":{},"f:cronSpec":{},"f:extra":{".":{},"f:k":{".":{},"f:l":{}}},"f:hosts":{".":{},"k:{\"name\":\"h\"}":{".":{},"f:name":{},"f:port":{}}},"f:tags":{".":{},"v:\"x\"":{}}}}"#
        ]
    );
    let mut changed =
        read(kind, "spec: {cronSpec: a, tags: [x, z], hosts: [{name: h, port: 2}], extra: {k: {l: [1]}}}");
    changed.metadata_mut().remove("managedFields");
    update(&writer("v"), Some(&object), &mut changed);
    assert_eq!(
        owned(&changed)[0],
        r#"v {"f:spec":{"f:hosts":{"k:{\"name\":\"h\"}":{"f:port":{}}},"f:tags":{"v:\"z\"":{}}}}"#
    );
}

#[test]
fn an_apply_merges_lists_by_key_and_stops_at_conflicts() {
    let kind = cron_tab();
    let config = |yaml: &str| read(kind, yaml);
    let one = config("spec: {cronSpec: a, replicas: 2, hosts: [{name: h, port: 1}], tags: [x]}");
    let live = apply(&writer("one"), false, None, &one).unwrap().object;
    let two = config("spec: {hosts: [{name: i, port: 2}], tags: [z], image: j}");
    let live = apply(&writer("two"), false, Some(&live), &two).unwrap().object;
    assert_eq!(
        body(&live),
        r#"{"spec":{"cronSpec":"a","hosts":[{"name":"h","port":1},{"name":"i","port":2}],"image":"j","replicas":2,"tags":["x","z"]}}"#
    );
    let error = apply(&writer("two"), false, Some(&live), &config("spec: {replicas: 3}")).unwrap_err();
    assert_eq!(error.to_string(), r#"Apply failed with 1 conflict: conflict with "one": .spec.replicas"#);
    // What nobody applies any more goes; what another applies stays.
    let live = apply(&writer("two"), false, Some(&live), &config("spec: {tags: [x]}")).unwrap().object;
    assert_eq!(body(&live), r#"{"spec":{"cronSpec":"a","hosts":[{"name":"h","port":1}],"replicas":2,"tags":["x"]}}"#);
    assert!(!apply(&writer("two"), false, Some(&live), &config("spec: {tags: [x]}")).unwrap().changed);
    let twice = config("spec: {tags: [x, x]}");
    assert!(apply(&writer("two"), false, Some(&live), &twice).is_err());
}

#[test]
fn the_members_of_an_open_object_have_owners_too() {
    let open = kinds(CRON_TABS)[1];
    let one = apply(&writer("one"), false, None, &read(open, "{zebra: {a: 1}, spec: {b: 2}}")).unwrap().object;
    let two = apply(&writer("two"), false, Some(&one), &read(open, "{zebra: {c: 3}}")).unwrap().object;
    assert_eq!(body(&two), r#"{"spec":{"b":2},"zebra":{"a":1,"c":3}}"#);
    let three = apply(&writer("one"), false, Some(&two), &read(open, "{spec: {b: 2}}")).unwrap().object;
    assert_eq!(body(&three), r#"{"spec":{"b":2},"zebra":{"c":3}}"#);
}
