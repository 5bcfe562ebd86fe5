//! Protobuf in and out, as typed clients speak it.

use axum::body::Body;
use http::{Request, header};
use http_body_util::BodyExt;

use crate::harness::{CONFIG_MAPS, Fixture, config_map};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

async fn get(api: &Fixture, path: &str) -> Vec<u8> {
    let request = Request::get(path).header(header::ACCEPT, PROTOBUF).extension(Fixture::admin());
    let response = api.open(request.body(Body::empty()).unwrap()).await;
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_lists_and_watches_speak_protobuf() {
    let api = Fixture::start().await;
    let mut object = api::Object::of("v1", "ConfigMap").unwrap();
    object.set("metadata.name", "typed");
    object.body.entry("data").set("a", "1");
    let request = Request::post(CONFIG_MAPS)
        .header(header::CONTENT_TYPE, PROTOBUF)
        .header(header::ACCEPT, PROTOBUF)
        .extension(Fixture::admin())
        .body(Body::from(api::protobuf::encode(&object)))
        .unwrap();
    let response = api.open(request).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()[header::CONTENT_TYPE]),
        (201, &PROTOBUF.parse().unwrap())
    );
    let made = response.into_body().collect().await.unwrap().to_bytes();
    let made = api::protobuf::decode(&made).unwrap();
    assert!(!made.uid().is_empty() && made.at("data.a").is_some());

    let got = api::protobuf::decode(&get(&api, &format!("{CONFIG_MAPS}/typed")).await).unwrap();
    assert_eq!(got, made);
    let list = api::protobuf::decode(&get(&api, CONFIG_MAPS).await).unwrap();
    assert_eq!((&*list.kind, list.body.items_at("items").len()), ("ConfigMapList", 1));

    api.post(CONFIG_MAPS, &config_map("second", "2")).await.expect(201);
    let frames = get(&api, &format!("{CONFIG_MAPS}?watch=true&resourceVersion=0&timeoutSeconds=1")).await;
    let (mut rest, mut count) = (frames.as_slice(), 0);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (frame, next) = after.split_at(u32::from_be_bytes(*length) as usize);
        assert!(frame.windows(4).any(|window| window == b"k8s\0"));
        (rest, count) = (next, count + 1);
    }
    assert_eq!(count, 2);
}
