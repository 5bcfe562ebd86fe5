//! From an object as the server sends it to a [`StoredObject`], which holds its revision apart.

use std::borrow::Cow;

use api::stored::StoredObject;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why an object on the wire is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or without metadata.
    #[error("it is not a JSON object with metadata")]
    Json(#[from] serde_json::Error),
    /// No usable version.
    #[error("metadata.resourceVersion {0:?} is not a number")]
    Revision(String),
    /// The header could not be read.
    #[error("its header could not be read")]
    Header(#[from] api::stored::Error),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
}

/// The members of an object in their order.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(12));
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Takes `metadata.resourceVersion` out of the text and keeps it beside.
pub fn stored_object(text: &str) -> Result<StoredObject, Error> {
    let envelope: Envelope<'_> = serde_json::from_str(text)?;
    let metadata = envelope.metadata.get();
    let Members(members) = serde_json::from_str(metadata)?;
    let mut revision = None;
    let mut rest = Vec::with_capacity(text.len());
    // A RawValue is a slice of the text it was read from.
    let at = metadata.as_ptr() as usize - text.as_ptr() as usize;
    rest.extend_from_slice(&text.as_bytes()[..at]);
    rest.push(b'{');
    let mut first = true;
    for (name, value) in members {
        if name == "resourceVersion" {
            revision = Some(serde_json::from_str::<Cow<'_, str>>(value.get())?);
            continue;
        }
        if !first {
            rest.push(b',');
        }
        first = false;
        serde_json::to_writer(&mut rest, &name)?;
        rest.push(b':');
        rest.extend_from_slice(value.get().as_bytes());
    }
    rest.push(b'}');
    rest.extend_from_slice(&text.as_bytes()[at + metadata.len()..]);
    let revision = revision.unwrap_or_default();
    let revision = revision.parse().map_err(|_| Error::Revision(revision.into_owned()))?;
    Ok(StoredObject::from_json(Bytes::from(rest), revision, &[])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_is_taken_out_and_the_rest_stays() {
        let text = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","resourceVersion":"7","uid":"u"},"spec":{"x":[1, 2]}}"#;
        let object = stored_object(text).unwrap();
        assert_eq!((object.revision(), &*object.header().name, &*object.header().uid), (7, "a", "u"));
        let rest = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","uid":"u"},"spec":{"x":[1, 2]}}"#;
        assert_eq!(object.json(), rest.as_bytes());
    }

    #[test]
    fn an_object_without_revision_is_refused() {
        let error = stored_object(r#"{"metadata":{"name":"a"}}"#).unwrap_err();
        assert_eq!(error.to_string(), "metadata.resourceVersion \"\" is not a number");
    }
}
