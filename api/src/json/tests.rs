use super::*;
use crate::schema::types;

fn read(text: &str) -> Decoded {
    decode(&types::CORE_V1_POD, text.as_bytes(), Options::CHECKED).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    read(text).problems.iter().map(ToString::to_string).collect()
}

fn failure(text: &str) -> String {
    decode(&types::CORE_V1_POD, text.as_bytes(), Options::CHECKED).unwrap_err().to_string()
}

#[test]
fn unknown_and_duplicate_fields_are_named_in_the_order_of_the_text() {
    let table: [(&str, &[&str]); 7] = [
        (r#"{"metadata":{"foo":1},"bar":2}"#, &[r#"unknown field "metadata.foo""#, r#"unknown field "bar""#]),
        (r#"{"metadata":{"name":"a","name":"b"}}"#, &[r#"duplicate field "metadata.name""#]),
        (
            r#"{"spec":{"containers":[{"x":1},{"name":"b","y":{}}]}}"#,
            &[r#"unknown field "spec.containers[0].x""#, r#"unknown field "spec.containers[1].y""#],
        ),
        (r#"{"metadata":{"labels":{"b":"1","a":"2","b":"3"}}}"#, &[r#"duplicate field "metadata.labels.b""#]),
        (r#"{"metadata":{"Name":"a"}}"#, &[r#"unknown field "metadata.Name""#]),
        (r#"{"spec":{"containers":[{"x":1,"x":2}]}}"#, &[r#"unknown field "spec.containers[0].x""#]),
        (r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}"#, &[]),
    ];
    for (text, expected) in table {
        assert_eq!(problems(text), expected, "{text}");
    }
    let node = read(r#"{"metadata":{"labels":{"b":"1","a":"2","b":"3"},"name":"a","name":"b"}}"#).object;
    assert_eq!((node.label("b"), node.name()), (Some("3"), "b"), "the last one wins");
}

#[test]
fn type_errors_read_as_go_words_them() {
    let table = [
        (
            r#"{"metadata":{"name":5}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            r#"{"spec":{"containers":{}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            r#"{"spec":{"containers":[{"image":true}]}}"#,
            "json: cannot unmarshal bool into Go struct field Container.spec.containers.image of type string",
        ),
        (
            r#"{"spec":{"priority":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            r#"{"spec":{"priority":3000000000}}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            r#"{"metadata":{"labels":["a"]}}"#,
            "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        ("[]", "json: cannot unmarshal array into Go value of type v1.Pod"),
        ("{", "unexpected end of JSON input"),
        ("{a", "invalid character 'a' looking for beginning of object key string"),
        (r#"{"spec":}"#, "invalid character '}' looking for beginning of value"),
        (r#"{"spec":{}} x"#, "invalid character 'x' after top-level value"),
        (r#"{"spec":{} "a"}"#, "invalid character '\"' after object key:value pair"),
        (
            r#"{"metadata":{"creationTimestamp":"x"}}"#,
            "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(failure(text), expected, "{text}");
    }
}

#[test]
fn null_and_zero_are_absence_and_output_follows_go() {
    let text = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"","labels":{},"creationTimestamp":null},
        "spec":{"priority":0,"hostNetwork":false,"containers":[{"name":"a","args":[],"resources":{}}],"nodeName":null}}"#;
    let object = read(text).object;
    assert!(object.metadata().is_none(), "nothing is left of the metadata");
    assert_eq!(object.at("spec.priority").unwrap().as_i64(), Some(0), "a pointer keeps its zero");
    let expected = r#"{"kind":"Pod","apiVersion":"v1","metadata":{},"spec":{"containers":[{"name":"a","resources":{}}],"priority":0},"status":{}}"#;
    assert_eq!(String::from_utf8(encode(&object)).unwrap(), expected);
}

#[test]
fn structs_that_go_cannot_omit_are_written() {
    let service = decode(&types::CORE_V1_SERVICE, br#"{"spec":{"ports":[{"port":80}]}}"#, Options::CHECKED).unwrap();
    let text = String::from_utf8(encode(&service.object)).unwrap();
    assert!(text.contains(r#""ports":[{"port":80,"targetPort":0}]"#), "{text}");
    assert!(text.ends_with(r#""status":{"loadBalancer":{}}}"#), "{text}");
}

#[test]
fn strings_are_escaped_as_go_escapes_them() {
    let mut out = vec![];
    write_string(&mut out, "a\"\\\n\u{1}<&>\u{2028}ü\u{7f}\u{8}");
    assert_eq!(String::from_utf8(out).unwrap(), "\"a\\\"\\\\\\n\\u0001\\u003c\\u0026\\u003e\\u2028ü\u{7f}\\b\"");
    let object = read(r#"{"metadata":{"name":"\u00fc\ud83d\ude00\ud800\/\t"}}"#).object;
    assert_eq!(object.name(), "ü😀\u{fffd}/\t");
}

#[test]
fn raw_json_is_kept_compact() {
    let text = br#"{"data": { "a" : [1, "x y<"] , "b":null }}"#;
    let revision = decode(&types::APPS_V1_CONTROLLER_REVISION, text, Options::CHECKED).unwrap();
    assert_eq!(revision.object.at("data").unwrap().as_raw(), Some(r#"{"a":[1,"x y\u003c"],"b":null}"#));
}

#[test]
fn floats_and_integers_are_written_as_go_writes_them() {
    for (value, expected) in
        [(1.0, "1"), (0.5, "0.5"), (1e21, "1e+21"), (1e20, "100000000000000000000"), (1e-7, "1e-7"), (-2.25, "-2.25")]
    {
        let mut out = vec![];
        write_node(&mut out, &crate::schema::FieldKind::Float, &crate::Node::Float(value));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
    for value in [0, -1, i64::MAX, i64::MIN, 1234567890] {
        let mut out = vec![];
        push_int(&mut out, value);
        assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
    }
}

#[test]
fn pretty_text_is_indented_by_two() {
    let text = br#"{"a":{},"b":[1,{"c":"{,}\""}],"d":[]}"#;
    let expected = "{\n  \"a\": {},\n  \"b\": [\n    1,\n    {\n      \"c\": \"{,}\\\"\"\n    }\n  ],\n  \"d\": []\n}";
    assert_eq!(String::from_utf8(pretty(text)).unwrap(), expected);
}

#[test]
fn the_envelope_is_read_without_the_rest() {
    let meta = peek_type_meta(br#"{"spec":{"a":[1,{"b":"}"}]},"kind":"Pod","apiVersion":"v1"}"#).unwrap();
    assert_eq!((&*meta.kind, &*meta.api_version), ("Pod", "v1"));
    assert!(peek_type_meta(b"[]").is_err() && peek_type_meta(br#"{"kind":1}"#).is_err());
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{{\"data\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let result = decode(&types::APPS_V1_CONTROLLER_REVISION, deep.as_bytes(), Options::CHECKED);
    assert_eq!(result.unwrap_err(), Error::TooDeep);
}
