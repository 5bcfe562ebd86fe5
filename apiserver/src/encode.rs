//! Objects as answers: plain JSON by copying stored bytes, every other form by way of the object.

use std::io::Write;

use api::{
    Object,
    kind::Kind,
    protobuf,
    schema::object_type,
    status::Status,
    stored::StoredObject,
    validation::{Errors, Path},
};
use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use crate::{
    error::Result,
    negotiation::{Encoding, MediaType, Target},
    resource::Resource,
    table,
};

mod list;
mod raw;

pub(crate) use list::{copied, list};
pub(crate) use raw::Raw;

/// Answers beyond this size leave in pieces, and compressed if the client likes.
const PIECE: usize = 128 * 1024;

/// What stands beside the cells of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Include {
    /// Nothing.
    None,
    /// The object's metadata.
    #[default]
    Metadata,
    /// The object.
    Object,
}

/// How a table is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Show {
    /// What stands beside the cells.
    pub include: Include,
    /// True when the columns were told before.
    pub columns_known: bool,
}

impl Show {
    /// Reads the option `includeObject`, which means something for tables only.
    pub(crate) fn parse(include: &str, encoding: Encoding) -> Result<Self> {
        let include = match include {
            "None" => Include::None,
            "Object" => Include::Object,
            other if matches!(encoding.target, Target::Table(_)) && !matches!(other, "" | "Metadata") => {
                let mut errors = Errors::default();
                errors.invalid(
                    &Path::Root.field("includeObject"),
                    other,
                    "must be 'Metadata', 'Object', 'None', or empty",
                );
                let message = format!("Unable to convert to Table as requested: {errors}");
                return Err(Status::bad_request(message).into());
            }
            _ => Include::Metadata,
        };
        Ok(Self { include, columns_known: false })
    }
}

/// Whether a resource's objects are sent as they are stored, in this form, but for their revision.
pub(crate) fn is_copied(resource: &Resource, encoding: Encoding) -> bool {
    resource.kind.served_as_stored()
        && encoding.target == Target::Object
        && encoding.media == MediaType::Json
        && !encoding.pretty
}

/// A stored object as it was at `revision`.
pub(crate) fn one(
    resource: &Resource,
    stored: &StoredObject,
    revision: i64,
    encoding: Encoding,
    show: Show,
) -> Result<Vec<u8>> {
    if resource.kind.served_as_stored() && encoding.target == Target::Object && encoding.media != MediaType::Protobuf {
        let mut out = Vec::with_capacity(stored.json().len() + 44);
        stored.write_json_at(&mut out, revision);
        return Ok(finish(out, encoding));
    }
    let mut object = decode(resource, stored)?;
    object.set_resource_version(revision);
    Ok(object_as(resource, object, encoding, show))
}

/// An object that need not be stored.
pub(crate) fn object_as(resource: &Resource, object: Object, encoding: Encoding, show: Show) -> Vec<u8> {
    match encoding.target {
        Target::Object => body(&object, encoding),
        Target::PartialMetadata => body(&partial(object), encoding),
        Target::Table(version) => {
            let revision = object.resource_version().to_owned();
            let head = table::Head { version, revision: &revision, next: "", remaining: None };
            finish(table::table(resource.kind, &head, std::iter::once(object), show), encoding)
        }
    }
}

/// An object of any type in one of the codecs.
pub(crate) fn body(object: &Object, encoding: Encoding) -> Vec<u8> {
    match encoding.media {
        MediaType::Protobuf => protobuf::encode(object),
        MediaType::Json | MediaType::Yaml => finish(api::json::encode(object), encoding),
    }
}

/// The body of a bookmark event.
pub(crate) fn bookmark(resource: &Resource, object: Object, encoding: Encoding) -> Vec<u8> {
    match encoding.target {
        Target::Table(version) => {
            let head = table::Head { version, revision: object.resource_version(), next: "", remaining: None };
            let show = Show { columns_known: true, ..Show::default() };
            table::table(resource.kind, &head, std::iter::empty(), show)
        }
        _ => object_as(resource, object, encoding, Show::default()),
    }
}

/// A Status as protobuf, from its JSON.
pub(crate) fn status_protobuf(json: &[u8]) -> Vec<u8> {
    let ty = object_type("", "v1", "Status");
    let decoded = ty.and_then(|ty| api::json::decode(ty, json, api::json::Options::LENIENT).ok());
    decoded.map(|decoded| protobuf::encode(&decoded.object)).unwrap_or_default()
}

/// Decodes a stored object and gives it the envelope under which it is served.
pub(crate) fn decode(resource: &Resource, stored: &StoredObject) -> Result<Object> {
    let kind = resource.kind;
    if kind.custom.is_some() {
        // All versions have the same fields, and each shows those that it names. It may promise more than it did when
        // the object was written.
        let mut object = kind.from_stored(stored.to_object(kind.ty).map_err(Status::internal)?);
        kind.default(&mut object);
        return Ok(object);
    }
    let object = stored.to_object(kind.storage().ty).map_err(Status::internal)?;
    Ok(if kind.stored_as.is_some() { kind.from_stored(object) } else { object })
}

/// The bytes to store for an object, as the kind as which it is stored.
pub(crate) fn value(kind: &'static Kind, object: &mut Object) -> Bytes {
    if kind.stored_as.is_none() {
        return api::stored::value(object);
    }
    object.set_resource_version(0);
    api::stored::value(&mut kind.to_stored(object.clone()))
}

/// The metadata alone.
pub(crate) fn partial(mut object: Object) -> Object {
    let metadata = object.body.remove("metadata");
    let mut partial = Object::of("meta.k8s.io/v1", "PartialObjectMetadata").unwrap_or(object);
    if let Some(metadata) = metadata {
        partial.body.set("metadata", metadata);
    }
    partial
}

/// A body of pieces; the second value says whether it is compressed.
fn stream(pieces: impl Iterator<Item = Bytes> + Send + 'static, compress: bool) -> (Body, bool) {
    if compress {
        return (gzip(pieces), true);
    }
    (Body::from_stream(futures_util::stream::iter(pieces.map(Ok::<_, std::io::Error>))), false)
}

/// A compressed body of pieces, made while it is sent.
pub(crate) fn gzip(pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
    let mut encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut pieces = pieces;
    let compressed = std::iter::from_fn(move || {
        while let Some(open) = encoder.as_mut() {
            let Some(piece) = pieces.next() else {
                return encoder.take().map(|open| open.finish().map(Bytes::from));
            };
            if let Err(error) = open.write_all(&piece) {
                return Some(Err(error));
            }
            if !open.get_ref().is_empty() {
                return Some(Ok(std::mem::take(open.get_mut()).into()));
            }
        }
        None
    });
    Body::from_stream(futures_util::stream::iter(compressed))
}

/// JSON text in the form that was asked for: as YAML, indented for people, or as it is.
pub(crate) fn finish(json: Vec<u8>, encoding: Encoding) -> Vec<u8> {
    match encoding.media {
        MediaType::Yaml => api::yaml::from_json(json),
        MediaType::Json if encoding.pretty => api::json::pretty(&json),
        MediaType::Json | MediaType::Protobuf => json,
    }
}
