//! The shapes of all objects and operations, as OpenAPI documents: what `kubectl explain` shows and what `kubectl
//! apply` checks and merges with.
//!
//! Shapes come from the schema tables and from users' definitions, operations from the kinds, sentences from `k8s-openapi`. Version 3 is one
//! document a group version behind an index of hashes; version 2 is one document, as JSON or as protobuf. All are made
//! at the first request for their version and kept.

use std::collections::BTreeMap;

use api::kind::Kind;
use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::discovery::{Document, hash, version_path};
use crate::request_info::RequestInfo;

mod custom;
mod definitions;
mod descriptions;
mod gnostic;
mod operations;

/// How long a document whose hash is in its URL stays good.
const IMMUTABLE_FOR: SignedDuration = SignedDuration::from_hours(365 * 24);
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// What clients write in Accept for it; `@` and `.` have both been used before the version.
const V2_PROTOBUF_ACCEPTED: &str = "application/com.github.proto-openapi.spec.v2";

/// The two dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    V2,
    V3,
}

impl Dialect {
    /// Refers to a definition.
    fn reference(self, name: &str) -> Value {
        match self {
            Self::V2 => json!({ "$ref": format!("#/definitions/{name}") }),
            Self::V3 => json!({ "$ref": format!("#/components/schemas/{name}") }),
        }
    }
}

/// The document of one group version, with its hash.
pub(crate) type Version = (Document, String);

/// Version 2 in both its codecs.
pub(crate) struct V2 {
    json: Document,
    protobuf: Document,
}

/// Which objects have the shapes of the tables, by the name of the definition.
pub(crate) type KindsOfShapes = BTreeMap<String, Value>;

fn hashed(document: Value) -> Version {
    let body = document.to_string();
    let hash = hash(body.as_bytes());
    (Document::new(body), hash)
}

/// The document of a group version.
fn version<'c>(catalog: &'c Catalog, group: &str, version: &str) -> Option<&'c Version> {
    let ((group, version), document) = catalog.v3.iter().find(|(key, _)| **key == (group, version))?;
    Some(document.get_or_init(|| hashed(v3_document(catalog, group, version))))
}

fn v3_index(catalog: &Catalog) -> Document {
    let mut index = serde_json::Map::new();
    for (group, versions) in catalog.groups() {
        for own in versions {
            let Some((_, hash)) = version(catalog, group, own) else { continue };
            let path = version_path(group, own)[1..].to_owned();
            let url = format!("/openapi/v3/{path}?hash={hash}");
            index.insert(path, json!({ "serverRelativeURL": url }));
        }
    }
    Document::new(json!({ "paths": index }).to_string())
}

fn v2_documents(catalog: &Catalog) -> V2 {
    let document = v2_document(catalog);
    V2 { json: Document::new(document.to_string()), protobuf: Document::new(gnostic::encode(&document)) }
}

fn information() -> Value {
    json!({ "title": "Kubernetes", "version": crate::version::git_version() })
}

fn of_shapes(catalog: &Catalog) -> &KindsOfShapes {
    catalog.of_shapes.get_or_init(|| definitions::kinds_of_shapes(catalog.built_in()))
}

fn v3_document(catalog: &Catalog, group: &str, version: &str) -> Value {
    let mut used = definitions::Used::with(catalog.custom_in(group, version));
    let paths = operations::paths(&catalog.in_version(group, version), Dialect::V3, &mut used);
    let schemas = definitions::all(used, of_shapes(catalog), Dialect::V3);
    let token = json!({ "BearerToken": {
        "type": "apiKey", "name": "authorization", "in": "header", "description": "A bearer token",
    } });
    json!({
        "openapi": "3.0.0",
        "info": information(),
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": token },
    })
}

fn v2_document(catalog: &Catalog) -> Value {
    let mut used = definitions::Used::with(catalog.custom().iter());
    let custom = catalog.custom().iter().map(|custom| custom.kind);
    let kinds: Vec<&Kind> = catalog.built_in().iter().copied().chain(custom).collect();
    let paths = operations::paths(&kinds, Dialect::V2, &mut used);
    let definitions = definitions::all(used, of_shapes(catalog), Dialect::V2);
    json!({ "swagger": "2.0", "info": information(), "paths": paths, "definitions": definitions })
}

/// Answers `/openapi/v2`, `/openapi/v3` and what is below it; nothing for any other path.
pub(crate) fn path(catalog: &Catalog, info: &RequestInfo, parts: &Parts) -> Option<Response> {
    match info.path.trim_end_matches('/') {
        "/openapi/v2" => Some(v2(catalog, &parts.headers)),
        "/openapi/v3" => {
            let index = catalog.v3_index.get_or_init(|| v3_index(catalog));
            Some(index.answer("text/plain; charset=utf-8", &parts.headers))
        }
        path => {
            let path = path.strip_prefix("/openapi/v3/")?;
            let (group, own) = match path.split_once('/')? {
                ("api", version) => ("", version),
                ("apis", rest) => rest.split_once('/')?,
                _ => return None,
            };
            let (document, hash) = version(catalog, group, own)?;
            Some(v3(path, document, hash, parts))
        }
    }
}

fn v2(catalog: &Catalog, headers: &HeaderMap) -> Response {
    let documents = catalog.v2.get_or_init(|| v2_documents(catalog));
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepts.into_iter().any(|value| value.contains(V2_PROTOBUF_ACCEPTED)) {
        documents.protobuf.answer(V2_PROTOBUF, headers)
    } else {
        documents.json.answer("application/json", headers)
    }
}

/// A URL with the right hash never changes its content; one with a wrong hash leads to the right one.
fn v3(path: &str, document: &Document, hash: &str, parts: &Parts) -> Response {
    let query = parts.uri.query().unwrap_or_default();
    match query.split('&').find_map(|pair| pair.strip_prefix("hash=")) {
        Some(given) if given == hash => {
            let mut response = document.answer("application/json", &parts.headers);
            let expires = (api::clock::now() + IMMUTABLE_FOR).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            set(&mut response, header::CACHE_CONTROL, "public, immutable");
            set(&mut response, header::EXPIRES, &expires);
            response
        }
        Some(_) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
            set(&mut response, header::LOCATION, &format!("/openapi/v3/{path}?hash={hash}"));
            response
        }
        None => document.answer("application/json", &parts.headers),
    }
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests;
