//! How an object rests in the store, and how it is read back without decoding it.
//!
//! A value is a format byte and canonical JSON without `metadata.resourceVersion`: the revision of the store is the
//! version, and is spliced in on the way out. One scan of the text yields the [`Header`], all that selecting, listing
//! and watching look at. A `k8s\0` protobuf value written by a stock API server is understood as well; it becomes JSON
//! with the next update. Encryption at rest lies below this module, not in it.

use bytes::Bytes;

use crate::json::{self, Options};
use crate::object::Object;
use crate::protobuf;
use crate::schema::Type;

mod scan;

/// First byte of a value that is canonical JSON.
pub const FORMAT_JSON: u8 = b'J';

/// Why a stored value could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The first byte names no known format.
    #[error("stored value has unknown format byte {0:#04x}; it was written by a newer version or is no object")]
    Format(u8),
    /// There is no byte at all.
    #[error("stored value is empty")]
    Empty,
    /// The JSON is broken.
    #[error("stored value is no valid JSON object")]
    Json(#[from] json::Error),
    /// The protobuf is broken.
    #[error("stored value is no valid protobuf object")]
    Protobuf(#[from] protobuf::Error),
}

/// What selecting, listing and watching need to know of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `metadata.namespace`; empty for cluster-scoped objects.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// `metadata.labels` by key.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// `metadata.ownerReferences`.
    pub owner_references: Box<[OwnerReference]>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Values of the kind's selectable fields, in the order asked for; empty text where the field is absent.
    pub fields: Box<[Box<str>]>,
}

/// An owner, as the garbage collector sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerReference {
    /// As in `apps/v1`.
    pub api_version: Box<str>,
    /// As in `ReplicaSet`.
    pub kind: Box<str>,
    /// Name of the owner.
    pub name: Box<str>,
    /// Identity of the owner.
    pub uid: Box<str>,
    /// Whether the owner is the managing controller.
    pub controller: bool,
    /// Whether foreground deletion of the owner waits for this object.
    pub block_owner_deletion: bool,
}

/// An object as bytes with its header. Made once per revision and shared by everyone who looks at it.
#[derive(Clone, Debug)]
pub struct StoredObject {
    header: Header,
    revision: i64,
    json: Bytes,
    /// Where the text after kind and apiVersion starts.
    body_at: usize,
    /// Just behind the opening brace of the metadata.
    metadata_at: usize,
}

impl Header {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        let found = self.labels.binary_search_by(|(present, _)| (**present).cmp(key)).ok()?;
        Some(&self.labels[found].1)
    }
}

impl StoredObject {
    /// Reads a stored value of the given revision. `fields` are the dotted paths whose values the header shall hold.
    pub fn parse(value: &Bytes, revision: i64, fields: &[&str]) -> Result<Self, Error> {
        match value.first() {
            Some(&FORMAT_JSON) => Self::from_json(value.slice(1..), revision, fields),
            Some(_) if value.starts_with(protobuf::MAGIC) => {
                let mut object = protobuf::decode(value)?;
                object.set_resource_version(0);
                Self::from_json(json::encode(&object).into(), revision, fields)
            }
            Some(byte) => Err(Error::Format(*byte)),
            None => Err(Error::Empty),
        }
    }

    /// Takes over canonical JSON that has no resourceVersion.
    pub fn from_json(json: Bytes, revision: i64, fields: &[&str]) -> Result<Self, Error> {
        let scanned = scan::scan(&json, fields)?;
        Ok(Self { header: scanned.header, revision, json, body_at: scanned.body_at, metadata_at: scanned.metadata_at })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The store's revision at which the object was last written.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The canonical JSON, without resourceVersion.
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// The JSON with `metadata.resourceVersion` spliced in.
    pub fn json_with_revision(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.json.len() + 44);
        self.write_json(&mut out);
        out.into()
    }

    /// Writes the JSON with `metadata.resourceVersion`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.json[..self.metadata_at]);
        self.write_rest(out, self.revision);
    }

    /// Writes the JSON with another resourceVersion: a deletion carries the revision at which it happened.
    pub fn write_json_at(&self, out: &mut Vec<u8>, revision: i64) {
        out.extend_from_slice(&self.json[..self.metadata_at]);
        self.write_rest(out, revision);
    }

    /// Writes the JSON as an element of a list, where kind and apiVersion are left out.
    pub fn write_item(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        out.extend_from_slice(&self.json[self.body_at..self.metadata_at]);
        self.write_rest(out, self.revision);
    }

    fn write_rest(&self, out: &mut Vec<u8>, revision: i64) {
        out.extend_from_slice(b"\"resourceVersion\":\"");
        json::push_int(out, revision);
        let rest = &self.json[self.metadata_at..];
        out.extend_from_slice(if rest.first() == Some(&b'}') { b"\"" } else { b"\"," });
        out.extend_from_slice(rest);
    }

    /// The object, with its resourceVersion.
    pub fn to_object(&self, ty: Type) -> Result<Object, Error> {
        let mut object = json::decode(ty, &self.json, Options::LENIENT)?.object;
        object.set_resource_version(self.revision);
        Ok(object)
    }
}

/// The bytes to store for an object. Removes its resourceVersion, which the write is about to change.
pub fn value(object: &mut Object) -> Bytes {
    object.set_resource_version(0);
    let mut out = Vec::with_capacity(1024);
    out.push(FORMAT_JSON);
    json::write_object(&mut out, object);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::types;

    fn stored(text: &str, fields: &[&str]) -> StoredObject {
        let mut object = json::decode(&types::CORE_V1_POD, text.as_bytes(), Options::CHECKED).unwrap().object;
        StoredObject::parse(&value(&mut object), 42, fields).unwrap()
    }

    #[test]
    fn the_header_is_found_without_decoding() {
        let text = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"b","uid":"u","resourceVersion":"7",
            "deletionTimestamp":"2026-01-01T00:00:00Z","labels":{"x":"1","app":"web\n"},"ownerReferences":[
            {"apiVersion":"apps/v1","kind":"ReplicaSet","name":"r","uid":"ru","controller":true}]},
            "spec":{"containers":[],"nodeName":"n1","hostNetwork":true},"status":{"phase":"Running"}}"#;
        let object = stored(text, &["spec.nodeName", "status.phase", "spec.hostNetwork", "status.podIP"]);
        let header = object.header();
        assert_eq!((&*header.namespace, &*header.name, &*header.uid, header.deleting), ("b", "a", "u", true));
        assert_eq!((header.label("app"), header.label("none")), (Some("web\n"), None));
        let fields: Vec<&str> = header.fields.iter().map(|field| &**field).collect();
        assert_eq!(fields, ["n1", "Running", "true", ""]);
        let owner = &header.owner_references[0];
        assert_eq!(
            (&*owner.kind, &*owner.uid, owner.controller, owner.block_owner_deletion),
            ("ReplicaSet", "ru", true, false)
        );
    }

    #[test]
    fn the_revision_is_spliced_in_on_the_way_out() {
        let object = stored(r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","resourceVersion":"7"}}"#, &[]);
        let text = String::from_utf8(object.json_with_revision().to_vec()).unwrap();
        let start = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42","name":"a"}"#;
        assert!(text.starts_with(start), "{text}");
        let mut item = vec![];
        object.write_item(&mut item);
        assert!(item.starts_with(br#"{"metadata":{"resourceVersion":"42","name":"a"},"#));
        assert_eq!(object.to_object(&types::CORE_V1_POD).unwrap().resource_version(), "42");
        let mut deleted = vec![];
        object.write_json_at(&mut deleted, 50);
        assert!(deleted.windows(22).any(|part| part == br#""resourceVersion":"50""#));
    }

    #[test]
    fn empty_metadata_needs_no_comma() {
        let object = stored(r#"{"kind":"Pod","apiVersion":"v1"}"#, &[]);
        assert!(
            object
                .json_with_revision()
                .starts_with(br#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"42"}"#)
        );
    }

    #[test]
    fn values_of_a_stock_api_server_are_read() {
        let text =
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"b"},"spec":{"nodeName":"n"}}"#;
        let object = json::decode(&types::CORE_V1_POD, text.as_bytes(), Options::CHECKED).unwrap().object;
        let value = Bytes::from(protobuf::encode(&object));
        let read = StoredObject::parse(&value, 3, &["spec.nodeName"]).unwrap();
        assert_eq!((&*read.header().name, &*read.header().fields[0]), ("a", "n"));
        assert_eq!(read.json(), &json::encode(&object));
    }

    #[test]
    fn foreign_values_are_refused_by_name() {
        let error = StoredObject::parse(&Bytes::from_static(b"Xabc"), 1, &[]).unwrap_err();
        assert!(error.to_string().contains("0x58"), "{error}");
        assert!(matches!(StoredObject::parse(&Bytes::new(), 1, &[]), Err(Error::Empty)));
        assert!(StoredObject::parse(&Bytes::from_static(b"J[]"), 1, &[]).is_err());
        assert!(StoredObject::parse(&Bytes::from_static(b"J{\"kind\":\"Pod\"}"), 1, &[]).is_err(), "no metadata");
    }
}
