//! A name that the client only begins is finished by the server, and is new.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{CONFIG_MAPS, Fixture, config_map};

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_given_once() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("one", "1")).await.expect(201);
    let message = api.post(CONFIG_MAPS, &config_map("one", "1")).await.refusal(409);
    assert_eq!(message, "configmaps \"one\" already exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_names_are_new_and_never_too_long() {
    let api = Fixture::start().await;
    let (mut seen, long, longer) = (BTreeSet::new(), "x".repeat(58), "x".repeat(100));
    for (base, kept) in [("gen-", 4), ("gen-", 4), ("gen-", 4), (&*long, 58), (&*longer, 58)] {
        let made = api.post(CONFIG_MAPS, &json!({ "metadata": { "generateName": base } })).await.expect(201);
        let name = made["metadata"]["name"].as_str().unwrap().to_owned();
        assert_eq!((name.len(), &name[..kept]), (kept + 5, &base[..kept]));
        assert!(name[kept..].bytes().all(|letter| b"bcdfghjklmnpqrstvwxz2456789".contains(&letter)), "{name}");
        assert_eq!(made["metadata"]["generateName"], base);
        assert!(seen.insert(name));
    }
    let both = json!({ "metadata": { "name": "own", "generateName": "gen-" } });
    assert_eq!(api.post(CONFIG_MAPS, &both).await.expect(201)["metadata"]["name"], "own");
    let bad = api.post(CONFIG_MAPS, &json!({ "metadata": { "generateName": "Bad_" } })).await.refusal(422);
    assert!(bad.contains("metadata.generateName: Invalid value: \"Bad_\""), "{bad}");
}
