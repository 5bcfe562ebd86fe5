//! Objects as answers: plain JSON by copying stored bytes, every other form by way of the object.

use std::io::Write;

use api::{
    Object, Struct,
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
    storage::read::Page,
    table,
};

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

/// A list, as a body that is made while it is sent.
pub(crate) fn list(
    resource: &Resource,
    page: Page,
    encoding: Encoding,
    show: Show,
    gzip: bool,
) -> Result<(Body, bool)> {
    let as_stored = resource.kind.conversion.is_none() && resource.kind.custom.is_none();
    if as_stored && encoding.target == Target::Object && encoding.media == MediaType::Json && !encoding.pretty {
        let size: usize = page.objects.iter().map(|object| object.json().len()).sum();
        let pieces = Pieces::new(resource, page);
        return Ok(if size < PIECE {
            (Body::from(pieces.collect::<Vec<_>>().concat()), false)
        } else {
            stream(pieces, gzip)
        });
    }
    let bytes = match (encoding.target, encoding.media) {
        (Target::Table(version), _) => {
            let revision = page.revision.to_string();
            let head = table::Head { version, revision: &revision, next: &page.next, remaining: page.remaining };
            let objects: Vec<Object> =
                page.objects.iter().map(|stored| decode(resource, stored)).collect::<Result<_>>()?;
            table::table(resource.kind, &head, objects, show)
        }
        (target, MediaType::Protobuf) => protobuf_list(resource, &page, target)?,
        (Target::Object, _) if as_stored => Pieces::new(resource, page).collect::<Vec<_>>().concat(),
        (target, _) => json_list(resource, &page, target)?,
    };
    let bytes = finish(bytes, encoding);
    if bytes.len() < PIECE {
        return Ok((Body::from(bytes), false));
    }
    Ok(stream(std::iter::once(Bytes::from(bytes)), gzip))
}

/// A list of objects that are not sent as they are stored.
fn json_list(resource: &Resource, page: &Page, target: Target) -> Result<Vec<u8>> {
    let whole = target == Target::Object;
    let mut out = if whole {
        head(&resource.kind.list_kind(), &resource.kind.api_version(), page)
    } else {
        head("PartialObjectMetadataList", "meta.k8s.io/v1", page)
    };
    for (at, stored) in page.objects.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let object = decode(resource, stored)?;
        if whole && resource.kind.custom.is_some() {
            // Clients have no type for such objects: each says its kind.
            api::json::write_object(&mut out, &object);
        } else if whole {
            out.extend_from_slice(&api::json::encode_struct(&object.body));
        } else {
            api::json::write_object(&mut out, &partial(object));
        }
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

fn protobuf_list(resource: &Resource, page: &Page, target: Target) -> Result<Vec<u8>> {
    let whole = target == Target::Object;
    let item = |stored: &StoredObject| -> Result<Vec<u8>> {
        let object = decode(resource, stored)?;
        let object = if whole { object } else { partial(object) };
        Ok(protobuf::encode_message(&object.body))
    };
    let items: Vec<Vec<u8>> = page.objects.iter().map(item).collect::<Result<_>>()?;
    let (api_version, kind) = if whole {
        (resource.kind.api_version(), resource.kind.list_kind())
    } else {
        ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned())
    };
    let metadata = list_metadata(page)?;
    Ok(protobuf::encode_list(&api_version, &kind, &metadata, items.iter().map(Vec::as_slice)))
}

fn list_metadata(page: &Page) -> Result<Struct> {
    let ty = api::schema::type_named("meta/v1.ListMeta");
    let mut metadata = Struct::new(ty.ok_or_else(|| Status::internal("the schema lacks ListMeta"))?);
    metadata.set("resourceVersion", page.revision.to_string());
    if !page.next.is_empty() {
        metadata.set("continue", page.next.as_str());
    }
    if let Some(remaining) = page.remaining {
        metadata.set("remainingItemCount", i64::try_from(remaining).unwrap_or(i64::MAX));
    }
    Ok(metadata)
}

/// Everything of a JSON list before its first item.
fn head(kind: &str, api_version: &str, page: &Page) -> Vec<u8> {
    let mut out = format!(
        "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{{\"resourceVersion\":\"{}\"",
        page.revision
    );
    if !page.next.is_empty() {
        out.push_str(&format!(",\"continue\":\"{}\"", page.next));
    }
    if let Some(remaining) = page.remaining {
        out.push_str(&format!(",\"remainingItemCount\":{remaining}"));
    }
    out.push_str("},\"items\":[");
    out.into_bytes()
}

/// A JSON list, piece by piece.
struct Pieces {
    objects: std::vec::IntoIter<StoredObject>,
    buffer: Vec<u8>,
    first: bool,
    ended: bool,
}

impl Pieces {
    fn new(resource: &Resource, page: Page) -> Self {
        let buffer = head(&resource.kind.list_kind(), &resource.kind.api_version(), &page);
        Self { objects: page.objects.into_iter(), buffer, first: true, ended: false }
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        for object in self.objects.by_ref() {
            if !std::mem::take(&mut self.first) {
                self.buffer.push(b',');
            }
            object.write_item(&mut self.buffer);
            if self.buffer.len() >= PIECE {
                return Some(std::mem::take(&mut self.buffer).into());
            }
        }
        self.ended = true;
        self.buffer.extend_from_slice(b"]}");
        Some(std::mem::take(&mut self.buffer).into())
    }
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
