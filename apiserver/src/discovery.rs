//! Which groups, versions and resources there are: one document an API path, or all in two aggregated ones.
//!
//! Everything is made from a [`Catalog`] once and kept with it. Clients that ask for the aggregated form get it with an entity tag;
//! anyone else gets the plain form in JSON, whatever else they accept: clients fall back to JSON here.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use api::kind::{Kind, Scope};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use crate::bootstrap::defaults;
use crate::catalog::{Catalog, Group};
use crate::health;
use crate::request_info::RequestInfo;

/// Versions of the aggregated form; kubectl up to 1.29 asks for the second.
const AGGREGATED_VERSIONS: [(&str, &str); 2] = [
    ("v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    ("v2beta1", "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"),
];
/// Besides those of [`crate::health`].
const OTHER_PATHS: [&str; 6] = ["/api", "/apis", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/version"];

/// A document that never changes.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) body: Bytes,
    /// In quotes, as the header has it.
    pub(crate) tag: HeaderValue,
}

impl Document {
    /// Keeps a body with the hash of its content.
    pub(crate) fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let hash = hash(&body);
        let tag = HeaderValue::from_str(&format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { body, tag }
    }

    /// The whole document, or 304 if the client has it.
    pub(crate) fn answer(&self, content_type: &'static str, headers: &HeaderMap) -> Response {
        let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|given| given == self.tag);
        let mut response = if known {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            let mut response = Response::new(Body::from(self.body.clone()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            response
        };
        response.headers_mut().insert(header::ETAG, self.tag.clone());
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        response
    }
}

/// Upper-case hexadecimal SHA-512, as clients see it in tags and in URLs.
pub(crate) fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha512::digest(bytes).iter().fold(String::with_capacity(128), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02X}").unwrap_or_default();
        text
    })
}

/// All documents of a catalog.
pub(crate) struct Documents {
    /// By path, without a slash at the end.
    plain: BTreeMap<String, Document>,
    /// By path and version.
    aggregated: BTreeMap<(&'static str, &'static str), Document>,
}

impl Documents {
    fn new(catalog: &Catalog) -> Self {
        let mut plain: BTreeMap<String, Value> = BTreeMap::new();
        plain.insert(
            "/api".to_owned(),
            json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] }),
        );
        let named = in_order(catalog).into_iter().filter(|(group, _)| !group.is_empty());
        let groups: Vec<Value> = named.map(|(group, versions)| group_value(group, versions)).collect();
        plain.insert("/apis".to_owned(), json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }));
        for (group, versions) in catalog.groups() {
            if !group.is_empty() {
                let mut value = group_value(group, versions);
                value["kind"] = "APIGroup".into();
                value["apiVersion"] = "v1".into();
                plain.insert(format!("/apis/{group}"), value);
            }
            for version in versions {
                let kinds = catalog.in_version(group, version);
                plain.insert(version_path(group, version), resource_list(group, version, &kinds));
            }
        }
        let mut paths: Vec<&str> = plain.keys().map(String::as_str).chain(OTHER_PATHS).chain(health::PATHS).collect();
        paths.sort_unstable();
        paths.dedup();
        let root = json!({ "paths": paths });
        plain.insert(String::new(), root);
        let plain = plain.into_iter().map(|(path, value)| (path, Document::new(value.to_string()))).collect();
        let mut aggregated = BTreeMap::new();
        for (version, _) in AGGREGATED_VERSIONS {
            for path in ["/api", "/apis"] {
                aggregated.insert((path, version), Document::new(aggregate(catalog, path, version).to_string()));
            }
        }
        Self { plain, aggregated }
    }
}

/// The groups as clients shall prefer them, those of one priority by name.
fn in_order(catalog: &Catalog) -> Vec<&Group> {
    let mut groups = Vec::from_iter(catalog.groups());
    groups.sort_by_key(|(group, _)| (Reverse(defaults::group_priority(group)), *group));
    groups
}

/// Answers the root and everything below `/api` and `/apis` that is no resource; nothing for any other path.
pub(crate) fn path(catalog: &Catalog, info: &RequestInfo, parts: &Parts) -> Option<Response> {
    let path = info.path.trim_end_matches('/');
    let documents = catalog.discovery.get_or_init(|| Documents::new(catalog));
    for accepted in accepted(&parts.headers) {
        for (version, content_type) in AGGREGATED_VERSIONS {
            if accepted == content_type
                && let Some(document) = documents.aggregated.get(&(path, version))
            {
                return Some(document.answer(content_type, &parts.headers));
            }
        }
    }
    let document = documents.plain.get(path)?;
    Some(document.answer("application/json", &parts.headers))
}

/// What the client accepts, in its own order, without spaces and weights.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let types = values.flat_map(|value| value.split(','));
    types.map(|given| {
        let parts = given.split(';').map(str::trim).filter(|part| !part.starts_with("q="));
        parts.collect::<Vec<_>>().join(";")
    })
}

/// `/api/v1` or `/apis/<group>/<version>`.
pub(crate) fn version_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn group_value(group: &str, versions: &[&str]) -> Value {
    let version = |version: &&str| json!({ "groupVersion": group_version(group, version), "version": version });
    let versions: Vec<Value> = versions.iter().map(version).collect();
    json!({ "name": group, "preferredVersion": versions.first(), "versions": versions })
}

fn resource_list(group: &str, version: &str, kinds: &[&Kind]) -> Value {
    let mut resources: Vec<Value> = Vec::new();
    for kind in kinds {
        let mut resource = json!({
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.is_namespaced(),
            "kind": kind.kind,
            "verbs": kind.verbs,
        });
        add_names(&mut resource, kind);
        resources.push(resource);
        for subresource in kind.subresources {
            let mut value = json!({
                "name": format!("{}/{}", kind.plural, subresource.name),
                "singularName": "",
                "namespaced": kind.is_namespaced(),
                "kind": subresource.kind,
                "verbs": subresource.verbs,
            });
            if !subresource.version.is_empty() {
                value["version"] = subresource.version.into();
                if !subresource.group.is_empty() {
                    value["group"] = subresource.group.into();
                }
            }
            resources.push(value);
        }
    }
    let mut list =
        json!({ "kind": "APIResourceList", "groupVersion": group_version(group, version), "resources": resources });
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    list
}

fn add_names(resource: &mut Value, kind: &Kind) {
    if !kind.short_names.is_empty() {
        resource["shortNames"] = kind.short_names.into();
    }
    if !kind.categories.is_empty() {
        resource["categories"] = kind.categories.into();
    }
}

fn aggregate(catalog: &Catalog, path: &str, api_version: &str) -> Value {
    let groups = in_order(catalog).into_iter().filter(|(group, _)| group.is_empty() == (path == "/api"));
    let items: Vec<Value> = groups
        .map(|(group, versions)| {
            let metadata = if group.is_empty() {
                json!({ "creationTimestamp": null })
            } else {
                json!({ "name": group, "creationTimestamp": null })
            };
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| aggregate_version(group, version, &catalog.in_version(group, version)))
                .collect();
            json!({ "metadata": metadata, "versions": versions })
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{api_version}"),
        "metadata": {},
        "items": items,
    })
}

fn aggregate_version(group: &str, version: &str, kinds: &[&Kind]) -> Value {
    let resource = |kind: &&Kind| {
        let scope = if kind.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" };
        let mut value = json!({
            "resource": kind.plural,
            "responseKind": { "group": group, "version": version, "kind": kind.kind },
            "scope": scope,
            "singularResource": kind.singular,
            "verbs": kind.verbs,
        });
        add_names(&mut value, kind);
        let subresources: Vec<Value> = kind
            .subresources
            .iter()
            .map(|subresource| {
                let (group, version) = match subresource.version {
                    "" => (group, version),
                    version => (subresource.group, version),
                };
                json!({
                    "subresource": subresource.name,
                    "responseKind": { "group": group, "version": version, "kind": subresource.kind },
                    "verbs": subresource.verbs,
                })
            })
            .collect();
        if !subresources.is_empty() {
            value["subresources"] = subresources.into();
        }
        value
    };
    let resources: Vec<Value> = kinds.iter().map(resource).collect();
    json!({ "version": version, "resources": resources, "freshness": "Current" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::BY_DEFAULT;
    use http::{Method, Request};

    fn get(path_and_query: &str, headers: &[(&str, &str)]) -> Option<Response> {
        let mut request = Request::get(path_and_query);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        path(&BY_DEFAULT, &RequestInfo::new(&Method::GET, &parts.uri), &parts)
    }

    fn content_type(response: &Response) -> &str {
        response.headers().get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn every_path_of_the_root_document_is_answered_or_somebody_elses() {
        let root: Value = serde_json::from_slice(&Documents::new(&BY_DEFAULT).plain[""].body).unwrap();
        for listed in root["paths"].as_array().unwrap() {
            let listed = listed.as_str().unwrap();
            let own = listed.starts_with("/api");
            assert_eq!(get(listed, &[]).is_some(), own, "{listed}");
        }
        assert!(get("/apis/none.example.com", &[]).is_none());
        assert!(get("/apis/apps/v9", &[]).is_none());
    }

    #[test]
    fn the_aggregated_form_is_given_to_those_who_ask() {
        let old = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        let new = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList, application/json";
        for (accept, want) in [
            (new, AGGREGATED_VERSIONS[0].1),
            (old, AGGREGATED_VERSIONS[1].1),
            ("application/json, */*", "application/json"),
            ("application/vnd.kubernetes.protobuf", "application/json"),
        ] {
            let response = get("/apis", &[("accept", accept)]).unwrap();
            assert_eq!(content_type(&response), want);
            let tag = response.headers()[header::ETAG].to_str().unwrap().to_owned();
            let again = get("/apis", &[("accept", accept), ("if-none-match", &tag)]).unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        }
        // A version is never aggregated.
        assert_eq!(content_type(&get("/apis/apps/v1", &[("accept", new)]).unwrap()), "application/json");
    }

    #[test]
    fn resources_are_listed_with_their_subresources() {
        let list = resource_list("apps", "v1", api::kind::in_version("apps", "v1"));
        let names: Vec<&str> =
            list["resources"].as_array().unwrap().iter().map(|resource| resource["name"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "controllerrevisions",
                "daemonsets",
                "daemonsets/status",
                "deployments",
                "deployments/scale",
                "deployments/status",
                "replicasets",
                "replicasets/scale",
                "replicasets/status",
                "statefulsets",
                "statefulsets/scale",
                "statefulsets/status"
            ]
        );
        assert_eq!(list["resources"][4]["group"], "autoscaling");
        assert!(api::kind::KINDS.iter().all(|kind| !kind.verbs.is_empty()));
    }
}
