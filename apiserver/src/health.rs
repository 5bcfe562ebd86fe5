//! Health, metrics and token keys: the paths that tell how the server is.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header, request::Parts};

use crate::{
    metrics,
    request_info::{RequestInfo, query_pairs},
    server::Server,
};

/// How far the local replica may be behind what it knows to be committed.
const MAX_LAG: u64 = 10_000;
/// A flush takes a millisecond or ten. Who writes through a master whose disk stalls waits for as long as it does, since the answer
/// comes once the write is applied there: it is better off with another master.
const STALLED: Duration = Duration::from_secs(1);
const ENDPOINTS: [&str; 3] = ["healthz", "livez", "readyz"];

/// The paths of single checks, and of what else this module answers.
pub(crate) const PATHS: [&str; 17] = [
    "/.well-known/openid-configuration",
    "/healthz",
    "/healthz/etcd",
    "/healthz/ping",
    "/livez",
    "/livez/ping",
    "/metrics",
    "/metrics/slis",
    "/openid/v1/jwks",
    "/readyz",
    "/readyz/etcd",
    "/readyz/etcd-readiness",
    "/readyz/ping",
    "/readyz/poststarthook/crd-informer-synced",
    "/readyz/poststarthook/rbac/bootstrap-roles",
    "/readyz/poststarthook/start-system-namespaces-controller",
    "/readyz/shutdown",
];

/// One thing that is looked at: its name, and what is wrong if something is.
type Check = (&'static str, Result<(), &'static str>);

/// Answers a health, metrics or key path.
pub(crate) fn path(server: &Arc<Server>, info: &RequestInfo, parts: &Parts) -> Option<Response> {
    let path = info.path.trim_end_matches('/');
    match path {
        "/metrics" => {
            server.metrics.look(&server.limits, &server.storage);
            return Some(metrics::answer(&server.registry, &parts.headers));
        }
        "/metrics/slis" => {
            for endpoint in ENDPOINTS {
                let checks = server.checks(endpoint).into_iter().map(|(name, passed)| (name, passed.is_ok()));
                server.metrics.checked(endpoint, &Vec::from_iter(checks));
            }
            return Some(metrics::answer(&server.indicators, &parts.headers));
        }
        "/openid/v1/jwks" => return Some(json("application/jwk-set+json", &server.keys.jwks())),
        "/.well-known/openid-configuration" => {
            let uri = format!("https://{}:{}/openid/v1/jwks", server.config.advertise_address, server.config.port);
            return Some(json("application/json", &server.keys.discovery(&uri)));
        }
        _ => {}
    }
    let (endpoint, only) = path.strip_prefix('/')?.split_once('/').unwrap_or((path.get(1..)?, ""));
    let endpoint = ENDPOINTS.into_iter().find(|known| *known == endpoint)?;
    let checks = server.checks(endpoint);
    if !only.is_empty() {
        let (_, passed) = checks.into_iter().find(|(name, _)| *name == only)?;
        return Some(match passed {
            Ok(()) => plain(StatusCode::OK, "ok"),
            Err(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
        });
    }
    let query = parts.uri.query().unwrap_or_default();
    let excluded = query_pairs(query).filter(|(key, _)| key == "exclude").map(|(_, value)| value).collect();
    let verbose = query_pairs(query).any(|(key, _)| key == "verbose");
    let (healthy, lines) = report(&checks, excluded);
    Some(match (healthy, verbose) {
        (true, false) => plain(StatusCode::OK, "ok"),
        (true, true) => plain(StatusCode::OK, format!("{lines}{endpoint} check passed\n")),
        (false, _) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{endpoint} check failed\n")),
    })
}

/// One line a check, and whether all that are not left out pass. Why one fails is for who asks for it alone.
fn report(checks: &[Check], mut excluded: BTreeSet<String>) -> (bool, String) {
    let (mut healthy, mut lines) = (true, String::new());
    for (name, passed) in checks {
        if excluded.remove(*name) {
            lines.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if passed.is_ok() {
            lines.push_str(&format!("[+]{name} ok\n"));
        } else {
            healthy = false;
            lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
        }
    }
    if !excluded.is_empty() {
        let unknown: Vec<String> = excluded.iter().map(|name| api::validation::quoted(name)).collect();
        let unknown = unknown.join(",");
        lines.push_str(&format!("warn: some health checks cannot be excluded: no matches for {unknown}\n"));
    }
    (healthy, lines)
}

impl Server {
    /// Every check of an endpoint with its result. Being alive needs nothing but an answer: a server without a quorum
    /// must not be restarted for it.
    fn checks(&self, endpoint: &str) -> Vec<Check> {
        let mut checks = vec![("ping", Ok(()))];
        if endpoint == "livez" {
            return checks;
        }
        let pass = |passed: bool, why: &'static str| if passed { Ok(()) } else { Err(why) };
        let leader = self.storage.store().leadership().borrow().leader.is_some();
        checks.push(("etcd", pass(leader, "the store has no leader")));
        if endpoint == "readyz" {
            let status = self.storage.store().status();
            let near = status.committed_index.saturating_sub(status.applied_index) <= MAX_LAG;
            let flushed =
                pass(status.fsync_pending < STALLED, "the local disk stalls: a flush of the log does not end");
            let replica = flushed.and(pass(leader && near, "the local replica is far behind"));
            checks.push(("etcd-readiness", replica));
            let roles = pass(self.readiness.roles_loaded(), "roles and bindings have not been read yet");
            checks.push(("poststarthook/rbac/bootstrap-roles", roles));
            let system_objects = self.readiness.system_objects.load(Ordering::Acquire);
            let system_objects = pass(system_objects, "system objects are not there yet");
            checks.push(("poststarthook/start-system-namespaces-controller", system_objects));
            let definitions = self.readiness.definitions.load(Ordering::Acquire);
            let definitions = pass(definitions, "custom resource definitions have not been read yet");
            checks.push(("poststarthook/crd-informer-synced", definitions));
            checks.push(("shutdown", pass(!self.shutdown.is_cancelled(), "process is shutting down")));
        }
        checks
    }

    /// The names of the readiness checks that fail.
    pub(crate) fn failing_checks(&self) -> Vec<&'static str> {
        self.checks("readyz").into_iter().filter(|(_, passed)| passed.is_err()).map(|(name, _)| name).collect()
    }
}

fn plain(code: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

fn json(kind: &'static str, value: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_read_as_upstream_writes_them() {
        let checks = [("ping", Ok(())), ("etcd", Err("no leader")), ("shutdown", Ok(()))];
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let failed = "[+]ping ok\n[-]etcd failed: reason withheld\n[+]shutdown ok\n";
        assert_eq!(report(&checks, names(&[])), (false, failed.to_owned()));
        let excluded = "[+]ping ok\n[+]etcd excluded: ok\n[+]shutdown ok\n";
        assert_eq!(report(&checks, names(&["etcd"])), (true, excluded.to_owned()));
        let unknown = format!("{excluded}warn: some health checks cannot be excluded: no matches for \"a\",\"b\"\n");
        assert_eq!(report(&checks, names(&["b", "etcd", "a"])), (true, unknown));
    }
}
