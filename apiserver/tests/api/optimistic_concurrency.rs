//! Nobody overwrites what they have not seen.

use serde_json::json;

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_with_an_old_revision_conflicts() {
    let api = Fixture::start().await;
    let first = api.post(CONFIG_MAPS, &config_map("g1", "1")).await.expect(201);
    let mut second = first.clone();
    second["data"]["a"] = "2".into();
    let second = api.put(&config_map_path("g1"), &second).await.expect(200);
    assert_ne!(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    let message = api.put(&config_map_path("g1"), &first).await.refusal(409);
    assert_eq!(
        message,
        "Operation cannot be fulfilled on configmaps \"g1\": the object has been modified; please apply your changes to the latest version and try again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_changes_nothing_keeps_the_revision() {
    let api = Fixture::start().await;
    let made = api.post(CONFIG_MAPS, &config_map("same", "1")).await.expect(201);
    for again in [
        api.put(&config_map_path("same"), &made).await,
        api.put(&config_map_path("same"), &config_map("same", "1")).await,
        api.merge(&config_map_path("same"), &json!({ "data": { "a": "1" } })).await,
    ] {
        assert_eq!(again.expect(200), made);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_patches_without_a_revision_all_take_place() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("many", "1")).await.expect(201);
    let path = config_map_path("many");
    let patches: Vec<_> = (0..5).map(|at| json!({ "data": { (format!("k{at}")): "v" } })).collect();
    let answers = futures_util::future::join_all(patches.iter().map(|patch| api.merge(&path, patch))).await;
    answers.iter().for_each(|answer| drop(answer.expect(200)));
    assert_eq!(api.get(&path).await.expect(200)["data"].as_object().unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposed_leaders_write_is_refused() {
    let api = Fixture::start().await;
    let term = api.store.leadership().borrow().term;
    let refused = api.post_fenced(term - 1, CONFIG_MAPS, &config_map("late", "1")).await;
    assert_eq!(refused.expect(409)["reason"], "Conflict");
    assert_eq!(api.get(&config_map_path("late")).await.code, 404);
    api.post_fenced(term, CONFIG_MAPS, &config_map("now", "1")).await.expect(201);
}
