//! A rolling update never asks for more pods than the surge allows, and never takes a ready pod away when too few would be left.
//!
//! Users change their minds and nodes die while an update goes on; what a controller does is held against what was so within
//! the last while.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::Evidence;
use crate::control_plane::{
    node::is_ready,
    tale::{Event, Object},
};

/// What a controller decided from may be as old as this.
const OLD: Duration = Duration::from_secs(15);

/// A pod that has become ready only now may have been chosen because it was not.
const NEWS: Duration = Duration::from_secs(5);

/// What is there at one moment, and what was lately.
#[derive(Default)]
struct World {
    /// By uid.
    deployments: BTreeMap<String, Vec<(Instant, Arc<Object>)>>,
    /// By key.
    sets: BTreeMap<String, Arc<Object>>,
    pods: BTreeMap<String, Arc<Object>>,
    /// By uid of the deployment: when a pod of it was last lost to something else than a deletion.
    lost: BTreeMap<String, Instant>,
    /// By key: since when a pod is ready.
    ready: BTreeMap<String, Instant>,
    /// By name: when a node was last not ready.
    unready: BTreeMap<String, Instant>,
    /// Uids of deployments that are gone, and namespaces that go: what was theirs may go, too.
    gone: BTreeSet<String>,
    going: BTreeSet<String>,
}

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let mut world = World::default();
    for event in &evidence.tale.events {
        world.take(event)?;
    }
    Ok(())
}

impl World {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        if event.key.starts_with("apps/deployments/") {
            if let Some(after) = &event.after {
                self.deployments.entry(after.uid().to_owned()).or_default().push((event.at, after.clone()));
            } else if let Some(before) = &event.before {
                self.gone.insert(before.uid().to_owned());
            }
        } else if let Some(name) = event.key.strip_prefix("namespaces/") {
            let going = event.after.as_ref().is_none_or(|namespace| namespace.is_deleting());
            if going {
                self.going.insert(name.to_owned())
            } else {
                self.going.remove(name)
            };
        } else if event.key.starts_with("apps/replicasets/") {
            put(&mut self.sets, event);
            self.surge(event)?;
        } else if let Some(name) = event.key.strip_prefix("nodes/") {
            if [&event.before, &event.after].into_iter().flatten().any(|node| !says_ready(node)) {
                self.unready.insert(name.to_owned(), event.at);
            }
        } else if event.key.starts_with("pods/") {
            let deployment = self.deployment_of(event);
            self.note_loss(event, deployment.as_deref());
            put(&mut self.pods, event);
            if event.after.as_ref().is_some_and(|pod| is_ready(&pod.json)) {
                self.ready.entry(event.key.clone()).or_insert(event.at);
            }
            self.availability(event, deployment.as_deref())?;
        }
        Ok(())
    }

    /// More is asked for: it must fit into the surge.
    fn surge(&self, event: &Event) -> Result<(), String> {
        let Some(after) = &event.after else { return Ok(()) };
        let before = event.before.as_ref().map_or(0, |before| before.replicas());
        let Some(owner) = after.controller().filter(|_| after.replicas() > before) else { return Ok(()) };
        let lately = self.lately(owner, event.at);
        let Some(most) = lately.iter().map(|deployment| deployment.replicas() + surge(deployment.replicas())).max()
        else {
            return Ok(());
        };
        let total: i64 =
            self.sets.values().filter(|set| set.controller() == Some(owner)).map(|set| set.replicas()).sum();
        if total > most {
            return Err(format!(
                "{} at {} makes {total} pods asked for, where {most} may be",
                event.key, event.revision
            ));
        }
        Ok(())
    }

    /// A ready pod is taken away: enough must be left.
    fn availability(&self, event: &Event, deployment: Option<&str>) -> Result<(), String> {
        let (Some(owner), Some(before)) = (deployment, &event.before) else { return Ok(()) };
        let goes = event.after.as_ref().is_none_or(|after| after.is_deleting());
        let long = self.ready.get(&event.key).is_some_and(|since| event.at.duration_since(*since) > NEWS);
        if !goes || before.is_deleting() || !is_ready(&before.json) || !long {
            return Ok(());
        }
        let lately = self.lately(owner, event.at);
        let namespace = before.json["metadata"]["namespace"].as_str().unwrap_or_default();
        let stays = lately.last().is_some_and(|deployment| !deployment.is_deleting())
            && !self.gone.contains(owner)
            && !self.going.contains(namespace);
        let lost = self.lost.get(owner).is_some_and(|at| event.at.duration_since(*at) < OLD);
        if !stays || lost {
            return Ok(());
        }
        let least = lately.iter().map(|deployment| deployment.replicas() - unavailable(deployment.replicas())).min();
        let ready =
            self.pods.values().filter(|pod| is_ready(&pod.json) && !pod.is_deleting() && self.belongs(pod, owner));
        let (ready, least) = (i64::try_from(ready.count()).unwrap_or(i64::MAX), least.unwrap_or_default());
        if ready < least {
            return Err(format!(
                "{} went at {} and left {ready} ready, where {least} must be",
                event.key, event.revision
            ));
        }
        Ok(())
    }

    /// A pod that is ready no more without having been deleted, or whose node is being emptied.
    fn note_loss(&mut self, event: &Event, deployment: Option<&str>) {
        let (Some(owner), Some(before)) = (deployment, &event.before) else { return };
        let after = event.after.as_ref().filter(|after| !after.is_deleting());
        let unready = is_ready(&before.json) && after.is_some_and(|after| !is_ready(&after.json));
        let node = before.json["spec"]["nodeName"].as_str().unwrap_or_default();
        let emptied = self.unready.get(node).is_some_and(|at| event.at.duration_since(*at) < OLD);
        if unready || emptied {
            self.lost.insert(owner.to_owned(), event.at);
        }
    }

    /// The versions that a deployment had within the last while.
    fn lately(&self, uid: &str, now: Instant) -> Vec<Arc<Object>> {
        let versions = self.deployments.get(uid).map_or(&[][..], Vec::as_slice);
        let ended = versions.windows(2).filter(|pair| pair[1].0 + OLD < now).count();
        versions[ended.min(versions.len())..].iter().map(|(_, deployment)| deployment.clone()).collect()
    }

    fn deployment_of(&self, event: &Event) -> Option<String> {
        let pod = event.before.as_ref().or(event.after.as_ref())?;
        let set = self.sets.values().find(|set| Some(set.uid()) == pod.controller())?;
        set.controller().map(str::to_owned)
    }

    fn belongs(&self, pod: &Object, deployment: &str) -> bool {
        let owner = pod.controller();
        self.sets.values().any(|set| set.controller() == Some(deployment) && Some(set.uid()) == owner)
    }
}

/// Whether a node says that it is ready, and nothing keeps pods away.
fn says_ready(node: &Object) -> bool {
    let conditions = node.json["status"]["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
    ready.any(|condition| condition["status"] == "True")
        && node.json["spec"]["taints"].as_array().is_none_or(Vec::is_empty)
}

fn put(objects: &mut BTreeMap<String, Arc<Object>>, event: &Event) {
    match &event.after {
        Some(after) => objects.insert(event.key.clone(), after.clone()),
        None => objects.remove(&event.key),
    };
}

/// A quarter, rounded up: what Deployments get that say nothing.
fn surge(replicas: i64) -> i64 {
    (replicas + 3) / 4
}

/// A quarter, rounded down.
fn unavailable(replicas: i64) -> i64 {
    replicas / 4
}
