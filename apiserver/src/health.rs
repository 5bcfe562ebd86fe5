//! Health, metrics and token keys: the paths that tell how the server is.

use std::{sync::Arc, sync::atomic::Ordering};

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header, request::Parts};

use crate::{
    request_info::{RequestInfo, query_pairs},
    server::Server,
};

/// How far the local replica may be behind what it knows to be committed.
const MAX_LAG: u64 = 10_000;

/// Answers a health, metrics or key path.
pub(crate) fn path(server: &Arc<Server>, info: &RequestInfo, parts: &Parts) -> Option<Response> {
    let path = info.path.trim_end_matches('/');
    match path {
        "/metrics" => return Some(metrics(server)),
        "/openid/v1/jwks" => return Some(json("application/jwk-set+json", &server.keys.jwks())),
        "/.well-known/openid-configuration" => {
            let uri = format!("https://{}:{}/openid/v1/jwks", server.config.advertise_address, server.config.port);
            return Some(json("application/json", &server.keys.discovery(&uri)));
        }
        _ => {}
    }
    let (endpoint, only) = path.strip_prefix('/')?.split_once('/').unwrap_or((&path[1..], ""));
    // Being alive needs nothing but this answer: a server without a quorum must not be restarted for it.
    let checks = match endpoint {
        "livez" => vec![("ping", true)],
        "readyz" | "healthz" => server.checks(endpoint == "readyz"),
        _ => return None,
    };
    let query = parts.uri.query().unwrap_or_default();
    let excluded: Vec<String> =
        query_pairs(query).filter(|(key, _)| key == "exclude").map(|(_, value)| value).collect();
    let verbose = query_pairs(query).any(|(key, _)| key == "verbose");
    if !only.is_empty() && !checks.iter().any(|(name, _)| *name == only) {
        return None;
    }
    let considered = checks.iter().filter(|(name, _)| only.is_empty() || *name == only);
    Some(report(endpoint, considered, &excluded, verbose))
}

fn report<'a>(
    endpoint: &str,
    checks: impl Iterator<Item = &'a (&'static str, bool)>,
    excluded: &[String],
    verbose: bool,
) -> Response {
    let (mut lines, mut healthy) = (String::new(), true);
    for (name, passed) in checks {
        if excluded.iter().any(|excluded| excluded == name) {
            lines.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if *passed {
            lines.push_str(&format!("[+]{name} ok\n"));
        } else {
            healthy = false;
            lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
        }
    }
    let (code, text) = match (healthy, verbose) {
        (true, false) => (StatusCode::OK, "ok".to_owned()),
        (true, true) => (StatusCode::OK, format!("{lines}{endpoint} check passed\n")),
        (false, _) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{endpoint} check failed\n")),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

impl Server {
    /// Every check with its result.
    fn checks(&self, readiness: bool) -> Vec<(&'static str, bool)> {
        let leader = self.storage.store().leadership().borrow().leader.is_some();
        let status = self.storage.store().status();
        let mut checks = vec![("ping", true), ("etcd", leader)];
        if readiness {
            checks.push((
                "etcd-readiness",
                leader && status.committed_index.saturating_sub(status.applied_index) <= MAX_LAG,
            ));
            checks.push(("poststarthook/rbac/bootstrap-roles", self.readiness.roles_loaded()));
            let system_objects = self.readiness.system_objects.load(Ordering::Acquire);
            checks.push(("poststarthook/start-system-namespaces-controller", system_objects));
            let definitions = self.readiness.definitions.load(Ordering::Acquire);
            checks.push(("poststarthook/crd-informer-synced", definitions));
            checks.push(("shutdown", !self.shutdown.is_cancelled()));
        }
        checks
    }

    /// The names of the readiness checks that fail.
    pub(crate) fn failing_checks(&self) -> Vec<&'static str> {
        self.checks(true).into_iter().filter(|(_, passed)| !passed).map(|(name, _)| name).collect()
    }
}

fn metrics(server: &Server) -> Response {
    let mut text = String::new();
    if prometheus_client::encoding::text::encode(&mut text, &server.registry).is_err() {
        text.clear();
    }
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn json(kind: &'static str, value: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
