//! A list in pages is a list of one moment.

use serde_json::Value;

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

async fn five(api: &Fixture) {
    for name in ["a", "b", "c", "d", "e"] {
        api.post(CONFIG_MAPS, &config_map(name, name)).await.expect(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_the_moment_of_the_first_one() {
    let api = Fixture::start().await;
    five(&api).await;
    let first = api.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["a".into(), "b".into()], &3.into()));
    assert_eq!((first["items"][0]["kind"].clone(), first["kind"].clone()), (Value::Null, "ConfigMapList".into()));
    api.delete(&config_map_path("c")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let last = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!((names(&last), last["metadata"]["continue"].clone()), (vec!["e".into()], Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_page_says_how_to_go_on() {
    let api = Fixture::start().await;
    five(&api).await;
    let first = api.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    api.delete(&config_map_path("c")).await.expect(200);
    let revision = api.store.read_index().await.unwrap();
    api.store.compact(store::etcdserverpb::CompactionRequest { revision, physical: false }).await.unwrap();
    let gone = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(410);
    assert_eq!(gone["reason"], "Expired");
    let token = gone["metadata"]["continue"].as_str().unwrap();
    let rest = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&rest), ["d", "e"]);
    let old = api.get(&format!("{CONFIG_MAPS}?resourceVersion=2&resourceVersionMatch=Exact")).await;
    assert_eq!(old.expect(410)["reason"], "Expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_leave_out_and_revisions_are_exact() {
    let api = Fixture::start().await;
    five(&api).await;
    let list = api.get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Db")).await.expect(200);
    assert_eq!(names(&list), ["b"]);
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    api.merge(&config_map_path("b"), &serde_json::json!({ "metadata": { "labels": { "x": "1" } } })).await.expect(200);
    let list = api.get(&format!("{CONFIG_MAPS}?labelSelector=x%3D1")).await.expect(200);
    assert_eq!(names(&list), ["b"]);
    let exact = format!("{CONFIG_MAPS}?labelSelector=x&resourceVersion={revision}&resourceVersionMatch=Exact");
    assert!(names(&api.get(&exact).await.expect(200)).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_told_only_where_they_are_known() {
    let api = Fixture::start().await;
    five(&api).await;
    for name in ["a", "b", "c", "d", "e"] {
        let labels = serde_json::json!({ "metadata": { "labels": { "x": "1" } } });
        api.merge(&config_map_path(name), &labels).await.expect(200);
    }
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    for accept in ["application/json", accept, partial] {
        let whole = api.get_with(&format!("{CONFIG_MAPS}?limit=2"), &[("Accept", accept)]).await.expect(200);
        assert_eq!(whole["metadata"]["remainingItemCount"], 3, "{accept}");
        let path = format!("{CONFIG_MAPS}?limit=2&labelSelector=x%3D1");
        let selected = api.get_with(&path, &[("Accept", accept)]).await.expect(200);
        assert!(selected["metadata"]["continue"].is_string(), "{accept}");
        assert!(selected["metadata"]["remainingItemCount"].is_null(), "{accept}");
    }
    let last = api.get(&format!("{CONFIG_MAPS}?limit=5")).await.expect(200);
    assert!(last["metadata"]["continue"].is_null() && last["metadata"]["remainingItemCount"].is_null());
    let first = api.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let message = api.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}&resourceVersion=5")).await.refusal(400);
    assert_eq!(message, "specifying resource version is not allowed when using continue");
    assert!(api.get(&format!("{CONFIG_MAPS}?continue=%25")).await.refusal(400).starts_with("invalid continue token: "));
}
