use super::*;
use crate::schema::types;

fn pod(spec: &str) -> Object {
    let text =
        format!(r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"a","finalizers":["x","y"]}},"spec":{spec}}}"#);
    json::decode(&types::CORE_V1_POD, text.as_bytes(), Options::CHECKED).unwrap().object
}

fn spec(decoded: &Decoded) -> Value {
    let text = json::encode(&decoded.object);
    serde_json::from_slice::<Value>(&text).unwrap()["spec"].take()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn strategic_merge_follows_strategies_and_directives() {
    let table = [
        // Containers are merged by name; a new one goes in front of those it was not compared with.
        (
            r#"{"containers":[{"name":"a","image":"1"}]}"#,
            r#"{"containers":[{"name":"a","image":"2"}]}"#,
            r#"{"containers":[{"name":"a","image":"2","resources":{}}]}"#,
        ),
        (
            r#"{"containers":[{"name":"a"},{"name":"b"}]}"#,
            r#"{"containers":[{"name":"a","$patch":"delete"}]}"#,
            r#"{"containers":[{"name":"b","resources":{}}]}"#,
        ),
        (
            r#"{"containers":[{"name":"a"},{"name":"b"}]}"#,
            r#"{"containers":[{"name":"c"},{"$patch":"replace"}]}"#,
            r#"{"containers":[{"name":"c","resources":{}}]}"#,
        ),
        (
            r#"{"containers":[{"name":"a"},{"name":"b"}]}"#,
            r#"{"$setElementOrder/containers":[{"name":"c"},{"name":"b"},{"name":"a"}],"containers":[{"name":"c"}]}"#,
            r#"{"containers":[{"name":"c","resources":{}},{"name":"b","resources":{}},{"name":"a","resources":{}}]}"#,
        ),
        (
            r#"{"containers":[{"name":"a"},{"name":"b"}]}"#,
            r#"{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]}"#,
            r#"{"containers":[{"name":"b","resources":{}},{"name":"a","resources":{}}]}"#,
        ),
        // Ports merge by containerPort alone.
        (
            r#"{"containers":[{"name":"a","ports":[{"containerPort":80,"protocol":"TCP"}]}]}"#,
            r#"{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"http"}]}]}"#,
            r#"{"containers":[{"name":"a","ports":[{"name":"http","containerPort":80,"protocol":"TCP"}],"resources":{}}]}"#,
        ),
        // A volume keeps only the source that the patch names.
        (
            r#"{"containers":[],"volumes":[{"name":"v","emptyDir":{}}]}"#,
            r#"{"volumes":[{"name":"v","$retainKeys":["name","configMap"],"configMap":{"name":"c"}}]}"#,
            r#"{"containers":[],"volumes":[{"name":"v","configMap":{"name":"c"}}]}"#,
        ),
        // Atomic lists are replaced, null removes, a map is replaced on demand.
        (
            r#"{"containers":[],"tolerations":[{"key":"a"}]}"#,
            r#"{"tolerations":[{"key":"b"}]}"#,
            r#"{"containers":[],"tolerations":[{"key":"b"}]}"#,
        ),
        (r#"{"containers":[],"nodeName":"n"}"#, r#"{"nodeName":null}"#, r#"{"containers":[]}"#),
        (
            r#"{"containers":[],"nodeSelector":{"a":"1"}}"#,
            r#"{"nodeSelector":{"$patch":"replace","b":"2"}}"#,
            r#"{"containers":[],"nodeSelector":{"b":"2"}}"#,
        ),
        // Directives in values that the object did not have vanish.
        (
            r#"{"containers":[]}"#,
            r#"{"securityContext":{"$patch":"replace","runAsUser":5}}"#,
            r#"{"containers":[],"securityContext":{"runAsUser":5}}"#,
        ),
    ];
    for (before, patch, expected) in table {
        let patched = strategic_merge_patch(&pod(before), format!(r#"{{"spec":{patch}}}"#).as_bytes());
        let patched = patched.unwrap_or_else(|error| panic!("{patch}: {error}"));
        assert_eq!(spec(&patched), json(expected), "{before} {patch}");
        assert!(patched.problems.is_empty());
    }
}

#[test]
fn scalar_lists_are_merged_and_deleted_from() {
    let table = [
        (r#"{"metadata":{"finalizers":["z"]}}"#, vec!["z", "x", "y"]),
        (r#"{"metadata":{"$setElementOrder/finalizers":["y","x"]}}"#, vec!["y", "x"]),
        (r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["x"]}}"#, vec!["y"]),
        (r#"{"metadata":{"$setElementOrder/finalizers":["x","y","z"],"finalizers":["z"]}}"#, vec!["x", "y", "z"]),
        (r#"{"metadata":{"finalizers":null}}"#, vec![]),
    ];
    for (patch, expected) in table {
        let patched = strategic_merge_patch(&pod(r#"{"containers":[]}"#), patch.as_bytes()).unwrap();
        assert_eq!(patched.object.finalizers().collect::<Vec<_>>(), expected, "{patch}");
    }
}

#[test]
fn malformed_strategic_patches_are_refused() {
    let table = [
        (r#"{"spec":{"containers":[{"image":"a"}]}}"#, "does not contain declared merge key: name"),
        (r#"{"spec":{"$patch":"x"}}"#, "unknown patch type found"),
        (r#"{"spec":{"volumes":[{"name":"v","$retainKeys":["name"],"emptyDir":{}}],"containers":[]}}"#, "retainKeys"),
        ("[]", "must be an object"),
        ("{", "unexpected end of JSON input"),
    ];
    for (patch, expected) in table {
        let error = strategic_merge_patch(&pod(r#"{"containers":[{"name":"a"}]}"#), patch.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(expected), "{patch}: {error}");
    }
}

#[test]
fn json_patches_apply_in_order() {
    let table = [
        (
            r#"[{"op":"add","path":"/spec/containers/-","value":{"name":"b"}},{"op":"remove","path":"/spec/containers/0"}]"#,
            r#"{"containers":[{"name":"b","resources":{}}]}"#,
        ),
        (
            r#"[{"op":"replace","path":"/spec/containers/0/name","value":"c"}]"#,
            r#"{"containers":[{"name":"c","resources":{}}]}"#,
        ),
        (
            r#"[{"op":"test","path":"/spec/containers/0/name","value":"a"},{"op":"add","path":"/spec/nodeSelector","value":{}},
            {"op":"add","path":"/spec/nodeSelector/a~1b~0c","value":"1"}]"#,
            r#"{"containers":[{"name":"a","resources":{}}],"nodeSelector":{"a/b~c":"1"}}"#,
        ),
        (
            r#"[{"op":"copy","from":"/spec/containers/0","path":"/spec/containers/1"},{"op":"replace","path":"/spec/containers/1/name","value":"b"}]"#,
            r#"{"containers":[{"name":"a","resources":{}},{"name":"b","resources":{}}]}"#,
        ),
        (
            r#"[{"op":"add","path":"/spec/nodeName","value":"n"},{"op":"move","from":"/spec/nodeName","path":"/spec/hostname"}]"#,
            r#"{"containers":[{"name":"a","resources":{}}],"hostname":"n"}"#,
        ),
    ];
    for (patch, expected) in table {
        let patched = json_patch(&pod(r#"{"containers":[{"name":"a"}]}"#), patch.as_bytes()).unwrap();
        assert_eq!(spec(&patched), json(expected), "{patch}");
    }
}

#[test]
fn json_patches_that_do_not_fit_are_refused() {
    let table = [
        (r#"[{"op":"test","path":"/spec/nodeName","value":"n"}]"#, "testing value /spec/nodeName failed: test failed"),
        (r#"[{"op":"remove","path":"/spec/nothing"}]"#, "missing path"),
        (r#"[{"op":"replace","path":"/spec/containers/7","value":{}}]"#, "missing path"),
        (r#"[{"op":"add","path":"/spec/containers/7","value":{}}]"#, "missing path"),
        (r#"[{"op":"fly","path":"/spec"}]"#, "Unexpected kind: fly"),
        (r#"{"op":"add"}"#, "must be a list"),
        (r#"[{"path":"/spec"}]"#, "needs the text \"op\""),
        (r#"[{"op":"add","path":"/metadata/name","value":5}]"#, "cannot unmarshal number"),
    ];
    for (patch, expected) in table {
        let error = json_patch(&pod(r#"{"containers":[]}"#), patch.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(expected), "{patch}: {error}");
    }
    let many = format!("[{}]", vec![r#"{"op":"remove","path":"/x"}"#; JSON_PATCH_OPERATIONS_MAX + 1].join(","));
    let error = json_patch(&pod(r#"{"containers":[]}"#), many.as_bytes()).unwrap_err();
    assert_eq!(error, Error::TooManyOperations(10_001));
}

#[test]
fn merge_patches_replace_lists_and_report_problems() {
    let before = pod(r#"{"containers":[{"name":"a"}],"nodeName":"n"}"#);
    let patch =
        br#"{"spec":{"containers":[{"name":"b"}],"nodeName":null,"foo":1},"metadata":{"labels":{"a":"1","a":"2"}}}"#;
    let patched = merge_patch(&before, patch).unwrap();
    assert_eq!(spec(&patched), json(r#"{"containers":[{"name":"b","resources":{}}]}"#));
    assert_eq!(patched.object.label("a"), Some("2"));
    let problems: Vec<String> = patched.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, [r#"duplicate field "metadata.labels.a""#, r#"unknown field "spec.foo""#]);
}
