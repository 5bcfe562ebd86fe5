use proptest::prelude::*;

use super::*;
use crate::json::Options;
use crate::schema::types;

const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"default","creationTimestamp":"2026-01-02T03:04:05Z",
    "labels":{"app":"web","x":""},"managedFields":[{"manager":"m","fieldsV1":{"f:spec":{}}}]},
    "spec":{"volumes":[{"name":"v","configMap":{"name":"c","items":[{"key":"a","path":"b"}]}}],
    "containers":[{"name":"c","image":"nginx","ports":[{"containerPort":80,"protocol":"TCP"}],
    "resources":{"limits":{"cpu":"100m","memory":"1Gi"}},"livenessProbe":{"httpGet":{"port":"http","path":"/"}}}],
    "priority":-5,"securityContext":{"supplementalGroups":[1,2]}},"status":{"phase":"Running"}}"#;

fn pod() -> Object {
    json::decode(&types::CORE_V1_POD, POD.as_bytes(), Options::CHECKED).unwrap().object
}

#[test]
fn objects_survive_the_round_trip() {
    let bytes = encode(&pod());
    assert!(bytes.starts_with(MAGIC));
    assert_eq!(&*peek_type_meta(&bytes).unwrap().kind, "Pod");
    assert_eq!(decode(&bytes).unwrap(), pod());
}

#[test]
fn lists_are_written_from_encoded_elements() {
    let message = encode_message(&pod().body);
    let mut metadata = crate::Struct::new(&types::META_V1_LIST_META);
    metadata.set("resourceVersion", "7");
    let bytes = encode_list("v1", "PodList", &metadata, [&message[..], &message[..]]);
    let list = decode(&bytes).unwrap();
    assert_eq!(list.str_at("metadata.resourceVersion"), "7");
    assert_eq!(list.body.items_at("items").len(), 2);
    assert_eq!(list.body.items_at("items")[1].as_struct(), Some(&pod().body));
}

#[test]
fn watch_frames_carry_their_length() {
    let frame = watch_frame("ADDED", &encode(&pod()));
    let length = u32::from_be_bytes(frame[..4].try_into().unwrap());
    assert_eq!(length as usize, frame.len() - 4);
    let mut reader = wire::Reader::new(&frame[4..]);
    let Some((1, Value::Bytes(event))) = reader.next().unwrap() else { panic!("type first") };
    assert_eq!(event, b"ADDED");
}

#[test]
fn broken_bodies_are_refused() {
    assert_eq!(decode(b"{}"), Err(Error::Magic));
    assert_eq!(decode(b"k8s\0\x0a\x7f"), Err(Error::Truncated));
    let unknown = wrap("v1", "Nothing", b"");
    assert!(matches!(decode(&unknown), Err(Error::UnknownKind { .. })));
    let wrong = wrap("v1", "Pod", &[0x08, 0x01]);
    assert_eq!(decode(&wrong).unwrap_err().to_string(), "proto: wrong wireType = 0 for field metadata");
}

#[test]
fn free_form_json_must_be_json() {
    let mut message = vec![];
    wire::write_nested(&mut message, 2, |out| wire::write_bytes(out, 1, b"{\"a\":"));
    let error = decode(&wrap("apps/v1", "ControllerRevision", &message)).unwrap_err();
    assert_eq!(error.to_string(), "proto: field data: unexpected end of JSON input");
}

proptest! {
    #[test]
    fn hostile_input_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let wrapped = wrap("v1", "Pod", &noise);
        if let Ok(object) = decode(&wrapped) {
            json::encode(&object);
        }
        prop_assert!(decode(&noise).is_err() || noise.starts_with(MAGIC));
    }

    #[test]
    fn damaged_objects_never_panic(at in 0_usize..400, byte in any::<u8>(), cut in 0_usize..600) {
        let mut bytes = encode(&pod());
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(cut.max(8));
        if let Ok(object) = decode(&bytes) {
            // What could be read can be written and read again.
            prop_assert_eq!(decode(&encode(&object)).unwrap(), object);
        }
    }
}
