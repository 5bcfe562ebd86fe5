//! Lists: JSON by copying what is stored while it is sent, every other form by way of the objects.

use api::{Object, Struct, protobuf, status::Status, stored::StoredObject};
use axum::body::Body;
use bytes::Bytes;

use super::{PIECE, Raw, Show, decode, finish, partial, stream};
use crate::{
    error::Result,
    negotiation::{Encoding, MediaType, Target},
    resource::Resource,
    storage::read::{About, Page},
    table,
};

/// Whether lists of a resource hold what is stored, or what that is once it is decrypted.
fn is_copied(resource: &Resource, encoding: Encoding) -> bool {
    as_stored(resource) && encoding.target == Target::Object && encoding.media == MediaType::Json && !encoding.pretty
}

fn as_stored(resource: &Resource) -> bool {
    resource.kind.conversion.is_none() && resource.kind.custom.is_none()
}

/// A list of what is stored, none of which is looked at.
pub(crate) fn copied(resource: &Resource, about: &About, items: Vec<Raw>, gzip: bool) -> (Body, bool) {
    elements(resource, about, items, gzip)
}

fn elements<T: Element + Send + 'static>(
    resource: &Resource,
    about: &About,
    elements: Vec<T>,
    gzip: bool,
) -> (Body, bool) {
    let size: usize = elements.iter().map(Element::len).sum();
    let pieces = Pieces::new(resource, about, elements);
    if size < PIECE { (Body::from(pieces.collect::<Vec<_>>().concat()), false) } else { stream(pieces, gzip) }
}

/// A list, as a body that is made while it is sent.
pub(crate) fn list(
    resource: &Resource,
    page: Page,
    encoding: Encoding,
    show: Show,
    gzip: bool,
) -> Result<(Body, bool)> {
    if is_copied(resource, encoding) {
        return Ok(elements(resource, &page.about, page.objects, gzip));
    }
    let bytes = match (encoding.target, encoding.media) {
        (Target::Table(version), _) => {
            let revision = page.about.revision.to_string();
            let head =
                table::Head { version, revision: &revision, next: &page.about.next, remaining: page.about.remaining };
            let objects: Vec<Object> =
                page.objects.iter().map(|stored| decode(resource, stored)).collect::<Result<_>>()?;
            table::table(resource.kind, &head, objects, show)
        }
        (target, MediaType::Protobuf) => protobuf_list(resource, &page, target)?,
        (Target::Object, _) if as_stored(resource) => {
            Pieces::new(resource, &page.about, page.objects).collect::<Vec<_>>().concat()
        }
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
        head(&resource.kind.list_kind(), &resource.kind.api_version(), &page.about)
    } else {
        head("PartialObjectMetadataList", "meta.k8s.io/v1", &page.about)
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
    let metadata = list_metadata(&page.about)?;
    Ok(protobuf::encode_list(&api_version, &kind, &metadata, items.iter().map(Vec::as_slice)))
}

fn list_metadata(about: &About) -> Result<Struct> {
    let ty = api::schema::type_named("meta/v1.ListMeta");
    let mut metadata = Struct::new(ty.ok_or_else(|| Status::internal("the schema lacks ListMeta"))?);
    metadata.set("resourceVersion", about.revision.to_string());
    if !about.next.is_empty() {
        metadata.set("continue", about.next.as_str());
    }
    if let Some(remaining) = about.remaining {
        metadata.set("remainingItemCount", i64::try_from(remaining).unwrap_or(i64::MAX));
    }
    Ok(metadata)
}

/// Everything of a JSON list before its first item.
fn head(kind: &str, api_version: &str, about: &About) -> Vec<u8> {
    let mut out = format!(
        "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{{\"resourceVersion\":\"{}\"",
        about.revision
    );
    if !about.next.is_empty() {
        out.push_str(&format!(",\"continue\":\"{}\"", about.next));
    }
    if let Some(remaining) = about.remaining {
        out.push_str(&format!(",\"remainingItemCount\":{remaining}"));
    }
    out.push_str("},\"items\":[");
    out.into_bytes()
}

/// What can stand in a list.
trait Element {
    /// How long it is, nearly.
    fn len(&self) -> usize;
    /// Writes it without kind and apiVersion, which stand above the list.
    fn write(&self, out: &mut Vec<u8>);
}

impl Element for Raw {
    fn len(&self) -> usize {
        self.json().len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.write_item(out);
    }
}

impl Element for StoredObject {
    fn len(&self) -> usize {
        self.json().len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.write_item(out);
    }
}

/// A JSON list, piece by piece.
struct Pieces<T> {
    elements: std::vec::IntoIter<T>,
    buffer: Vec<u8>,
    first: bool,
    ended: bool,
}

impl<T: Element> Pieces<T> {
    fn new(resource: &Resource, about: &About, elements: Vec<T>) -> Self {
        let buffer = head(&resource.kind.list_kind(), &resource.kind.api_version(), about);
        Self { elements: elements.into_iter(), buffer, first: true, ended: false }
    }
}

impl<T: Element> Iterator for Pieces<T> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        for element in self.elements.by_ref() {
            if !std::mem::take(&mut self.first) {
                self.buffer.push(b',');
            }
            element.write(&mut self.buffer);
            if self.buffer.len() >= PIECE {
                // The next one is as large: what grows is not moved.
                let next = Vec::with_capacity(self.buffer.len() + PIECE / 8);
                return Some(std::mem::replace(&mut self.buffer, next).into());
            }
        }
        self.ended = true;
        self.buffer.extend_from_slice(b"]}");
        Some(std::mem::take(&mut self.buffer).into())
    }
}
