//! Kubernetes protobuf to nodes and back.
//!
//! An object travels as `k8s\0` and a `runtime.Unknown` message that names its kind and holds its bytes. Writing
//! reproduces upstream's bytes (fields by tag, zero values written unless the field is a pointer). Reading takes any
//! input: unknown tags are skipped, everything else that is wrong is an error, nothing panics. Protobuf has no unknown
//! or duplicate fields to report.

use crate::json::{self, TypeMeta};
use crate::object::Object;
use crate::schema::{Type, object_type, split_api_version};

mod decode;
mod encode;
mod wire;

pub use encode::{encode_message, write_message};

use wire::{Reader, Value, write_bytes};

/// What every object in protobuf starts with.
pub const MAGIC: &[u8] = b"k8s\0";

/// Why a protobuf body could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The four bytes in front are missing.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Magic,
    /// A length or number reaches beyond the end.
    #[error("unexpected EOF")]
    Truncated,
    /// A number takes more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A field has a wire type that it cannot have.
    #[error("proto: wrong wireType = {wire_type} for field {field}")]
    WireType {
        /// The wire type.
        wire_type: u8,
        /// The field.
        field: String,
    },
    /// Messages are nested too deeply.
    #[error("proto: exceeded max depth")]
    TooDeep,
    /// Text is no UTF-8.
    #[error("proto: field {0} contains invalid UTF-8")]
    Utf8(&'static str),
    /// A value is out of the range of its field.
    #[error("proto: field {field}: {problem}")]
    Value {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The envelope names a kind that is not known.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// As in `apps/v1`.
        api_version: String,
        /// As in `Deployment`.
        kind: String,
    },
    /// The content of the envelope is encoded a second time.
    #[error("content encoding {0:?} is not supported; send the object as plain protobuf")]
    ContentEncoding(String),
}

/// The envelope, opened.
struct Unknown<'a> {
    meta: TypeMeta,
    raw: &'a [u8],
}

/// Reads kind and apiVersion alone.
pub fn peek_type_meta(bytes: &[u8]) -> Result<TypeMeta, Error> {
    open(bytes).map(|unknown| unknown.meta)
}

/// Reads an object of the kind its envelope names.
pub fn decode(bytes: &[u8]) -> Result<Object, Error> {
    let Unknown { meta, raw } = open(bytes)?;
    let (group, version) = split_api_version(&meta.api_version);
    let ty = object_type(group, version, &meta.kind)
        .ok_or_else(|| Error::UnknownKind { api_version: meta.api_version.to_string(), kind: meta.kind.to_string() })?;
    let body = decode::message(ty, raw)?;
    Ok(Object { api_version: meta.api_version, kind: meta.kind, body })
}

/// Reads an object as the given type, whatever its envelope says.
pub fn decode_as(ty: Type, bytes: &[u8]) -> Result<Object, Error> {
    let Unknown { meta, raw } = open(bytes)?;
    Ok(Object { api_version: meta.api_version, kind: meta.kind, body: decode::message(ty, raw)? })
}

/// Reads a bare message without envelope.
pub fn decode_message(ty: Type, bytes: &[u8]) -> Result<crate::Struct, Error> {
    decode::message(ty, bytes)
}

/// Writes an object with its envelope.
pub fn encode(object: &Object) -> Vec<u8> {
    wrap(&object.api_version, &object.kind, &encode_message(&object.body))
}

/// Puts a message into the envelope.
pub fn wrap(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut meta = Vec::with_capacity(api_version.len() + kind.len() + 4);
    write_bytes(&mut meta, 1, api_version.as_bytes());
    write_bytes(&mut meta, 2, kind.as_bytes());
    let mut out = Vec::with_capacity(MAGIC.len() + meta.len() + message.len() + 20);
    out.extend_from_slice(MAGIC);
    write_bytes(&mut out, 1, &meta);
    write_bytes(&mut out, 2, message);
    write_bytes(&mut out, 3, b"");
    write_bytes(&mut out, 4, b"");
    out
}

/// Writes a list from encoded elements (see [`encode_message`]), with its envelope.
pub fn encode_list<'a>(
    api_version: &str,
    kind: &str,
    metadata: &crate::Struct,
    items: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut message = vec![];
    write_bytes(&mut message, 1, &encode_message(metadata));
    for item in items {
        write_bytes(&mut message, 2, item);
    }
    wrap(api_version, kind, &message)
}

/// Writes one frame of a watch: four bytes of length, then a `WatchEvent` around an enveloped object.
pub fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(object.len() + 8);
    write_bytes(&mut raw, 1, object);
    let mut message = Vec::with_capacity(raw.len() + event.len() + 12);
    write_bytes(&mut message, 1, event.as_bytes());
    write_bytes(&mut message, 2, &raw);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(message.len() + 4);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.append(&mut message);
    frame
}

fn open(bytes: &[u8]) -> Result<Unknown<'_>, Error> {
    let mut reader = Reader::new(bytes.strip_prefix(MAGIC).ok_or(Error::Magic)?);
    let mut unknown = Unknown { meta: json::TypeMeta::default(), raw: &[] };
    while let Some((tag, value)) = reader.next()? {
        match (tag, value) {
            (1, Value::Bytes(bytes)) => unknown.meta = type_meta(bytes)?,
            (2, Value::Bytes(bytes)) => unknown.raw = bytes,
            (3, Value::Bytes(bytes)) if !bytes.is_empty() => {
                return Err(Error::ContentEncoding(String::from_utf8_lossy(bytes).into_owned()));
            }
            _ => {}
        }
    }
    Ok(unknown)
}

fn type_meta(bytes: &[u8]) -> Result<TypeMeta, Error> {
    let mut meta = TypeMeta::default();
    let mut reader = Reader::new(bytes);
    while let Some((tag, value)) = reader.next()? {
        match (tag, value) {
            (1, Value::Bytes(bytes)) => meta.api_version = wire::text(bytes, "apiVersion")?.into(),
            (2, Value::Bytes(bytes)) => meta.kind = wire::text(bytes, "kind")?.into(),
            _ => {}
        }
    }
    Ok(meta)
}

#[cfg(test)]
mod tests;
