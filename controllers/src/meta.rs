//! Small facts about objects that several controllers need.

use std::collections::BTreeMap;

use api::selector::{LabelSelector, Operator, Requirement};
use api::stored::{Header, StoredObject};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde_json::{Value, json};

/// An object's map of strings, labels or annotations.
pub(crate) type Strings = BTreeMap<String, String>;

/// A typed selector made ready to match. `None` when it is not valid: such an object is not acted upon.
pub(crate) fn selector(selector: &meta::LabelSelector) -> Option<LabelSelector> {
    let mut requirements = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        requirements.push(Requirement::new(key, Operator::In(vec![value.clone()])).ok()?);
    }
    for expression in selector.match_expressions.iter().flatten() {
        let values = expression.values.clone().unwrap_or_default();
        let operator = match expression.operator.as_str() {
            "In" => Operator::In(values),
            "NotIn" => Operator::NotIn(values),
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        requirements.push(Requirement::new(&expression.key, operator).ok()?);
    }
    Some(requirements.into_iter().collect())
}

/// Whether a selector selects an object.
pub(crate) fn selects(selector: &LabelSelector, header: &Header) -> bool {
    selector.matches(|key| header.label(key))
}

/// Whether a selector selects labels.
pub(crate) fn selects_labels(selector: &LabelSelector, labels: &Strings) -> bool {
    selector.matches(|key| labels.get(key).map(String::as_str))
}

/// The uid of the controller that owns an object.
pub(crate) fn controller_uid(object: &StoredObject) -> Option<&str> {
    object.header().owner_references.iter().find(|owner| owner.controller).map(|owner| &*owner.uid)
}

/// The owner reference that makes `metadata`'s object the controller.
pub(crate) fn controller_reference(api_version: &str, kind: &str, metadata: &meta::ObjectMeta) -> meta::OwnerReference {
    meta::OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// What Events about an object refer to.
pub(crate) fn reference(api_version: &str, kind: &str, metadata: &meta::ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(kind.to_owned()),
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// A patch on the condition that the object is still at the revision it was read at.
pub(crate) fn at_revision(mut patch: Value, resource_version: Option<&str>) -> Value {
    if let Some(resource_version) = resource_version {
        if patch["metadata"].is_null() {
            patch["metadata"] = json!({});
        }
        patch["metadata"]["resourceVersion"] = resource_version.into();
    }
    patch
}

/// 32-bit FNV-1a.
pub(crate) fn fnv1a(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// A number in the alphabet of generated names, which spells no words.
pub(crate) fn safe_text(number: u32) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    number.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

/// A generator of names: a fresh one for each reconcile, from a seed in the view.
pub(crate) struct Names(u64);

impl Names {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `base` and five random letters.
    pub(crate) fn generate(&mut self, base: &str) -> String {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        api::names::generate(base, mixed ^ (mixed >> 31))
    }
}
