//! List and watch through a client: pages, resuming, and beginning anew after 410.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::routing::get;
use client::kube_client::over;
use client::{HttpSource, Resource, Selection, Source, SourceEvent};
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::timeout;

fn config_map(name: &str, revision: u64) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "a", "name": name, "uid": name, "resourceVersion": revision.to_string()}})
}

fn list(revision: u64, continue_token: &str, items: &[Value]) -> (StatusCode, String) {
    let metadata = json!({"resourceVersion": revision.to_string(), "continue": continue_token});
    (StatusCode::OK, json!({"kind": "ConfigMapList", "metadata": metadata, "items": items}).to_string())
}

fn events(events: &[(&str, Value)]) -> (StatusCode, String) {
    let line = |(kind, object): &(&str, Value)| format!("{}\n", json!({"type": kind, "object": object}));
    (StatusCode::OK, events.iter().map(line).collect())
}

/// The answers of a server in their order, and what it was asked.
async fn check(answers: Vec<(StatusCode, String)>, expect: &[&str], asked: &[&str]) {
    let queries = Arc::new(Mutex::new(Vec::new()));
    let seen = queries.clone();
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let router = Router::new().route(
        "/api/v1/configmaps",
        get(move |Query(query): Query<Vec<(String, String)>>| {
            let told = query.into_iter().filter(|(name, _)| name != "timeoutSeconds" && name != "allowWatchBookmarks");
            seen.lock().push(told.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "));
            let answer = answers.lock().next();
            async move {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        }),
    );
    let source = HttpSource::new(over(router.into_service(), "test"));
    let stream = source.list_and_watch(Selection::all(Resource::new("", "v1", "configmaps")));
    let text = |event| match event {
        SourceEvent::Reset(objects, revision) => format!("reset {} at {revision}", objects.len()),
        SourceEvent::Applied(object) => format!("applied {} at {}", object.header().name, object.revision()),
        SourceEvent::Deleted(object, revision) => format!("deleted {} at {revision}", object.header().name),
        SourceEvent::Bookmark(revision) => format!("bookmark {revision}"),
    };
    let told: Vec<String> =
        timeout(Duration::from_secs(20), stream.map(text).take(expect.len()).collect()).await.unwrap();
    assert_eq!(told, expect);
    assert_eq!(queries.lock()[..asked.len()], *asked);
}

#[tokio::test]
async fn a_list_comes_in_pages_and_a_watch_goes_on_from_there() {
    let answers = vec![
        list(5, "more", &[config_map("x", 1)]),
        list(5, "", &[config_map("y", 2)]),
        events(&[("ADDED", config_map("z", 6)), ("DELETED", config_map("x", 7))]),
        events(&[("BOOKMARK", config_map("", 9))]),
        events(&[("MODIFIED", config_map("y", 10))]),
    ];
    let expect = ["reset 2 at 5", "applied z at 6", "deleted x at 7", "bookmark 9", "applied y at 10"];
    let asked = [
        "limit=500",
        "limit=500 continue=more",
        "watch=true resourceVersion=5",
        "watch=true resourceVersion=7",
        "watch=true resourceVersion=9",
    ];
    check(answers, &expect, &asked).await;
}

#[tokio::test]
async fn a_compacted_revision_is_listed_anew_and_other_errors_are_not() {
    let gone = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
    let answers = vec![
        (StatusCode::SERVICE_UNAVAILABLE, String::new()),
        list(5, "", &[]),
        (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        events(&[("ADDED", config_map("z", 6)), ("ERROR", gone.clone())]),
        list(8, "", &[config_map("z", 6)]),
        (StatusCode::GONE, gone.to_string()),
        list(9, "", &[]),
    ];
    let expect = ["reset 0 at 5", "applied z at 6", "reset 1 at 8", "reset 0 at 9"];
    let asked = [
        "limit=500",
        "limit=500",
        "watch=true resourceVersion=5",
        "watch=true resourceVersion=5",
        "limit=500",
        "watch=true resourceVersion=8",
        "limit=500",
    ];
    check(answers, &expect, &asked).await;
}
