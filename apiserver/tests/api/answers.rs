//! Every answer has the headers and the form that clients know.

use std::io::Read;

use http::{Request, header};
use serde_json::json;

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_an_audit_id_and_are_not_for_caches() {
    let api = Fixture::start().await;
    for path in [CONFIG_MAPS, "/version", "/nowhere", &config_map_path("none")] {
        let answer = api.get(path).await;
        assert_eq!(answer.header("cache-control"), "no-cache, private", "{path}");
        assert_eq!(answer.header("audit-id").len(), 36, "{path}");
    }
    let own = api.get_with(CONFIG_MAPS, &[("Audit-ID", "mine")]).await;
    assert_eq!(own.header("audit-id"), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_indented_text_and_programs_do_not() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let (there, nowhere) = (config_map_path("x"), config_map_path("none"));
    for (agent, query, indented) in [
        ("curl/8.5.0", "", true),
        ("Wget/1.21", "", true),
        ("Mozilla/5.0 (X11)", "", true),
        ("kubectl/v1.33.1", "", false),
        ("curl/8.5.0", "?pretty=false", false),
        ("kubectl/v1.33.1", "?pretty=true", true),
        ("kubectl/v1.33.1", "?pretty", true),
    ] {
        for path in [&there, &nowhere] {
            let answer = api.get_with(&format!("{path}{query}"), &[("User-Agent", agent)]).await;
            assert_eq!(answer.text().starts_with("{\n  \"kind\": "), indented, "{agent} {path}{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_comes_in_the_form_that_was_asked_for() {
    let api = Fixture::start().await;
    let path = config_map_path("none");
    let protobuf = "application/vnd.kubernetes.protobuf";
    for (accept, content_type) in [
        ("application/json", "application/json"),
        ("application/vnd.kubernetes.protobuf,application/json", protobuf),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "application/json"),
        ("text/html", "application/json"),
    ] {
        let answer = api.get_with(&path, &[("Accept", accept)]).await;
        assert_eq!(answer.header("content-type"), content_type, "{accept}");
        let status = if content_type == protobuf {
            assert_eq!(answer.code, 404);
            let status = api::protobuf::decode(&answer.body).unwrap();
            serde_json::from_slice(&api::json::encode(&status)).unwrap()
        } else {
            answer.json()
        };
        assert_eq!(status["kind"], "Status", "{accept}");
        assert_eq!(status["code"], answer.code.as_u16(), "{accept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_yaml_gets_yaml() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "line\nmore: 1\n")).await.expect(201);
    for (path, code, kind) in [
        (config_map_path("x"), 200, "kind: ConfigMap\n"),
        (CONFIG_MAPS.to_owned(), 200, "kind: ConfigMapList\n"),
        (config_map_path("none"), 404, "kind: Status\n"),
    ] {
        let answer = api.get_with(&path, &[("Accept", "application/yaml")]).await;
        assert_eq!((answer.code.as_u16(), answer.header("content-type")), (code, "application/yaml"), "{path}");
        assert!(answer.text().contains(kind) && !answer.text().starts_with('{'), "{}", answer.text());
        // Other writes make revisions while this test runs.
        let timeless = |mut object: serde_json::Value| {
            object["metadata"]["resourceVersion"].take();
            object
        };
        let json = timeless(api.get(&path).await.json());
        let read = api::yaml::to_json(&answer.text()).unwrap();
        assert_eq!(timeless(serde_json::from_slice(&read).unwrap()), json, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_compressed_for_who_takes_it() {
    let api = Fixture::start().await;
    let large = json!({ "metadata": { "name": "large" }, "data": { "a": "x".repeat(200 * 1024) } });
    api.post(CONFIG_MAPS, &large).await.expect(201);
    api.post(CONFIG_MAPS, &config_map("small", "1")).await.expect(201);
    for (path, accepts, expected) in [
        (config_map_path("large"), "gzip", "gzip"),
        (config_map_path("large"), "deflate, gzip;q=1.0", "gzip"),
        (config_map_path("large"), "identity", ""),
        (config_map_path("small"), "gzip", ""),
        (CONFIG_MAPS.to_owned(), "gzip", "gzip"),
    ] {
        let answer = api.get_with(&path, &[("Accept-Encoding", accepts)]).await;
        assert_eq!(answer.header("content-encoding"), expected, "{path} {accepts}");
        if expected == "gzip" {
            assert_eq!(answer.header("vary"), "Accept-Encoding");
            let mut text = String::new();
            flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap();
            assert!(text.starts_with("{\"kind\":\"ConfigMap") && text.len() > 200 * 1024, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_says_how_long_a_request_may_take() {
    let api = Fixture::start().await;
    // This revision will not come; without a time of its own the request waits three seconds for it.
    let waiting = format!("{CONFIG_MAPS}?resourceVersion=999999999&timeout=100ms");
    let message = api.get(&waiting).await.refusal(504);
    assert_eq!(message, "Timeout: request did not complete within the allotted timeout");
    let message = api.get(&format!("{CONFIG_MAPS}?timeout=soon")).await.refusal(400);
    assert_eq!(message, "invalid timeout specified in the request URL - time: invalid duration \"soon\"");
    api.get(&format!("{CONFIG_MAPS}?timeout=32s")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_that_stand_there_twice_are_kept_once() {
    let api = Fixture::start().await;
    let owner = |uid: &str| json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": uid });
    let mut object = config_map("owned", "1");
    object["metadata"]["ownerReferences"] = json!([owner("b"), owner("a"), owner("b"), owner("a"), owner("c")]);
    let answer = api.post(CONFIG_MAPS, &object).await;
    let warning = answer.warnings.join("\n");
    assert!(
        warning.starts_with("299 - \".metadata.ownerReferences contains duplicate entries; API server"),
        "{warning}"
    );
    assert!(warning.ends_with("duplicate UID(s) observed: [a b]\""), "{warning}");
    assert_eq!(answer.expect(201)["metadata"]["ownerReferences"], json!([owner("b"), owner("a"), owner("c")]));
    assert!(api.merge(&config_map_path("owned"), &json!({ "data": { "a": "2" } })).await.warnings.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_of_the_size_that_was_asked_for() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    for (include, kind) in
        [("", "PartialObjectMetadata"), ("Metadata", "PartialObjectMetadata"), ("Object", "ConfigMap"), ("None", "")]
    {
        for path in [CONFIG_MAPS.to_owned(), config_map_path("x")] {
            let answer = api.get_with(&format!("{path}?includeObject={include}"), &[("Accept", table)]).await;
            let json = answer.expect(200);
            assert_eq!(json["kind"], "Table");
            assert_eq!(json["rows"][0]["object"]["kind"].as_str().unwrap_or_default(), kind, "{include} {path}");
        }
    }
    let answer = api.get_with(&format!("{CONFIG_MAPS}?includeObject=All"), &[("Accept", table)]).await;
    assert_eq!(
        answer.refusal(400),
        "Unable to convert to Table as requested: includeObject: Invalid value: \"All\": must be 'Metadata', 'Object', 'None', or empty"
    );
    api.get(&format!("{CONFIG_MAPS}?includeObject=All")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_can_be_given_is_refused_with_a_list_of_what_can() {
    let api = Fixture::start().await;
    let request = Request::get(CONFIG_MAPS).header(header::ACCEPT, "text/html").extension(Fixture::admin());
    let answer = api.call(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(
        answer.refusal(406),
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    );
}
