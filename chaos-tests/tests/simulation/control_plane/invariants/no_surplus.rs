//! A replica set, and a stateful set, never gets more pods than it asked for, give or take requests whose outcome its controller could not know.

use std::{collections::BTreeMap, time::Duration};

use super::Evidence;
use crate::control_plane::tale::Event;

/// What a controller decided from may be as old as this.
const OLD: Duration = Duration::from_secs(15);
/// A request that was given up may have been carried out, and was then made again: so many may be too many.
const UNKNOWN: i64 = 2;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    // By uid: what was asked for, and when.
    let mut asked: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    // By uid of the set: its pods that are not on their way out.
    let mut pods: BTreeMap<String, i64> = BTreeMap::new();
    for event in &evidence.tale.events {
        if ["apps/replicasets/", "apps/statefulsets/"].iter().any(|kind| event.key.starts_with(kind)) {
            if let Some(after) = &event.after {
                asked.entry(after.uid()).or_default().push(event);
            }
            continue;
        }
        if !event.key.starts_with("pods/") {
            continue;
        }
        let counts = |pod: &Option<std::sync::Arc<super::super::tale::Object>>| {
            let pod = pod.as_ref().filter(|pod| !pod.is_deleting())?;
            pod.controller().map(str::to_owned)
        };
        if let Some(owner) = counts(&event.before) {
            *pods.entry(owner).or_default() -= 1;
        }
        let Some(owner) = counts(&event.after) else { continue };
        let now = pods.entry(owner.clone()).or_default();
        *now += 1;
        if event.before.is_some() {
            continue;
        }
        let most = most(asked.get(owner.as_str()).map_or(&[], Vec::as_slice), event);
        if *now > most + UNKNOWN {
            return Err(format!("{} at {} is pod {now} of a set that asked for {most}", event.key, event.revision));
        }
    }
    Ok(())
}

/// The most that a replica set asked for within the last while.
fn most(asked: &[&Event], now: &Event) -> i64 {
    let since = now.at - OLD;
    let mut most = 0;
    for (at, event) in asked.iter().enumerate() {
        let ended = asked.get(at + 1).is_some_and(|next| next.at < since);
        if let Some(set) = event.after.as_ref().filter(|_| !ended) {
            most = most.max(set.replicas());
        }
    }
    most
}
