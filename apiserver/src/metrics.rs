//! What the server counts, under the names Kubernetes gives it.

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

use crate::request_info::RequestInfo;

/// The labels of a finished request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    group: String,
    version: String,
    resource: String,
}

#[derive(Clone)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.001, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0])
    }
}

/// The server's counters.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Family<Request, Counter>,
    durations: Family<Timed, Histogram, Seconds>,
    watches: Family<Watched, Gauge>,
    rejected: Counter,
}

/// One open watch, counted until dropped.
pub(crate) struct OpenWatch(Gauge);

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Makes the counters known to `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(Seconds),
            watches: Family::default(),
            rejected: Counter::default(),
        };
        registry.register("apiserver_request", "Requests by verb, resource and code", metrics.requests.clone());
        let help = "Time a request took, in seconds, watches aside";
        registry.register("apiserver_request_duration_seconds", help, metrics.durations.clone());
        registry.register("apiserver_longrunning_requests", "Watches that are open", metrics.watches.clone());
        let help = "Requests refused because too many were in flight";
        registry.register("apiserver_rejected_requests", help, metrics.rejected.clone());
        metrics
    }

    /// Counts a finished request. Only what exists is counted by name, so that nobody can make up labels.
    pub(crate) fn finished(&self, info: &RequestInfo, known: bool, code: u16, took: Duration) {
        let own = |text: &str| if known { text.to_owned() } else { String::new() };
        let scope = match (info.is_resource, info.namespace.is_empty()) {
            (false, _) => "",
            (true, true) => "cluster",
            (true, false) if info.name.is_empty() => "namespace",
            (true, false) => "resource",
        };
        let timed = Timed {
            verb: info.verb.to_ascii_uppercase(),
            group: own(&info.group),
            version: own(&info.version),
            resource: own(&info.resource),
            subresource: own(&info.subresource),
            scope,
        };
        if !info.is_long_running() {
            self.durations.get_or_create(&timed).observe(took.as_secs_f64());
        }
        let Timed { verb, group, version, resource, subresource, scope } = timed;
        let request = Request { verb, group, version, resource, subresource, scope, code };
        self.requests.get_or_create(&request).inc();
    }

    /// Counts a request that found no place.
    pub(crate) fn rejected(&self) {
        self.rejected.inc();
    }

    /// Counts a watch as long as it is open.
    pub(crate) fn watch(&self, info: &RequestInfo) -> OpenWatch {
        let labels =
            Watched { group: info.group.clone(), version: info.version.clone(), resource: info.resource.clone() };
        let gauge = self.watches.get_or_create(&labels).clone();
        gauge.inc();
        OpenWatch(gauge)
    }
}
