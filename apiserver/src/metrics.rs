//! What the server counts, under the names and with the labels that Kubernetes gives it.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::{limits::InFlight, request_info::RequestInfo, storage::Storage, version};

mod process;
mod text;

pub(crate) use text::answer;

use process::Process;

const COMPONENT: &str = "apiserver";
/// Upper ends of the classes of time, in seconds.
const SECONDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];

/// What every count of requests is told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Target {
    component: &'static str,
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    #[prometheus(flatten)]
    target: Target,
    dry_run: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Finished {
    #[prometheus(flatten)]
    timed: Timed,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sort {
    request_kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stored {
    resource: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Check {
    name: &'static str,
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    git_version: String,
}

#[derive(Clone)]
struct Classes;

impl MetricConstructor<Histogram> for Classes {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

/// The server's counters.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Family<Finished, Counter>,
    durations: Family<Timed, Histogram, Classes>,
    terminations: Family<Finished, Counter>,
    long_running: Family<Target, Gauge>,
    in_flight: Family<Sort, Gauge>,
    objects: Family<Stored, Gauge>,
    healthy: Family<Check, Gauge>,
    build: Family<Build, Gauge>,
    process: Process,
}

/// One request that stays open, counted until dropped.
pub(crate) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Makes the counters known: all but those of health to `registry`, those to `indicators`.
    pub(crate) fn register(registry: &mut Registry, indicators: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(Classes),
            terminations: Family::default(),
            long_running: Family::default(),
            in_flight: Family::default(),
            objects: Family::default(),
            healthy: Family::default(),
            build: Family::default(),
            process: Process::default(),
        };
        registry.register("apiserver_request", "Requests that have come to their end", metrics.requests.clone());
        let help = "Time a request took, in seconds, those that stay open aside";
        registry.register("apiserver_request_duration_seconds", help, metrics.durations.clone());
        let help = "Requests that the server ended to protect itself";
        registry.register("apiserver_request_terminations", help, metrics.terminations.clone());
        let help = "Requests that stay open, such as watches";
        registry.register("apiserver_longrunning_requests", help, metrics.long_running.clone());
        let help = "Requests being served, those that stay open aside";
        registry.register("apiserver_current_inflight_requests", help, metrics.in_flight.clone());
        registry.register("apiserver_storage_objects", "Objects in the store", metrics.objects.clone());
        registry.register("kubernetes_build_info", "Always 1; the version stands in the labels", metrics.build.clone());
        metrics.build.get_or_create(&Build { git_version: version::git_version() }).set(1);
        metrics.process.register(registry);
        let help = "Whether a health check passes";
        indicators.register("kubernetes_healthcheck", help, metrics.healthy.clone());
        metrics
    }

    /// Counts a finished request. Only what exists is counted by name, so that nobody can make up labels.
    pub(crate) fn finished(&self, info: &RequestInfo, known: bool, code: u16, took: Duration) {
        let timed = Timed { target: target(info, known), dry_run: if info.dry_run { "All" } else { "" } };
        if !info.is_long_running() {
            self.durations.get_or_create(&timed).observe(took.as_secs_f64());
        }
        let finished = Finished { timed, code };
        self.requests.get_or_create(&finished).inc();
        if matches!(code, 429 | 504) {
            self.terminations.get_or_create(&finished).inc();
        }
    }

    /// Counts a request as long as it stays open.
    pub(crate) fn open(&self, info: &RequestInfo) -> Open {
        let gauge = self.long_running.get_or_create(&target(info, true)).clone();
        gauge.inc();
        Open(gauge)
    }

    /// Takes down what is counted by looking.
    pub(crate) fn look(&self, limits: &InFlight, storage: &Storage) {
        let (reads, writes) = limits.taken();
        for (request_kind, taken) in [("readOnly", reads), ("mutating", writes)] {
            self.in_flight.get_or_create(&Sort { request_kind }).set(taken);
        }
        self.process.look();
        let view = storage.view();
        for resource in storage.resources().iter().filter(|resource| resource.kind.stored) {
            if resource.kind.stored_as.is_some() {
                continue;
            }
            let name = api::status::Grouped::new(resource.kind.group, resource.kind.plural).to_string();
            let count = i64::try_from(view.count(resource.root.as_bytes())).unwrap_or(i64::MAX);
            self.objects.get_or_create(&Stored { resource: name }).set(count);
        }
    }

    /// Takes down whether the checks of an endpoint pass.
    pub(crate) fn checked(&self, endpoint: &'static str, checks: &[(&'static str, bool)]) {
        for (name, passed) in checks {
            self.healthy.get_or_create(&Check { name, r#type: endpoint }).set(i64::from(*passed));
        }
    }
}

fn target(info: &RequestInfo, known: bool) -> Target {
    let own = |text: &str| if known && info.is_resource { text.to_owned() } else { String::new() };
    let scope = match (info.is_resource, info.name.is_empty(), info.namespace.is_empty()) {
        (false, ..) => "",
        (true, false, _) => "resource",
        (true, true, false) => "namespace",
        (true, true, true) => "cluster",
    };
    Target {
        component: COMPONENT,
        verb: verb(info),
        group: own(&info.group),
        version: own(&info.version),
        resource: own(&info.resource),
        subresource: own(&info.subresource),
        scope,
    }
}

/// Writes are counted under HTTP's names, reads under Kubernetes'.
fn verb(info: &RequestInfo) -> &'static str {
    match info.verb {
        "list" => "LIST",
        "watch" => "WATCH",
        "get" | "head" => "GET",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" if info.applies => "APPLY",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn requests_are_counted_under_the_names_dashboards_ask_for() {
        let path = "/api/v1/namespaces/a/pods";
        for (method, path, expected) in [
            (Method::GET, path.to_owned(), "LIST namespace pods"),
            (Method::GET, "/api/v1/pods".to_owned(), "LIST cluster pods"),
            (Method::GET, format!("{path}?watch=1"), "WATCH namespace pods"),
            (Method::GET, format!("{path}/x"), "GET resource pods"),
            (Method::POST, path.to_owned(), "POST namespace pods"),
            (Method::PUT, format!("{path}/x"), "PUT resource pods"),
            (Method::DELETE, path.to_owned(), "DELETECOLLECTION namespace pods"),
            (Method::GET, "/version".to_owned(), "GET  "),
        ] {
            let target = target(&RequestInfo::new(&method, &path.parse().unwrap()), true);
            assert_eq!(format!("{} {} {}", target.verb, target.scope, target.resource), expected, "{path}");
        }
    }
}
