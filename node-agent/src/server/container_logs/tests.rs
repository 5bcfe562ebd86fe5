use std::io::Write;
use std::sync::Arc;

use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};

use super::*;
use crate::pod::table::PodTable;

struct Fixture {
    dir: tempfile::TempDir,
    api: Api,
}

impl Fixture {
    fn new(container: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| {
            std::future::pending::<Result<http::Response<kube::client::Body>, std::io::Error>>()
        });
        let config = crate::server::tests::config(dir.path(), kube::Client::new(service, "default"));
        let fixture = Self { dir, api: Api { config: Arc::new(config), pods: PodTable::default() } };
        fixture.set(container);
        fixture
    }

    fn set(&self, container: Value) {
        let pod: Pod =
            serde_json::from_value(json!({ "metadata": { "name": "web", "namespace": "shop", "uid": "u1" } })).unwrap();
        let status: PodStatus = serde_json::from_value(json!({ "containerStatuses": [container] })).unwrap();
        self.api.pods.set(Arc::new(pod), status);
    }

    fn append(&self, attempt: u32, text: &str) {
        let folder = self.dir.path().join("pods/shop_web_u1/a");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{attempt}.log"));
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        for line in text.lines() {
            writeln!(file, "2026-11-23T04:00:00Z stdout F {line}").unwrap();
        }
    }

    async fn get(&self, query: &str) -> (u16, String) {
        let uri: http::Uri = format!("/x?{query}").parse().unwrap();
        let options = Query::<Options>::try_from_uri(&uri).unwrap();
        let path = Path(("shop".to_owned(), "web".to_owned(), "a".to_owned()));
        let response = super::get(State(self.api.clone()), path, options).await;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }
}

fn container(restarts: i32, state: Value, last: Value) -> Value {
    json!({ "name": "a", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
        "state": state, "lastState": last })
}

#[tokio::test]
async fn options_choose_what_is_printed() {
    let fixture = Fixture::new(container(1, json!({ "running": {} }), json!({})));
    fixture.append(0, "old");
    fixture.append(1, "one\ntwo\nthree");
    for (query, expected) in [
        ("", "one\ntwo\nthree\n"),
        ("tailLines=1", "three\n"),
        ("limitBytes=5", "one\nt"),
        ("previous=true", "old\n"),
        ("tailLines=1&timestamps=true", "2026-11-23T04:00:00Z three\n"),
        ("sinceTime=2026-11-24T00:00:00Z", ""),
        ("stream=Stderr", ""),
    ] {
        assert_eq!(fixture.get(query).await, (200, expected.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn what_has_no_log_says_so() {
    let fixture = Fixture::new(container(0, json!({ "waiting": { "reason": "ImagePullBackOff" } }), json!({})));
    let (code, text) = fixture.get("").await;
    assert_eq!((code, text.as_str()), (400, "container \"a\" in pod \"web\" is waiting to start: ImagePullBackOff"));
    let (code, text) = fixture.get("previous=true").await;
    assert_eq!((code, text.as_str()), (400, "previous terminated container \"a\" in pod \"web\" not found"));
    assert_eq!(fixture.get("stream=Other").await.0, 400);
    let crashed = container(2, json!({ "waiting": {} }), json!({ "terminated": { "exitCode": 1 } }));
    fixture.set(crashed);
    assert_eq!(fixture.get("").await.0, 404, "the file is gone");
    fixture.append(2, "last words");
    assert_eq!(fixture.get("").await, (200, "last words\n".to_owned()));
}

#[tokio::test]
async fn following_ends_with_the_container() {
    let fixture = Fixture::new(container(0, json!({ "running": {} }), json!({})));
    fixture.append(0, "one");
    let options = Query::<Options>::try_from_uri(&"/x?follow=true".parse().unwrap()).unwrap();
    let path = Path(("shop".to_owned(), "web".to_owned(), "a".to_owned()));
    let mut body = super::get(State(fixture.api.clone()), path, options).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one\n");
    fixture.append(0, "two");
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two\n");
    fixture.append(0, "three");
    fixture.set(container(0, json!({ "terminated": { "exitCode": 0 } }), json!({})));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "three\n");
    assert!(body.frame().await.is_none());
}
