use serde_json::Value;

use super::*;
use crate::json;
use crate::node::Node;
use crate::schema::FieldKind;
use crate::validation::{Errors, Path};

fn read(yaml: &str) -> Value {
    serde_json::from_slice(&crate::yaml::to_json(yaml).unwrap()).unwrap()
}

fn value(yaml: &str) -> Node {
    parse::node(&read(yaml))
}

fn text(node: &Node) -> String {
    let mut out = vec![];
    json::write_node(&mut out, &FieldKind::Raw, node);
    String::from_utf8(out).unwrap()
}

fn problems(schema: &str) -> Vec<String> {
    let mut errors = Errors::new();
    let path = Path::Root.field("s");
    check(&read(schema), &path, &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

/// A schema, and what is wrong with it.
const SCHEMAS: &[(&str, &[&str])] = &[
    ("{type: object, properties: {spec: {type: object, properties: {a: {type: string}}}}}", &[]),
    ("{}", &["s.type: Required value: must not be empty at the root"]),
    ("{type: array, items: {type: string}}", &["s.type: Invalid value: \"array\": must be object at the root"]),
    (
        "{type: object, properties: {a: {}, b: {type: array}, c: {type: list}, d: {type: 'null'}}}",
        &[
            "s.properties[a].type: Required value: must not be empty for specified object fields",
            "s.properties[b].items: Required value: must be specified",
            "s.properties[c].type: Unsupported value: \"list\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            "s.properties[d].type: Forbidden: type cannot be set to null, use nullable as an alternative",
        ],
    ),
    (
        "{type: object, properties: {a: {type: array, items: {}, uniqueItems: true}}}",
        &[
            "s.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            "s.properties[a].items.type: Required value: must not be empty for specified array items",
        ],
    ),
    (
        "{type: object, properties: {a: {type: object, additionalProperties: false}, b: {type: object, properties: {x: {type: string}}, additionalProperties: {type: string}}}}",
        &[
            "s.properties[a].additionalProperties: Forbidden: additionalProperties cannot be set to false",
            "s.properties[b].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ],
    ),
    (
        "{type: object, properties: {metadata: {type: object, properties: {labels: {type: object}}}, kind: {type: integer}}}",
        &[
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            "s.properties[kind].type: Invalid value: \"integer\": must be string",
        ],
    ),
    (
        "{type: object, properties: {a: {type: integer, allOf: [{type: integer, minimum: 1}]}}, anyOf: [{properties: {b: {minimum: 1}}}]}",
        &[
            "s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]",
            "s.properties[a].allOf[0].type: Forbidden: must be empty to be structural",
        ],
    ),
    (
        "{type: object, properties: {a: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}}}",
        &[],
    ),
    (
        "{type: object, properties: {l: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [key, other], items: {type: object, properties: {key: {type: string}}}}}}",
        &[
            "s.properties[l].items.properties[key].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            "s.properties[l].x-kubernetes-list-map-keys[1]: Invalid value: \"other\": entries must all be names of item properties",
        ],
    ),
    (
        "{type: object, properties: {l: {type: string, x-kubernetes-list-type: bag}}}",
        &[
            "s.properties[l].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified",
            "s.properties[l].x-kubernetes-list-type: Unsupported value: \"bag\": supported values: \"atomic\", \"map\", \"set\"",
        ],
    ),
    (
        "{type: object, properties: {a: {type: integer, default: x}, b: {type: object, properties: {c: {type: string}}, default: {d: 1}}}}",
        &[
            "s.properties[a].default: Invalid value: \"string\": s.properties[a].default in body must be of type integer: \"string\"",
            "s.properties[b].default: Invalid value: {\"d\":1}: must not have unknown fields",
        ],
    ),
    (
        "{type: object, properties: {a: {$ref: '#/x', type: string}, e: {type: object, x-kubernetes-embedded-resource: true}}}",
        &[
            "s.properties[a].$ref: Forbidden: $ref is not supported",
            "s.properties[e].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ],
    ),
];

#[test]
fn mistakes_in_schemas_are_told_with_their_paths() {
    for (schema, want) in SCHEMAS {
        assert_eq!(problems(schema), *want, "{schema}");
    }
    let bad_pattern = problems("{type: object, properties: {a: {type: string, pattern: '['}}}");
    assert!(bad_pattern[0].starts_with("s.properties[a].pattern: Invalid value: \"[\": must be a valid regular"));
}

#[test]
fn what_the_schema_does_not_name_is_dropped_and_told() {
    let open = "{type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: object, properties: {b: {type: string}}}}}";
    let table = [
        ("{type: object, properties: {a: {type: string}}}", "{a: x, b: z}", r#"{"a":"x"}"#, "b"),
        ("{type: object}", "{a: x}", "{}", "a"),
        (open, "{a: {b: x, c: z}, d: {e: 1}}", r#"{"a":{"b":"x"},"d":{"e":1}}"#, "a.c"),
        ("{type: object, additionalProperties: true}", "{a: {b: 1}}", r#"{"a":{"b":1}}"#, ""),
        (
            "{type: object, additionalProperties: {type: object, properties: {a: {type: integer}}}}",
            "{k: {a: 1, b: 2}}",
            r#"{"k":{"a":1}}"#,
            "k.b",
        ),
        (
            "{type: object, properties: {l: {type: array, items: {type: object, properties: {a: {type: integer}}}}}}",
            "{l: [{a: 1}, {a: 2, b: 3}]}",
            r#"{"l":[{"a":1},{"a":2}]}"#,
            "l[1].b",
        ),
        (
            "{type: object, properties: {e: {type: object, x-kubernetes-embedded-resource: true, properties: {spec: {type: object}}}}}",
            "{e: {apiVersion: v1, kind: Pod, metadata: {name: a}, x: 1}}",
            r#"{"e":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}}"#,
            "e.x",
        ),
    ];
    for (schema, given, want, told) in table {
        let (mut node, mut paths) = (value(given), vec![]);
        prune(Some(&Structural::parse(&read(schema))), &mut node, "", &mut |path| paths.push(path.to_owned()));
        assert_eq!((text(&node).as_str(), paths.join(",").as_str()), (want, told), "{schema}");
    }
}

#[test]
fn defaults_fill_what_is_absent_and_null_where_null_is_not_allowed() {
    let schema = "
type: object
properties:
  a: {type: integer, default: 1}
  nil: {type: integer, default: 2, nullable: true}
  o: {type: object, properties: {p: {type: string, default: x}}}
  d: {type: object, default: {}, properties: {p: {type: string, default: z}}}
  l: {type: array, items: {type: object, properties: {q: {type: boolean, default: true}}}}
  m: {type: object, additionalProperties: {type: object, properties: {r: {type: number, default: 1.5}}}}
";
    let table = [
        ("{}", r#"{"a":1,"d":{"p":"z"},"nil":2}"#),
        ("{a: null, nil: null}", r#"{"a":1,"d":{"p":"z"},"nil":null}"#),
        (
            "{a: 7, nil: 8, d: {p: w}, o: {}, l: [{}, {q: false}], m: {k: {}}}",
            r#"{"a":7,"d":{"p":"w"},"l":[{"q":true},{"q":false}],"m":{"k":{"r":1.5}},"nil":8,"o":{"p":"x"}}"#,
        ),
    ];
    let schema = Structural::parse(&read(schema));
    for (given, want) in table {
        let mut node = value(given);
        default(&schema, &mut node);
        assert_eq!(text(&node), want, "{given}");
    }
}

fn wrong(schema: &str, given: &str, old: Option<&str>) -> Vec<String> {
    let schema = Structural::parse(&read(&format!("{{type: object, properties: {{v: {schema}}}}}")));
    let (node, old) = (value(given), old.map(value));
    let mut errors = Errors::new();
    let path = Path::Root.field("spec");
    validate(schema.property("v").unwrap(), &node, old.as_ref(), &path, &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

/// A schema, a value, and what is wrong with it.
const VALUES: &[(&str, &str, &[&str])] = &[
    ("{type: integer}", "1", &[]),
    ("{type: integer}", "1.0", &[]),
    ("{type: integer}", "a", &["spec: Invalid value: \"string\": spec in body must be of type integer: \"string\""]),
    ("{type: string}", "null", &["spec: Invalid value: \"null\": spec in body must be of type string: \"null\""]),
    ("{type: string, nullable: true}", "null", &[]),
    ("{x-kubernetes-int-or-string: true}", "5", &[]),
    ("{x-kubernetes-int-or-string: true}", "50%", &[]),
    (
        "{x-kubernetes-int-or-string: true}",
        "true",
        &["spec: Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\""],
    ),
    (
        "{type: integer, minimum: 1}",
        "0",
        &["spec: Invalid value: 0: spec in body should be greater than or equal to 1"],
    ),
    (
        "{type: integer, maximum: 10, exclusiveMaximum: true}",
        "10",
        &["spec: Invalid value: 10: spec in body should be less than 10"],
    ),
    (
        "{type: number, multipleOf: 0.5}",
        "1.25",
        &["spec: Invalid value: 1.25: spec in body should be a multiple of 0.5"],
    ),
    (
        "{type: string, pattern: '^[a-z]+$'}",
        "A1",
        &["spec: Invalid value: \"A1\": spec in body should match '^[a-z]+$'"],
    ),
    (
        "{type: string, minLength: 3}",
        "äö",
        &["spec: Invalid value: \"äö\": spec in body should be at least 3 chars long"],
    ),
    ("{type: string, maxLength: 2}", "abc", &["spec: Too long: may not be more than 2 bytes"]),
    ("{type: string, enum: [a, b]}", "c", &["spec: Unsupported value: \"c\": supported values: \"a\", \"b\""]),
    ("{type: array, items: {type: string}, maxItems: 1}", "[a, b]", &["spec: Too many: 2: must have at most 1 item"]),
    (
        "{type: array, items: {type: string}, minItems: 1}",
        "[]",
        &["spec: Invalid value: 0: spec in body should have at least 1 items"],
    ),
    (
        "{type: object, required: [a], properties: {a: {type: string}}, maxProperties: 1}",
        "{b: 1, c: 2}",
        &["spec: Too many: 2: must have at most 1 item", "spec.a: Required value"],
    ),
    (
        "{type: array, x-kubernetes-list-type: set, items: {type: string}}",
        "[a, b, a]",
        &["spec[2]: Duplicate value: \"a\""],
    ),
    (
        "{type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [key], items: {type: object, properties: {key: {type: string}, v: {type: integer}}}}",
        "[{key: a, v: 1}, {key: a, v: 2}]",
        &["spec[1]: Duplicate value: {\"key\":\"a\"}"],
    ),
    (
        "{type: object, additionalProperties: {type: integer}}",
        "{a: x}",
        &["spec.a: Invalid value: \"string\": spec.a in body must be of type integer: \"string\""],
    ),
    (
        "{type: string, format: date}",
        "2026-13-01",
        &["spec: Invalid value: \"2026-13-01\": spec in body must be of type date: \"2026-13-01\""],
    ),
    ("{type: string, format: something}", "x", &[]),
    (
        "{type: object, properties: {a: {type: integer}, b: {type: integer}}, oneOf: [{required: [a]}, {required: [b]}]}",
        "{a: 1, b: 1}",
        &[
            "spec: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ],
    ),
    (
        "{type: integer, anyOf: [{minimum: 10}, {maximum: 5}]}",
        "7",
        &["spec: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf)"],
    ),
    (
        "{type: integer, not: {minimum: 5}}",
        "7",
        &["spec: Invalid value: \"\": \"spec\" must not validate the schema (not)"],
    ),
    (
        "{type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}",
        "{kind: Pod}",
        &["spec.apiVersion: Required value: must not be empty"],
    ),
];

#[test]
fn values_are_held_against_their_schemas_in_kubernetes_words() {
    for (schema, given, want) in VALUES {
        assert_eq!(wrong(schema, given, None), *want, "{schema}: {given}");
    }
}

#[test]
fn what_did_not_change_is_not_held_against_a_schema_that_became_stricter() {
    let object = "{type: object, properties: {a: {type: integer, maximum: 5}, b: {type: integer, maximum: 5}}}";
    assert_eq!(wrong(object, "{a: 7, b: 1}", Some("{a: 7}")), Vec::<String>::new());
    assert_eq!(wrong(object, "{a: 7, b: 8}", Some("{a: 7}")).len(), 1);
    let list = "{type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [key], items: {type: object, properties: {key: {type: string}, v: {type: integer, maximum: 5}}}}";
    assert_eq!(wrong(list, "[{key: b, v: 1}, {key: a, v: 9}]", Some("[{key: a, v: 9}]")), Vec::<String>::new());
}

#[test]
fn texts_are_of_their_formats() {
    let table = [
        ("date-time", "2026-01-02T03:04:05Z", "yesterday"),
        ("duration", "1m30s", "1 minute"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
        ("mac", "01:02:03:04:05:06", "01:02:03"),
        ("uuid4", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "f47ac10b-58cc-1372-a567-0e02b2c3d479"),
        ("hostname", "a.example.com", "-a.example"),
        ("email", "a@example.com", "example.com"),
        ("uri", "https://example.com/x?y", "not a uri"),
        ("byte", "aGVsbG8=", "a"),
    ];
    for (format, good, bad) in table {
        assert!(formats::is_valid(format, good), "{format}: {good}");
        assert!(!formats::is_valid(format, bad), "{format}: {bad}");
    }
}

#[test]
fn rules_in_cel_are_found_wherever_they_stand() {
    assert!(has_rules(&read("{type: object, properties: {a: {items: {x-kubernetes-validations: [{rule: x}]}}}}")));
    assert!(!has_rules(&read("{type: object, properties: {a: {default: {x-kubernetes-validations: [1]}}}}")));
}
