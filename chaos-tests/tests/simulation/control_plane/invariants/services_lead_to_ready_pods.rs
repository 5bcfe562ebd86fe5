//! Once nothing is wrong any more, the proxy of every node leads a Service's connections to all pods of it that run, and to none
//! that is gone, within [`LAG`] of every change.
//!
//! What runs is what the nodes say that they did, not what the store says of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddrV4,
    sync::Arc,
    time::Duration,
};

use node_agent::Destinations;
use tokio::time::Instant;

use super::Evidence;
use crate::{
    control_plane::{
        lives::Life,
        routes::frontends,
        tale::{Object, Tale},
        workload::TARGET_PORT,
    },
    network::Place,
};

/// From the start or the end of a pod, or from a change of a Service, until every node's proxy knows.
const LAG: Duration = Duration::from_secs(3);
/// How often a run is looked at.
const STEP: Duration = Duration::from_millis(200);

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let (services, pods) = (services(&evidence.tale), pods(&evidence.tale));
    let Some(end) = evidence.tale.events.last().map(|event| event.at) else { return Ok(()) };
    let mut now = evidence.started + evidence.calm;
    while now <= end {
        let moment = Moment { now, services: &services, pods: &pods, lives: &evidence.lives };
        for (node, programmed) in &evidence.routes {
            let until_now = programmed.partition_point(|(at, _)| *at <= now);
            let Some((_, routes)) = programmed[..until_now].last() else { continue };
            moment.check(*node, routes).map_err(|what| {
                format!("{:.1} s after the start, node {node} {what}", (now - evidence.started).as_secs_f64())
            })?;
        }
        now += STEP;
    }
    Ok(())
}

/// A Service's versions, each with its beginning; none after its end.
type Versions = Vec<(Instant, Option<Arc<Object>>)>;

/// By uid.
fn services(tale: &Tale) -> BTreeMap<String, Versions> {
    let mut services: BTreeMap<String, Versions> = BTreeMap::new();
    for event in tale.of_kind("services/") {
        for gone in event.before.iter().filter(|before| event.after.as_ref().is_none_or(|it| it.uid() != before.uid()))
        {
            services.entry(gone.uid().to_owned()).or_default().push((event.at, None));
        }
        if let Some(after) = &event.after {
            // With one that is on its way out its endpoints go, some time before or after it.
            let version = Some(after.clone()).filter(|service| !service.is_deleting());
            services.entry(after.uid().to_owned()).or_default().push((event.at, version));
        }
    }
    services
}

/// What is known of a pod.
struct Pod {
    object: Arc<Object>,
    leaving: Option<Instant>,
}

/// By uid.
fn pods(tale: &Tale) -> BTreeMap<String, Pod> {
    let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
    for event in tale.of_kind("pods/") {
        let Some(object) = event.after.as_ref().or(event.before.as_ref()) else { continue };
        let pod = pods.entry(object.uid().to_owned()).or_insert_with(|| Pod { object: object.clone(), leaving: None });
        if event.after.as_ref().is_none_or(|after| after.is_deleting()) {
            pod.leaving.get_or_insert(event.at);
        }
    }
    pods
}

struct Moment<'a> {
    now: Instant,
    services: &'a BTreeMap<String, Versions>,
    pods: &'a BTreeMap<String, Pod>,
    lives: &'a [Life],
}

impl Moment<'_> {
    fn check(&self, node: Place, routes: &Destinations) -> Result<(), String> {
        let mut known = BTreeSet::new();
        for versions in self.services.values() {
            let lately = self.lately(versions);
            let Some(service) = lately.iter().copied().flatten().next() else { continue };
            let name = &service.json["metadata"]["name"];
            let (may, must) = (self.led_to(&lately, false), self.led_to(&lately, true));
            for frontend in frontends(service, node) {
                known.insert(frontend);
                let Some(to) = routes.get(&frontend) else {
                    if lately.iter().all(Option::is_some) {
                        return Err(format!("does not know {frontend} of Service {name}"));
                    }
                    continue;
                };
                // One without a selector is led by whoever writes its endpoints.
                if service.json["spec"]["selector"].is_null() {
                    continue;
                }
                if let Some(gone) = to.difference(&may).next() {
                    return Err(format!(
                        "leads {frontend} of Service {name} to {gone}, where no pod of it has run lately"
                    ));
                }
                if let Some(missed) = must.difference(to).next() {
                    return Err(format!(
                        "does not lead {frontend} of Service {name} to {missed}, where a pod of it runs"
                    ));
                }
            }
        }
        match routes.keys().find(|frontend| !known.contains(*frontend)) {
            Some(frontend) => Err(format!("leads {frontend} somewhere, which no Service has")),
            None => Ok(()),
        }
    }

    fn since(&self) -> Instant {
        self.now - LAG
    }

    /// The versions that a Service had within the lag; one is none where it was not there.
    fn lately<'a>(&self, versions: &'a Versions) -> Vec<Option<&'a Object>> {
        let first = versions.partition_point(|(at, _)| *at <= self.since());
        let last = versions.partition_point(|(at, _)| *at <= self.now);
        let before = first.checked_sub(1).and_then(|before| versions[before].1.as_deref());
        [before].into_iter().chain(versions[first..last].iter().map(|(_, version)| version.as_deref())).collect()
    }

    /// Where the Service leads: wherever one of its pods was within the lag, or only where one was all the time.
    fn led_to(&self, versions: &[Option<&Object>], all_the_time: bool) -> BTreeSet<SocketAddrV4> {
        let is_there = |life: &&Life| {
            let Some(pod) = self.pods.get(&life.uid) else { return false };
            let selected = |version: &Option<&Object>| version.is_some_and(|it| selects(it, &pod.object));
            if all_the_time {
                let lived = life.from <= self.since() && life.until.is_none_or(|until| until > self.now);
                lived && pod.leaving.is_none_or(|at| at > self.now) && versions.iter().all(selected)
            } else {
                let lived = life.from <= self.now && life.until.is_none_or(|until| until >= self.since());
                lived && versions.iter().any(selected)
            }
        };
        self.lives.iter().filter(is_there).map(|life| SocketAddrV4::new(life.address, TARGET_PORT)).collect()
    }
}

fn selects(service: &Object, pod: &Object) -> bool {
    let labels = &pod.json["metadata"]["labels"];
    service.json["metadata"]["namespace"] == pod.json["metadata"]["namespace"]
        && service.json["spec"]["selector"]
            .as_object()
            .is_some_and(|selector| selector.iter().all(|(label, value)| labels[label] == *value))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::control_plane::{node::FIRST_NODE, tale::Event, workload::PORT};

    const SERVICE: ([u8; 4], u16) = ([10, 96, 0, 7], PORT);

    fn at(place: ([u8; 4], u16)) -> SocketAddrV4 {
        SocketAddrV4::new(place.0.into(), place.1)
    }

    fn made(at: Instant, kind: &str, name: &str, spec: Value) -> Event {
        let labels = json!({"app": "web"});
        let metadata = json!({"name": name, "namespace": "a", "uid": name, "labels": labels});
        let object = Object { revision: 1, json: json!({"metadata": metadata, "spec": spec}) };
        Event { revision: 1, at, key: format!("{kind}/a/{name}"), before: None, after: Some(Arc::new(object)) }
    }

    /// A run of 20 s with a Service, a pod that lives for a time of it, and a proxy that leads to it for a time.
    fn is_kept(lives: (u64, Option<u64>), led: (u64, Option<u64>)) -> bool {
        let begun = Instant::now();
        let second = |second: u64| begun + Duration::from_secs(second);
        let spec = json!({"clusterIP": "10.96.0.7", "selector": {"app": "web"}, "ports": [{"port": PORT}]});
        let events = vec![
            made(begun, "services", "web", spec),
            made(begun, "pods", "web-0", json!({})),
            made(second(20), "configmaps", "the-end", json!({})),
        ];
        let life = Life {
            node: FIRST_NODE,
            pod: "a/web-0".to_owned(),
            uid: "web-0".to_owned(),
            address: [10, 244, 0, 2].into(),
            from: second(lives.0),
            until: lives.1.map(second),
        };
        let to = |endpoints: &[SocketAddrV4]| -> Destinations {
            [(at(SERVICE), endpoints.iter().copied().collect())].into()
        };
        let mut routes = vec![(begun, to(&[])), (second(led.0), to(&[at(([10, 244, 0, 2], TARGET_PORT))]))];
        routes.extend(led.1.map(|until| (second(until), to(&[]))));
        let evidence = Evidence {
            tale: Tale { events },
            lives: vec![life],
            routes: [(FIRST_NODE, routes)].into(),
            calm: Duration::from_secs(5),
            ..Evidence::nothing(begun)
        };
        check(&evidence).is_ok()
    }

    #[test]
    fn a_proxy_that_is_late_is_found() {
        for (lives, led, expected) in [
            ((0, None), (0, None), true),
            ((0, None), (2, None), true),
            // Before everything has healed, and long after.
            ((0, None), (4, None), true),
            ((0, None), (6, None), false),
            ((8, None), (10, None), true),
            ((8, None), (14, None), false),
            ((8, None), (9, Some(10)), false),
            ((0, Some(10)), (0, Some(12)), true),
            ((0, Some(10)), (0, Some(15)), false),
            ((0, Some(10)), (0, None), false),
        ] {
            assert_eq!(is_kept(lives, led), expected, "{lives:?} {led:?}");
        }
    }

    #[test]
    fn a_proxy_knows_the_services_that_are_there_and_no_others() {
        let begun = Instant::now();
        let spec = json!({"clusterIP": "10.96.0.7", "selector": {"app": "web"}, "ports": [{"port": PORT}]});
        for (known, expected) in
            [(vec![SERVICE], true), (vec![], false), (vec![SERVICE, ([10, 96, 0, 8], PORT)], false)]
        {
            let routes = known.into_iter().map(|frontend| (at(frontend), BTreeSet::new())).collect();
            let end = begun + Duration::from_secs(10);
            let events = vec![made(begun, "services", "web", spec.clone()), made(end, "configmaps", "end", json!({}))];
            let routes = [(FIRST_NODE, vec![(begun, routes)])].into();
            let evidence =
                Evidence { tale: Tale { events }, routes, calm: Duration::from_secs(5), ..Evidence::nothing(begun) };
            assert_eq!(check(&evidence).is_ok(), expected, "{:?}", evidence.routes);
        }
    }
}
