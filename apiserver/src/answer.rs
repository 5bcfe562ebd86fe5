//! What every answer gets on its way out: the headers that all have, and a Status in the form the client asked for.

use api::{status::Status, surroundings::Surroundings};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};

use crate::{
    encode, negotiation,
    negotiation::{Encoding, MediaType},
    random,
};

/// What upstream keeps of an id that the client brings along.
const AUDIT_ID: usize = 64;
/// Whole bodies beyond this size are compressed if the client likes.
const LARGE: usize = 128 * 1024;

/// What the request says about the form of its answer, kept while it is served.
pub(crate) struct Wishes {
    audit_id: HeaderValue,
    encoding: Option<Encoding>,
}

impl Wishes {
    /// Reads them from a request's head.
    pub(crate) fn new(parts: &Parts, chance: &Surroundings) -> Self {
        let audit_id = parts.headers.get("audit-id").map(HeaderValue::as_bytes).filter(|id| !id.is_empty());
        let audit_id = audit_id.and_then(|id| HeaderValue::from_bytes(&id[..id.len().min(AUDIT_ID)]).ok());
        let audit_id = audit_id.or_else(|| HeaderValue::from_str(&random::uuid(chance)).ok());
        Self {
            audit_id: audit_id.unwrap_or(HeaderValue::from_static("")),
            encoding: Encoding::choose(&parts.headers, parts.uri.query().unwrap_or_default(), false, true),
        }
    }

    /// Completes an answer.
    pub(crate) fn fulfil(self, mut response: Response) -> Response {
        if let Some(status) = response.extensions_mut().remove::<Status>()
            && let Some(encoding) = self.encoding
        {
            rewrite(&mut response, &status, encoding);
        }
        let headers = response.headers_mut();
        headers.insert(HeaderName::from_static("audit-id"), self.audit_id);
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
        response
    }
}

/// Gives a Status the form the client asked for; it was written as JSON.
fn rewrite(response: &mut Response, status: &Status, encoding: Encoding) {
    let body = match encoding.media {
        MediaType::Protobuf => encode::status_protobuf(&status.to_json()),
        MediaType::Json if !encoding.pretty => return,
        MediaType::Json | MediaType::Yaml => encode::finish(status.to_json(), encoding),
    };
    *response.body_mut() = Body::from(body);
    let content_type = HeaderValue::from_static(encoding.media.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
}

/// A whole body with its media type, compressed if it is large and the client likes.
pub(crate) fn whole(code: StatusCode, encoding: Encoding, body: Vec<u8>, request: &HeaderMap) -> Response {
    let body = Bytes::from(body);
    if body.len() < LARGE || !negotiation::accepts_gzip(request) {
        return crate::pipeline::respond(code, encoding, body.into());
    }
    compressed(crate::pipeline::respond(code, encoding, encode::gzip(std::iter::once(body))))
}

/// Says that the body is compressed.
pub(crate) fn compressed(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}
