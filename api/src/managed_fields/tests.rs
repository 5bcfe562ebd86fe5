use super::*;
use crate::json::Options;
use crate::schema::Type;

const NOW: &str = "2026-01-01T00:00:00Z";

fn writer(manager: &'static str) -> Writer<'static> {
    Writer { manager, api_version: "v1", subresource: "", now: NOW, ignored: &["status"] }
}

fn read_as(ty: Type, text: &str, keep_zeros: bool) -> Object {
    let decoded = json::decode(ty, text.as_bytes(), Options { check: true, keep_zeros }).unwrap();
    assert_eq!(decoded.problems, [], "{text}");
    decoded.object
}

fn config_map(data: &str) -> Object {
    read_as(&types::CORE_V1_CONFIG_MAP, &format!(r#"{{"metadata":{{"name":"c"}},"data":{data}}}"#), true)
}

fn pod(spec: &str) -> Object {
    read_as(&types::CORE_V1_POD, &format!(r#"{{"metadata":{{"name":"p"}},"spec":{spec}}}"#), true)
}

/// Every entry as `manager operation fields`.
fn owners(object: &Object) -> Vec<String> {
    let entries = object.body.items_at("metadata.managedFields");
    entries
        .iter()
        .map(|entry| {
            let fields = entry.get("fieldsV1").and_then(Node::as_raw).unwrap_or("");
            format!("{} {} {fields}", entry.str_at("manager"), entry.str_at("operation"))
        })
        .collect()
}

fn created(manager: &'static str, mut object: Object) -> Object {
    object.body.drop_zeros();
    update(&writer(manager), None, &mut object);
    object
}

fn updated(manager: &'static str, live: &Object, mut new: Object) -> Object {
    new.body.drop_zeros();
    update(&writer(manager), Some(live), &mut new);
    new
}

fn applied(manager: &'static str, live: Option<&Object>, config: &Object) -> Applied {
    apply(&writer(manager), false, live, config).unwrap()
}

#[test]
fn a_create_owns_what_it_brings() {
    let object = created("kubectl", pod(r#"{"containers":[{"name":"a","image":"i","ports":[{"containerPort":80}]}]}"#));
    let expected = concat!(
        r#"kubectl Update {"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{},"f:ports":"#,
        r#"{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}},"f:resources":{}}}}}"#
    );
    assert_eq!(owners(&object), [expected]);
    let entry = &object.body.items_at("metadata.managedFields")[0];
    assert_eq!((entry.str_at("time"), entry.str_at("fieldsType"), entry.str_at("apiVersion")), (NOW, "FieldsV1", "v1"));
}

#[test]
fn an_update_takes_over_what_it_changes() {
    let live = created("a", config_map(r#"{"x":"1","y":"1"}"#));
    assert_eq!(owners(&live), [r#"a Update {"f:data":{".":{},"f:x":{},"f:y":{}}}"#]);
    let changed = updated("b", &live, config_map(r#"{"x":"2","z":"1"}"#));
    assert_eq!(owners(&changed), [r#"a Update {"f:data":{}}"#, r#"b Update {"f:data":{"f:x":{},"f:z":{}}}"#,]);
    let same = updated("c", &changed, config_map(r#"{"x":"2","z":"1"}"#));
    assert_eq!(owners(&same), owners(&changed), "a write without a change owns nothing");
}

#[test]
fn labels_status_and_identity() {
    let text =
        r#"{"metadata":{"name":"p","uid":"u","labels":{"a":"1"},"generateName":"g"},"status":{"phase":"Running"}}"#;
    let object = created("m", read_as(&types::CORE_V1_POD, text, false));
    assert_eq!(owners(&object), [r#"m Update {"f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:a":{}}}}"#]);
    let mut running = object.clone();
    running.set("status.phase", "Failed");
    let status = Writer { subresource: "status", ignored: &["spec"], ..writer("kubelet") };
    update(&status, Some(&object), &mut running);
    assert_eq!(owners(&running)[0], r#"kubelet Update {"f:status":{"f:phase":{}}}"#);
    let entry = &running.body.items_at("metadata.managedFields")[0];
    assert_eq!(entry.str_at("subresource"), "status");
}

#[test]
fn clients_can_forget_ownership() {
    let live = created("a", config_map(r#"{"x":"1"}"#));
    let text = r#"{"metadata":{"name":"c","managedFields":[{}]},"data":{"x":"1"}}"#;
    let reset = updated("b", &live, read_as(&types::CORE_V1_CONFIG_MAP, text, false));
    assert!(owners(&reset).is_empty());
}

#[test]
fn managers_are_bounded() {
    let names = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "n0", "n1"];
    let times: Vec<String> = (0..12).map(|second| format!("2026-01-01T00:00:{second:02}Z")).collect();
    let mut object = config_map("{}");
    for (index, name) in names.iter().enumerate() {
        let live = object.clone();
        object.body.struct_at("metadata");
        object.body.entry("data").set(name, "1");
        update(&Writer { now: &times[index], ..writer(name) }, Some(&live), &mut object);
    }
    let owners = owners(&object);
    assert_eq!(owners.len(), 10, "{owners:?}");
    assert_eq!(owners[0], r#"ancient-changes Update {"f:data":{".":{},"f:m0":{},"f:m1":{},"f:m2":{}}}"#);
}

#[test]
fn apply_creates_merges_and_removes() {
    let first = applied("a", None, &config_map(r#"{"x":"1","y":"1"}"#));
    assert!(first.changed);
    assert_eq!(owners(&first.object), [r#"a Apply {"f:data":{"f:x":{},"f:y":{}}}"#]);
    let again = applied("a", Some(&first.object), &config_map(r#"{"x":"1","y":"1"}"#));
    assert!(!again.changed && again.object == first.object);
    // Another manager shares x and adds z.
    let shared = applied("b", Some(&first.object), &config_map(r#"{"x":"1","z":"1"}"#));
    assert_eq!(
        owners(&shared.object),
        [r#"a Apply {"f:data":{"f:x":{},"f:y":{}}}"#, r#"b Apply {"f:data":{"f:x":{},"f:z":{}}}"#]
    );
    // The first one drops both: only what nobody else owns goes.
    let dropped = applied("a", Some(&shared.object), &config_map("{}"));
    assert_eq!(
        json::encode(&Object { body: data(&dropped.object), ..dropped.object.clone() }),
        br#"{"metadata":{},"data":{"x":"1","z":"1"}}"#
    );
}

fn data(object: &Object) -> Struct {
    let mut body = Struct::new(object.body.ty());
    if let Some(data) = object.at("data") {
        body.set("data", data.clone());
    }
    body
}

#[test]
fn conflicts_name_manager_and_field() {
    let live = applied("a", None, &config_map(r#"{"x":"1"}"#)).object;
    let error = apply(&writer("b"), false, Some(&live), &config_map(r#"{"x":"2"}"#)).unwrap_err();
    assert_eq!(error.to_string(), r#"Apply failed with 1 conflict: conflict with "a": .data.x"#);
    let forced = apply(&writer("b"), true, Some(&live), &config_map(r#"{"x":"2"}"#)).unwrap().object;
    assert_eq!(owners(&forced), [r#"b Apply {"f:data":{"f:x":{}}}"#]);

    let live = created("u", config_map(r#"{"x":"1","y":"1"}"#));
    let error = apply(&writer("b"), false, Some(&live), &config_map(r#"{"x":"2","y":"2"}"#)).unwrap_err();
    let expected =
        format!("Apply failed with 2 conflicts: conflicts with \"u\" using v1 at {NOW}:\n- .data.x\n- .data.y");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn keyed_lists_are_merged_element_by_element() {
    let live =
        applied("a", None, &pod(r#"{"containers":[{"name":"a","image":"1","args":["x"]},{"name":"b","image":"1"}]}"#))
            .object;
    let mut scaled = live.clone();
    let mut sidecar = scaled.body.struct_at("spec").new_item("containers").unwrap();
    sidecar.set("name", "s");
    scaled.body.list_at("spec.containers").insert(1, sidecar.into());
    let live = updated("injector", &live, scaled);
    let config = pod(r#"{"containers":[{"name":"b","image":"2"},{"name":"a","image":"1"}]}"#);
    let merged = applied("a", Some(&live), &config).object;
    let containers = merged.body.items_at("spec.containers");
    let names: Vec<String> = containers
        .iter()
        .map(|one| format!("{}:{}:{}", one.str_at("name"), one.str_at("image"), one.items_at("args").len()))
        .collect();
    assert_eq!(names, ["s::0", "b:2:0", "a:1:0"], "args was dropped by its only owner");
    let gone = applied("a", Some(&merged), &pod(r#"{"containers":[{"name":"a","image":"1"}]}"#)).object;
    let names: Vec<&str> = gone.body.items_at("spec.containers").iter().map(|one| one.str_at("name")).collect();
    assert_eq!(names, ["s", "a"], "the element that the applier no longer lists is gone");
}

#[test]
fn an_owned_struct_goes_with_its_last_field() {
    let live = applied("a", None, &pod(r#"{"containers":[],"securityContext":{"runAsUser":5}}"#)).object;
    let bare = applied("a", Some(&live), &pod(r#"{"containers":[]}"#)).object;
    assert!(bare.at("spec.securityContext").is_none());
}

#[test]
fn malformed_configurations_are_refused() {
    let twice = pod(r#"{"containers":[{"name":"a"},{"name":"a"}]}"#);
    let error = apply(&writer("a"), false, None, &twice).unwrap_err();
    assert_eq!(error.to_string(), r#"duplicate entries for key .spec.containers[name="a"]"#);
    let text = r#"{"metadata":{"name":"c","managedFields":[]}}"#;
    let error = apply(&writer("a"), false, None, &read_as(&types::CORE_V1_CONFIG_MAP, text, true)).unwrap_err();
    assert_eq!(error, ApplyError::ManagedFields);
}

#[test]
fn the_first_apply_records_what_was_there() {
    let mut live = config_map(r#"{"x":"1"}"#);
    live.body.drop_zeros();
    let error = apply(&writer("a"), false, Some(&live), &config_map(r#"{"x":"2"}"#)).unwrap_err();
    assert!(error.to_string().contains("\"before-first-apply\""), "{error}");
}
