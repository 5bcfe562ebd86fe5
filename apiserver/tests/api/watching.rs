//! A watch tells every change, once and in order, from any revision that is still known.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

async fn change(api: &Fixture, name: &str, value: &str) {
    api.merge(&config_map_path(name), &json!({ "data": { "a": value } })).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_where_a_list_ended() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let list = api.get(CONFIG_MAPS).await.expect(200);
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap();
    change(&api, "x", "2").await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={revision}")).await;
    assert_eq!(events.summary().await, "MODIFIED x 2");
    change(&api, "x", "3").await;
    assert_eq!(events.summary().await, "MODIFIED x 3");
    api.delete(&config_map_path("x")).await.expect(200);
    assert_eq!(events.summary().await, "DELETED x 3");
    // What happened before the hub began comes from the store's history.
    let mut again = api.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={revision}")).await;
    for expected in ["MODIFIED x 2", "MODIFIED x 3", "DELETED x 3"] {
        assert_eq!(again.summary().await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_enter_and_leave_a_selection() {
    let api = Fixture::start().await;
    let path = format!("{CONFIG_MAPS}?watch=true&labelSelector=on%3D1&resourceVersion=0");
    let mut events = api.watch(&path).await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let label = |value: &str| json!({ "metadata": { "labels": { "on": value } }, "data": { "a": value } });
    api.merge(&config_map_path("x"), &label("1")).await.expect(200);
    assert_eq!(events.summary().await, "ADDED x 1");
    let left = api.merge(&config_map_path("x"), &label("0")).await.expect(200);
    let event = events.next().await.unwrap();
    // The object is shown as it was, at the revision at which it left.
    assert_eq!((event["type"].clone(), event["object"]["data"]["a"].clone()), ("DELETED".into(), "1".into()));
    assert_eq!(event["object"]["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_watch_that_falls_behind_again_is_told_everything_once() {
    // More than is kept at hand, each time.
    const ROUND: usize = 24;
    let api = Fixture::start().await;
    let mut events = api
        .watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion=0&fieldSelector=metadata.name!%3Dkube-root-ca.crt"))
        .await;
    let value = "v".repeat(600 * 1024);
    for round in 0..3 {
        let names: Vec<String> = (0..ROUND).map(|number| format!("c-{round}-{number:02}")).collect();
        for name in &names {
            api.post(CONFIG_MAPS, &config_map(name, &value)).await.expect(201);
        }
        for name in &names {
            let event = events.next().await.unwrap();
            assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!(name)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_nothing_concerns_is_told_how_far_it_has_come() {
    let api = Fixture::start().await;
    let path = format!(
        "{CONFIG_MAPS}?watch=true&labelSelector=on%3Dnever&resourceVersion=0&allowWatchBookmarks=true&timeoutSeconds=4"
    );
    let mut events = api.watch(&path).await;
    let made = api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let revision = |object: &serde_json::Value| -> i64 {
        object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    };
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert!(revision(&bookmark["object"]) >= revision(&made), "{bookmark}");
    assert!(events.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_list_ends_with_a_bookmark() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = api.watch(&format!("{CONFIG_MAPS}?{query}&timeoutSeconds=3")).await;
    assert_eq!(events.summary().await, "ADDED x 1");
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    // Before the end comes a last bookmark, and then the end.
    assert_eq!(events.next().await.unwrap()["type"], "BOOKMARK");
    assert_eq!(events.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_revision_is_an_error_event() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    change(&api, "x", "2").await;
    let revision = api.store.read_index().await.unwrap();
    api.store.compact(store::etcdserverpb::CompactionRequest { revision, physical: false }).await.unwrap();
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion=2")).await;
    let error = events.next().await.unwrap();
    assert_eq!((error["type"].clone(), error["object"]["code"].clone()), ("ERROR".into(), 410.into()));
    assert_eq!(events.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_name_their_columns_once() {
    let api = Fixture::start().await;
    let request = http::Request::get(format!("{CONFIG_MAPS}?watch=true&resourceVersion=0&timeoutSeconds=2"))
        .header(http::header::ACCEPT, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
        .extension(Fixture::admin())
        .body(axum::body::Body::empty())
        .unwrap();
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    api.post(CONFIG_MAPS, &config_map("y", "1")).await.expect(201);
    let body = http_body_util::BodyExt::collect(api.open(request).await.into_body()).await.unwrap().to_bytes();
    let lines: Vec<serde_json::Value> = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["object"]["columnDefinitions"][0]["name"], "Name");
    assert!(lines[1]["object"]["columnDefinitions"].is_null());
    assert_eq!(lines[1]["object"]["rows"][0]["cells"][0], "y");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_end_when_the_server_shuts_down() {
    let api = Fixture::start().await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    api.server.begin_shutdown();
    assert_eq!(events.next().await, None);
    let readiness = api.send_as(None, Method::GET, "/readyz", "", "").await;
    assert_eq!(readiness.code, 500);
    assert_eq!(api.send_as(None, Method::GET, "/livez", "", "").await.code, 200);
    tokio::time::timeout(Duration::from_secs(10), api.server.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_in_this_process_get_the_same_objects() {
    use apiserver::SourceEvent;
    use futures_util::StreamExt;
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let mut source = std::pin::pin!(api.server.local_source("", "v1", "configmaps").unwrap());
    let Some(SourceEvent::Reset(objects, _)) = source.next().await else { panic!("no reset") };
    assert!(objects.iter().any(|object| &*object.header().name == "x"));
    change(&api, "x", "2").await;
    let Some(SourceEvent::Applied(object)) = source.next().await else { panic!("no change") };
    assert_eq!(&*object.header().name, "x");
    api.delete(&config_map_path("x")).await.expect(200);
    let Some(SourceEvent::Deleted(last, gone)) = source.next().await else { panic!("no deletion") };
    assert!(gone > object.revision() && last.revision() == object.revision(), "it went after its last change");
    assert!(api.server.local_source("", "v1", "nothing").is_none());
}
