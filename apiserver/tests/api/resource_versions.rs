//! How new an answer has to be, and how exactly: the table of Kubernetes' documentation.

use serde_json::{Value, json};

use crate::harness::{CONFIG_MAPS, Fixture, config_map, config_map_path};

/// What a list of the one object shows of it.
fn seen(list: &Value) -> String {
    list["items"][0]["data"]["a"].as_str().unwrap_or("nothing").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_as_new_as_it_was_asked_to_be() {
    let api = Fixture::start().await;
    let old = api.post(CONFIG_MAPS, &config_map("x", "old")).await.expect(201);
    let old = old["metadata"]["resourceVersion"].as_str().unwrap();
    api.merge(&config_map_path("x"), &json!({ "data": { "a": "new" } })).await.expect(200);
    for (query, expected) in [
        ("".to_owned(), "new"),
        ("limit=5".to_owned(), "new"),
        ("resourceVersion=0".to_owned(), "new"),
        ("resourceVersion=0&limit=5".to_owned(), "new"),
        ("resourceVersion=0&resourceVersionMatch=NotOlderThan".to_owned(), "new"),
        (format!("resourceVersion={old}"), "new"),
        (format!("resourceVersion={old}&resourceVersionMatch=NotOlderThan"), "new"),
        (format!("resourceVersion={old}&resourceVersionMatch=NotOlderThan&limit=5"), "new"),
        (format!("resourceVersion={old}&limit=5"), "old"),
        (format!("resourceVersion={old}&resourceVersionMatch=Exact"), "old"),
        (format!("resourceVersion={old}&resourceVersionMatch=Exact&limit=5"), "old"),
    ] {
        let list = api.get(&format!("{CONFIG_MAPS}?{query}")).await.expect(200);
        assert_eq!(seen(&list), expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused() {
    let api = Fixture::start().await;
    let matched = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden";
    let initial =
        "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
    for (query, complaint) in [
        ("resourceVersionMatch=Exact", format!("{matched} unless resourceVersion is provided")),
        ("resourceVersionMatch=NotOlderThan", format!("{matched} unless resourceVersion is provided")),
        ("resourceVersion=5&resourceVersionMatch=Exact&continue=x", format!("{matched} when continue is provided")),
        ("resourceVersion=0&resourceVersionMatch=Exact", {
            "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""
                .into()
        }),
        ("resourceVersion=5&resourceVersionMatch=Odd", {
            "resourceVersionMatch: Unsupported value: \"Odd\": supported values: \"Exact\", \"NotOlderThan\", \"\""
                .into()
        }),
        ("sendInitialEvents=true", "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list".into()),
        ("watch=true&sendInitialEvents=true", initial.into()),
        ("watch=true&sendInitialEvents=true&resourceVersion=5&resourceVersionMatch=Exact", initial.into()),
        ("watch=true&resourceVersion=5&resourceVersionMatch=NotOlderThan", {
            format!("{matched} for watch unless sendInitialEvents is provided")
        }),
    ] {
        let message = api.get(&format!("{CONFIG_MAPS}?{query}")).await.refusal(422);
        assert_eq!(message, format!("ListOptions.meta.k8s.io \"\" is invalid: {complaint}"), "{query}");
    }
    for query in ["resourceVersion=abc", "limit=x", "continue=x", "watch=1&resourceVersion=abc"] {
        assert_eq!(api.get(&format!("{CONFIG_MAPS}?{query}")).await.code, 400, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_come_is_waited_for_and_then_given_up() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("x", "1")).await.expect(201);
    let streamed = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=999999999";
    let paths = [
        format!("{CONFIG_MAPS}?resourceVersion=999999999"),
        format!("{CONFIG_MAPS}?resourceVersion=999999999&resourceVersionMatch=NotOlderThan"),
        format!("{CONFIG_MAPS}?resourceVersion=999999999&resourceVersionMatch=Exact"),
        format!("{}?resourceVersion=999999999", config_map_path("x")),
        format!("{CONFIG_MAPS}?{streamed}"),
    ];
    let answers = futures_util::future::join_all(paths.iter().map(|path| api.get(path))).await;
    for (answer, path) in answers.iter().zip(&paths) {
        let status = answer.expect(504);
        let message = status["message"].as_str().unwrap();
        assert!(message.starts_with("Timeout: Too large resource version: 999999999, current: "), "{path}: {message}");
        assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge", "{path}");
        assert_eq!((&status["details"]["retryAfterSeconds"], answer.header("retry-after")), (&1.into(), "1"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_anywhere_makes_the_next_revision() {
    let api = Fixture::start().await;
    let mut last = 0;
    for at in 0..3 {
        for (path, body) in [
            (CONFIG_MAPS, config_map(&format!("c{at}"), "1")),
            ("/api/v1/namespaces", json!({ "metadata": { "name": format!("n{at}") } })),
            ("/api/v1/namespaces/default/secrets", json!({ "metadata": { "name": format!("s{at}") } })),
        ] {
            let made = api.post(path, &body).await.expect(201);
            let revision: u64 = made["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
            assert!(revision > last, "{revision} after {last}");
            last = revision;
        }
    }
}
