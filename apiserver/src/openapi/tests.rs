use super::*;
use crate::catalog::BY_DEFAULT;
use http::{Method, Request};

fn get(path_and_query: &str, headers: &[(&str, &str)]) -> Option<Response> {
    let mut request = Request::get(path_and_query);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    path(&BY_DEFAULT, &RequestInfo::new(&Method::GET, &parts.uri), &parts)
}

/// Every `$ref` of a document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(target) if name == "$ref" => found.push(target),
                    value => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn check_references(document: &Value, prefix: &str, definitions: &Value) {
    let mut found = Vec::new();
    references(document, &mut found);
    assert!(found.len() > 100);
    for target in found {
        let name = target.strip_prefix(prefix).unwrap();
        assert!(definitions.get(name).is_some(), "{target} leads nowhere");
    }
}

#[test]
fn every_reference_leads_to_a_definition_with_a_description() {
    let catalog = &*BY_DEFAULT;
    let v2 = v2_document(catalog);
    check_references(&v2, "#/definitions/", &v2["definitions"]);
    for (name, definition) in v2["definitions"].as_object().unwrap() {
        // Raw extensions and durations are described by nobody upstream either, and what is gone there no longer is.
        let described =
            !name.ends_with("RawExtension") && !name.ends_with("Duration") && !name.contains(".extensions.");
        if described {
            assert!(definition.get("description").is_some(), "{name} has no description");
        }
    }
    let apps = v3_document(catalog, "apps", "v1");
    check_references(&apps, "#/components/schemas/", &apps["components"]["schemas"]);
    assert!(apps["components"]["schemas"].get("io.k8s.api.core.v1.Secret").is_none(), "only what is used");
}

#[test]
fn what_kubectl_checks_before_it_sends_is_what_the_server_takes() {
    let definitions = v2_document(&BY_DEFAULT)["definitions"].clone();
    let schema = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON";
    let properties =
        &definitions["io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"]["properties"];
    assert_eq!(properties["default"]["$ref"], format!("#/definitions/{schema}"));
    assert_eq!(properties["enum"]["items"]["$ref"], format!("#/definitions/{schema}"));
    assert_eq!(definitions[schema].get("type"), None, "a default is any JSON");
    let required = |name: &str| definitions[name].get("required").cloned();
    assert_eq!(required("io.k8s.api.core.v1.ConfigMap"), None, "metadata is never asked for");
    assert_eq!(required("io.k8s.api.batch.v1.CronJobSpec"), Some(serde_json::json!(["jobTemplate", "schedule"])));
}

#[test]
fn what_kubectl_looks_for_is_where_it_looks() {
    let core = v3_document(&BY_DEFAULT, "", "v1");
    let patch = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"], json!({ "group": "", "kind": "Pod", "version": "v1" }));
    let names: Vec<&Value> = patch["parameters"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert!(names.contains(&&json!("fieldValidation")));
    let schemas = &core["components"]["schemas"];
    let pod = &schemas["io.k8s.api.core.v1.Pod"];
    assert_eq!(pod["x-kubernetes-group-version-kind"][0]["kind"], "Pod");
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert_eq!(pod["properties"]["spec"]["allOf"][0]["$ref"], "#/components/schemas/io.k8s.api.core.v1.PodSpec");
    let property = |ty: &str, field: &str| &schemas[format!("io.k8s.api.core.v1.{ty}")]["properties"][field];
    assert_eq!(property("PodSpec", "restartPolicy")["enum"], json!(["Always", "Never", "OnFailure"]));
    let modes = &property("PersistentVolumeClaimSpec", "accessModes")["items"]["enum"];
    assert_eq!(*modes, json!(["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]));
    assert_eq!(property("PodSpec", "nodeName").get("enum"), None);
}

#[test]
fn a_hash_makes_a_document_immutable_and_a_wrong_one_leads_to_the_right_one() {
    let index: Value = serde_json::from_slice(&v3_index(&BY_DEFAULT).body).unwrap();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let right = get(url, &[]).unwrap();
    assert_eq!(right.headers()[header::CACHE_CONTROL], "public, immutable");
    let tag = right.headers()[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!(get(url, &[("if-none-match", &tag)]).unwrap().status(), StatusCode::NOT_MODIFIED);
    let wrong = get("/openapi/v3/apis/apps/v1?hash=0&timeout=32s", &[]).unwrap();
    assert_eq!(wrong.status(), StatusCode::MOVED_PERMANENTLY);
    assert_eq!(wrong.headers()[header::LOCATION].to_str().unwrap(), url);
    assert!(get("/openapi/v3/apis/none/v1", &[]).is_none() && get("/openapi", &[]).is_none());
}

#[test]
fn version_two_comes_as_protobuf_to_those_who_ask() {
    let accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let response = get("/openapi/v2", &[("accept", accept)]).unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], V2_PROTOBUF);
    let body = &v2_documents(&BY_DEFAULT).protobuf.body;
    // swagger = 1, a text of three letters.
    assert_eq!(&body[..5], b"\x0a\x032.0");
    let json = get("/openapi/v2", &[("accept", "application/json")]).unwrap();
    assert_eq!(json.headers()[header::CONTENT_TYPE], "application/json");
}
