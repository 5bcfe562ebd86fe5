//! Stored objects of which no more is read than where their metadata begin: enough to send them as they are.

use api::stored::FORMAT_JSON;
use bytes::Bytes;

/// Kind and apiVersion, which stand before the metadata, are no longer than this.
const BEFORE_METADATA: usize = 512;
const METADATA: &[u8] = b"\"metadata\":{";

/// Canonical JSON without resourceVersion, and the revision it has.
pub(crate) struct Raw {
    json: Bytes,
    revision: i64,
    /// Where the member `metadata` begins.
    metadata_at: usize,
}

impl Raw {
    /// A value as it is stored; nothing if it has another form, or no revision: then it was rehearsed only.
    pub(crate) fn of(value: &Bytes, revision: i64) -> Option<Self> {
        let json = (value.first() == Some(&FORMAT_JSON) && revision > 0).then(|| value.slice(1..))?;
        let head = &json[..json.len().min(BEFORE_METADATA)];
        let metadata_at = head.windows(METADATA.len()).position(|part| part == METADATA)?;
        json.starts_with(b"{\"kind\":\"").then_some(Self { revision, metadata_at, json })
    }

    /// The JSON as it is stored.
    pub(crate) fn json(&self) -> &Bytes {
        &self.json
    }

    /// The object with its resourceVersion.
    pub(crate) fn object(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.json.len() + 44);
        out.extend_from_slice(&self.json[..self.metadata_at]);
        self.write_from_metadata(&mut out);
        out
    }

    /// Writes it as an element of a list, without kind and apiVersion, which stand above the list.
    pub(crate) fn write_item(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.write_from_metadata(out);
    }

    fn write_from_metadata(&self, out: &mut Vec<u8>) {
        let (metadata, rest) = self.json[self.metadata_at..].split_at(METADATA.len());
        out.extend_from_slice(metadata);
        out.extend_from_slice(b"\"resourceVersion\":\"");
        out.extend_from_slice(self.revision.to_string().as_bytes());
        out.extend_from_slice(if rest.first() == Some(&b'}') { b"\"" } else { b"\"," });
        out.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use api::stored::StoredObject;

    use super::*;

    #[test]
    fn what_is_copied_is_what_would_be_written() {
        for json in [
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","uid":"u"},"spec":{"metadata":{}}}"#,
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{}}"#,
        ] {
            let value = Bytes::from(format!("J{json}"));
            let (raw, stored) = (Raw::of(&value, 42).unwrap(), StoredObject::parse(&value, 42, &[]).unwrap());
            let (mut item, mut expected) = (Vec::new(), Vec::new());
            raw.write_item(&mut item);
            stored.write_item(&mut expected);
            assert_eq!(String::from_utf8(item).unwrap(), String::from_utf8(expected).unwrap());
            assert_eq!(raw.object(), stored.json_with_revision());
        }
        for other in [r#"J{"kind":"Pod","apiVersion":"v1"}"#, r#"J{"metadata":{}}"#, "J", "", "k8s\0"] {
            assert!(Raw::of(&Bytes::from(other), 1).is_none(), "{other}");
        }
        let rehearsed = Bytes::from_static(br#"J{"kind":"Pod","apiVersion":"v1","metadata":{}}"#);
        assert!(Raw::of(&rehearsed, 0).is_none());
    }
}
