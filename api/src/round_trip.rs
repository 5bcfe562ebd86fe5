//! Properties that hold for every object of the tables: what is written can be read, and means the same.

use proptest::prelude::*;

use crate::json::{self, Options};
use crate::managed_fields::{FieldSet, Writer, apply, update};
use crate::schema::{FieldKind, Type, types};
use crate::stored::{self, StoredObject};
use crate::{Map, Node, Object, Struct, patch, protobuf};

/// A supply of choices; runs dry into zeros, so that every supply makes an object.
struct Entropy<'a>(std::slice::Iter<'a, u8>);

impl Entropy<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn text(&mut self) -> String {
        const CHARS: [char; 16] =
            ['a', 'b', '-', '.', '/', '"', '\\', '<', '&', '\n', '\u{1}', 'ü', '\u{2028}', '😀', ' ', '~'];
        let length = self.byte() % 6;
        let rest: String = (0..length).map(|_| CHARS[usize::from(self.byte() % 16)]).collect();
        format!("x{rest}")
    }
}

fn structure(ty: Type, entropy: &mut Entropy<'_>, depth: usize) -> Struct {
    let mut value = Struct::new(ty);
    for field in ty.fields {
        // Metadata and what it holds is always wanted, everything else one time in three.
        if depth > 0 && entropy.byte() % 3 != 1 || depth > 8 {
            continue;
        }
        if let Some(node) = node(&field.kind, entropy, depth) {
            value.set(field.name, node);
        }
    }
    value
}

fn node(kind: &FieldKind, entropy: &mut Entropy<'_>, depth: usize) -> Option<Node> {
    Some(match kind {
        FieldKind::String => entropy.text().into(),
        FieldKind::Bool => (entropy.byte() > 127).into(),
        FieldKind::Int32 | FieldKind::IntOrString => Node::Int(i64::from(entropy.byte()) - 100),
        FieldKind::Int64 => Node::Int((i64::from(entropy.byte()) - 100) << 40),
        FieldKind::Float => Node::Float(f64::from(entropy.byte()) / 7.0),
        FieldKind::Bytes => "aGk=".into(),
        FieldKind::Time => format!("2026-01-02T03:04:{:02}Z", entropy.byte() % 60).into(),
        FieldKind::MicroTime => format!("2026-01-02T03:04:05.{:06}Z", entropy.byte()).into(),
        FieldKind::Duration => "1m30s".into(),
        FieldKind::Quantity => format!("{}m", entropy.byte()).into(),
        FieldKind::Raw | FieldKind::FieldsV1 => {
            Node::Raw(format!(r#"{{"f:a":{{"f:b{}":{{}}}}}}"#, entropy.byte()).into())
        }
        FieldKind::OrBool(_) if entropy.byte() > 127 => true.into(),
        FieldKind::Open(_) => return None,
        FieldKind::Struct(ty) | FieldKind::OrBool(ty) | FieldKind::OrList(ty) => {
            structure(ty, entropy, depth + 1).into()
        }
        FieldKind::List(kind) => {
            let items: Vec<Node> = (0..=entropy.byte() % 3).filter_map(|_| node(kind, entropy, depth + 1)).collect();
            Node::List(items)
        }
        FieldKind::Map(kind) => {
            let entries =
                (0..=entropy.byte() % 3).filter_map(|_| Some((entropy.text(), node(kind, entropy, depth + 1)?)));
            Map::from_iter(entries.collect::<Vec<_>>()).into()
        }
    })
}

fn object(bytes: &[u8]) -> Object {
    let kinds: [(&str, &str); 15] = [
        ("v1", "Pod"),
        ("apps/v1", "Deployment"),
        ("v1", "Service"),
        ("v1", "Node"),
        ("discovery.k8s.io/v1", "EndpointSlice"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        ("apps/v1", "StatefulSet"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("batch/v1", "Job"),
        ("policy/v1", "PodDisruptionBudget"),
        ("v1", "PersistentVolume"),
        ("networking.k8s.io/v1", "Ingress"),
        ("certificates.k8s.io/v1", "CertificateSigningRequest"),
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
        ("resource.k8s.io/v1", "ResourceSlice"),
    ];
    let mut entropy = Entropy(bytes.iter());
    let (api_version, kind) = kinds[usize::from(entropy.byte()) % kinds.len()];
    let mut object = Object::of(api_version, kind).unwrap();
    object.body = structure(object.body.ty(), &mut entropy, 0);
    object.body.remove("metadata.managedFields");
    object.body.drop_zeros();
    object
}

fn supply() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..900)
}

proptest! {
    #[test]
    fn json_reads_what_it_wrote(bytes in supply()) {
        let object = object(&bytes);
        let text = json::encode(&object);
        let read = json::decode(object.body.ty(), &text, Options::CHECKED).unwrap();
        prop_assert_eq!(&read.problems, &[]);
        prop_assert_eq!(&json::encode(&read.object), &text);
        prop_assert_eq!(read.object, object);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&json::pretty(&text)).is_ok());
    }

    #[test]
    fn protobuf_reads_what_it_wrote(bytes in supply()) {
        let object = object(&bytes);
        prop_assert_eq!(protobuf::decode(&protobuf::encode(&object)).unwrap(), object);
    }

    #[test]
    fn storing_changes_nothing_but_the_revision(bytes in supply()) {
        let mut object = object(&bytes);
        let stored = StoredObject::parse(&stored::value(&mut object), 9, &["spec.nodeName"]).unwrap();
        prop_assert_eq!(&*stored.header().name, object.name());
        prop_assert_eq!(stored.header().labels.len(), object.labels().map_or(0, Map::len));
        let text = stored.json_with_revision();
        let read = json::decode(object.body.ty(), &text, Options::CHECKED).unwrap().object;
        object.set_resource_version(9);
        prop_assert_eq!(read, object);
    }

    #[test]
    fn truncated_json_is_an_error(bytes in supply(), cut in any::<prop::sample::Index>()) {
        let object = object(&bytes);
        let text = json::encode(&object);
        let cut = cut.index(text.len());
        prop_assert!(json::decode(object.body.ty(), &text[..cut], Options::CHECKED).is_err());
    }

    #[test]
    fn empty_patches_change_nothing(bytes in supply()) {
        let object = object(&bytes);
        for patched in [
            patch::json_patch(&object, b"[]").unwrap(),
            patch::merge_patch(&object, b"{}").unwrap(),
            patch::strategic_merge_patch(&object, b"{}").unwrap(),
        ] {
            prop_assert_eq!(&patched.object, &object);
        }
    }

    #[test]
    fn an_object_merged_into_an_empty_one_is_itself(bytes in supply()) {
        let object = object(&bytes);
        let empty = Object::new(&object.api_version, &object.kind, object.body.ty());
        let merged = patch::merge_patch(&empty, &json::encode(&object)).unwrap();
        prop_assert_eq!(merged.object, object);
    }

    #[test]
    fn ownership_follows_the_writes(bytes in supply(), other in supply()) {
        let writer = |manager| Writer { manager, api_version: "v1", subresource: "", now: "2026-01-01T00:00:00Z", ignored: &[] };
        let mut first = object(&bytes);
        update(&writer("a"), None, &mut first);
        // A write that changes nothing leaves every byte as it is.
        let mut same = first.clone();
        update(&writer("b"), Some(&first), &mut same);
        prop_assert_eq!(&same, &first);
        // After a forced apply the applier owns what it lists, and repeating it changes nothing.
        let mut config = object(&other);
        if config.body.ty() == first.body.ty() {
            config.body.remove("metadata.uid");
            config.body.remove("metadata.resourceVersion");
            if let Ok(applied) = apply(&writer("c"), true, Some(&first), &config) {
                let again = apply(&writer("c"), false, Some(&applied.object), &config).unwrap();
                prop_assert!(!again.changed);
                prop_assert_eq!(again.object, applied.object);
            }
        }
    }

    #[test]
    fn field_sets_obey_the_laws_of_sets(a in supply(), b in supply()) {
        let set = |bytes: &[u8]| {
            let mut object = object(bytes);
            let writer = Writer { manager: "a", api_version: "v1", subresource: "", now: "", ignored: &[] };
            update(&writer, None, &mut object);
            let text = object.body.items_at("metadata.managedFields").first().and_then(|entry| entry.get("fieldsV1"));
            FieldSet::parse(text.and_then(Node::as_raw).unwrap_or("{}")).unwrap()
        };
        let (a, b) = (set(&a), set(&b));
        prop_assert_eq!(FieldSet::parse(&a.to_json()).unwrap(), a.clone());
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert_eq!(a.union(&b), b.union(&a));
    }
}

#[test]
fn hostile_json_never_panics() {
    let pod = &types::CORE_V1_POD;
    for text in [
        "",
        "{",
        "\"",
        "{\"",
        "{\"\\",
        "{\"\\u12",
        "{\"a\":",
        "{\"a\":-",
        "{\"a\":1e",
        "nul",
        "{\"spec\":{\"containers\":[",
        "\u{feff}{}",
    ] {
        assert!(json::decode(pod, text.as_bytes(), Options::CHECKED).is_err(), "{text}");
    }
    assert!(json::decode(pod, b"{\"metadata\":{\"name\":\"\xff\"}}", Options::CHECKED).is_ok(), "as Go: replaced");
}
