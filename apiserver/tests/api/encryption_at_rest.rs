//! A secret's content is nowhere on the disk.

use std::{fs, path::Path};

use serde_json::json;

use crate::harness::{CONFIG_MAPS, Fixture, config_map};

fn on_disk(dir: &Path, needle: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return on_disk(&path, needle);
        }
        fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_leave_the_server_as_ciphertext_only() {
    let api = Fixture::start().await;
    let text = "cGxhaW50ZXh0LW9mLWEtc2VjcmV0";
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = json!({ "metadata": { "name": "s" }, "data": { "k": text } });
    api.post(secrets, &secret).await.expect(201);
    api.post(CONFIG_MAPS, &config_map("open", "visible-in-the-log")).await.expect(201);
    assert!(on_disk(api.dir.path(), b"visible-in-the-log"), "the search finds what is not encrypted");
    assert!(!on_disk(api.dir.path(), text.as_bytes()));
    assert!(!on_disk(api.dir.path(), b"plaintext-of-a-secret"));
    assert_eq!(api.get(&format!("{secrets}/s")).await.expect(200)["data"]["k"], text);
    let list = api.get(&format!("{secrets}?fieldSelector=type%3DOpaque")).await.expect(200);
    assert_eq!(list["items"][0]["data"]["k"], text);
}
