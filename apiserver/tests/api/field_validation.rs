//! What the schema does not know is dropped, told or refused, as the client likes.

use http::Method;
use serde_json::json;

use crate::harness::{Answer, CONFIG_MAPS, Fixture, config_map, config_map_path};

const ODD: &str = r#"{"metadata":{"name":"NAME","foo":1},"data":{"a":"1","a":"2"},"bar":1}"#;
const PROBLEMS: [&str; 3] =
    [r#"unknown field "metadata.foo""#, r#"duplicate field "data.a""#, r#"unknown field "bar""#];

fn warnings(answer: &Answer) -> Vec<String> {
    let texts = answer.warnings.iter().map(|line| line.replace("\\\"", "\""));
    texts.map(|line| line.trim_start_matches("299 - \"").trim_end_matches('"').to_owned() + "\"").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_read_as_the_client_likes() {
    let api = Fixture::start().await;
    for (at, (validation, told)) in
        [("", true), ("fieldValidation=", true), ("fieldValidation=Warn", true), ("fieldValidation=Ignore", false)]
            .into_iter()
            .enumerate()
    {
        let body = ODD.replace("NAME", &format!("n{at}"));
        let answer = api.send(Method::POST, &format!("{CONFIG_MAPS}?{validation}"), "application/json", body).await;
        assert_eq!(answer.expect(201)["data"], json!({ "a": "2" }), "the last one counts");
        let expected: &[&str] = if told { &PROBLEMS } else { &[] };
        assert_eq!(warnings(&answer), expected, "{validation}");
    }
    let strict = format!("{CONFIG_MAPS}?fieldValidation=Strict");
    let message = api.send(Method::POST, &strict, "application/json", ODD).await.refusal(400);
    let expected = PROBLEMS.join(", ");
    assert_eq!(
        message,
        format!("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: {expected}")
    );
    let message = api.send(Method::POST, &format!("{CONFIG_MAPS}?fieldValidation=Odd"), "application/json", ODD).await;
    assert_eq!(
        message.refusal(422),
        "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Odd\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_are_read_as_the_client_likes() {
    let api = Fixture::start().await;
    api.post(CONFIG_MAPS, &config_map("p", "1")).await.expect(201);
    let path = config_map_path("p");
    let (merge, strategic) = ("application/merge-patch+json", "application/strategic-merge-patch+json");
    for kind in [merge, strategic] {
        let body = r#"{"data":{"b":"1","b":"2"},"bar":1}"#;
        let answer = api.send(Method::PATCH, &path, kind, body).await;
        answer.expect(200);
        assert_eq!(warnings(&answer), [r#"duplicate field "data.b""#, r#"unknown field "bar""#], "{kind}");
        let strict = format!("{path}?fieldValidation=Strict");
        let message = api.send(Method::PATCH, &strict, kind, body).await.refusal(422);
        assert!(message.starts_with(" \"\" is invalid: patch: Invalid value: "), "{kind}: {message}");
        assert!(
            message.ends_with(r#"strict decoding error: duplicate field "data.b", unknown field "bar""#),
            "{message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_own_a_field_that_there_is_not() {
    let api = Fixture::start().await;
    let apply = async |query: &str, body: &str| {
        let path = format!("{}?fieldManager=m{query}", config_map_path("x"));
        api.send(Method::PATCH, &path, "application/apply-patch+yaml", body).await
    };
    let message = apply("", "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, bar: 1}").await.refusal(500);
    assert_eq!(
        message,
        "failed to create typed patch object (default/x; /v1, Kind=ConfigMap): .bar: field not declared in schema"
    );
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1","a":"2"}}"#;
    assert!(apply("&fieldValidation=Strict", body).await.refusal(400).starts_with("error strict decoding YAML: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_warnings_are_cut() {
    let api = Fixture::start().await;
    let odd: serde_json::Map<String, serde_json::Value> =
        (0..200).map(|at| (format!("field{at:03}{}", "x".repeat(300)), 1.into())).collect();
    let mut body = config_map("x", "1");
    body.as_object_mut().unwrap().extend(odd);
    let answer = api.post(CONFIG_MAPS, &body).await;
    answer.expect(201);
    assert_eq!(answer.warnings.len(), 16);
}
