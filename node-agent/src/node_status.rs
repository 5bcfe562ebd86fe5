//! The Node object: registered at start, its status patched when something of it changes, and every five minutes so
//! that its age shows that someone looks.

mod system;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use system::{Amounts, amounts};

use crate::config::Config;
use crate::pod::status::seconds;

/// How often the machine is looked at.
const INTERVAL: Duration = Duration::from_secs(10);
/// How often the status is sent though nothing has changed.
const REPORT: i64 = 300;
const RETRY: Duration = Duration::from_secs(1);
/// How long an agent may take to know what works, before it says so.
const START: Duration = Duration::from_secs(5);
const STARTING: &str = "starting";
const MEMORY_KEPT: i64 = 100 << 20;
const STORAGE_KEPT_PERCENT: i64 = 10;

/// What has to work before the node calls itself ready; an entry is what still keeps it from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) runtime: Result<(), String>,
    pub(crate) network: Result<(), String>,
}

/// Creates the Node object, or brings labels of an existing one up to date, and returns its uid. Tries until it works.
pub(crate) async fn register(config: &Config, shutdown: &CancellationToken) -> Option<String> {
    loop {
        match try_register(config).await {
            Ok(uid) => return Some(uid),
            Err(error) => tracing::warn!(%error, "cannot register the node"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = shutdown.cancelled() => return None,
        }
    }
}

async fn try_register(config: &Config) -> Result<String, kube::Error> {
    let nodes: Api<Node> = Api::all(config.client.clone());
    let labels = labels(config);
    let node = match nodes.get_opt(&config.node_name).await? {
        None => {
            let object = json!({ "metadata": { "name": config.node_name, "labels": labels } });
            let mut node: Node = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
            node.status = Some(status(config, &NodeStatus::default(), &Readiness::starting(), api::clock::now()));
            nodes.create(&PostParams::default(), &node).await?
        }
        Some(node) => {
            let present = node.metadata.labels.clone().unwrap_or_default();
            let is_current = labels.iter().all(|(key, value)| present.get(key).map(String::as_str) == value.as_str());
            if is_current {
                node
            } else {
                let patch = Patch::Merge(json!({ "metadata": { "labels": labels } }));
                nodes.patch(&config.node_name, &PatchParams::default(), &patch).await?
            }
        }
    };
    Ok(node.metadata.uid.unwrap_or_default())
}

impl Readiness {
    pub(crate) fn starting() -> Self {
        let message = || Err(STARTING.to_owned());
        Self { runtime: message(), network: message() }
    }

    fn is_known(&self) -> bool {
        [&self.runtime, &self.network].into_iter().all(|part| part.as_ref().err().is_none_or(|why| why != STARTING))
    }
}

/// Waits until it is known what works. A node that was Ready stays so while its agent is started again: said too early, "not
/// ready yet" would take all its pods out of their Services for that moment.
async fn known(readiness: &mut watch::Receiver<Readiness>) {
    // What is not known by then is told as it is.
    tokio::time::timeout(START, readiness.wait_for(Readiness::is_known)).await.ok();
}

fn labels(config: &Config) -> Map<String, Value> {
    let arch = system::architecture();
    let mut labels: Map<String, Value> =
        config.labels.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    for (key, value) in [
        ("kubernetes.io/hostname", config.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", arch),
    ] {
        labels.insert(key.to_owned(), Value::from(value));
    }
    labels
}

/// Keeps the status true until `shutdown`. `own` is the node as the watch brings it: when someone else has written into
/// it, a node that was taken for dead for example, the truth follows at once.
pub(crate) async fn run(
    config: &Config,
    mut own: watch::Receiver<Option<Node>>,
    mut readiness: watch::Receiver<Readiness>,
    shutdown: CancellationToken,
) {
    let nodes: Api<Node> = Api::all(config.client.clone());
    tokio::select! {
        () = known(&mut readiness) => {}
        () = shutdown.cancelled() => return,
    }
    loop {
        let ready = readiness.borrow_and_update().clone();
        let known = own.borrow_and_update().clone();
        let pause = match report(config, &nodes, known, &ready).await {
            Ok(()) => INTERVAL,
            Err(error) => {
                tracing::warn!(%error, "cannot report the node's status");
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = readiness.changed() => {}
            Ok(()) = own.changed() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn report(
    config: &Config,
    nodes: &Api<Node>,
    known: Option<Node>,
    readiness: &Readiness,
) -> Result<(), kube::Error> {
    let known = match known {
        Some(node) => Some(node),
        None => nodes.get_opt(&config.node_name).await?,
    };
    let old = match known {
        Some(node) => node.status.unwrap_or_default(),
        // Someone has deleted the object of a living node: it comes back.
        None => {
            try_register(config).await?;
            return Ok(());
        }
    };
    let new = status(config, &old, readiness, api::clock::now());
    if let Some(patch) = patch(&old, &new) {
        nodes.patch_status(&config.node_name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
    }
    Ok(())
}

/// The part of `new` that differs from `old`; unchanged heartbeats do not count before they are old.
fn patch(old: &NodeStatus, new: &NodeStatus) -> Option<Value> {
    let (Ok(Value::Object(old)), Ok(Value::Object(new))) = (serde_json::to_value(old), serde_json::to_value(new))
    else {
        return None;
    };
    let changed: Map<String, Value> = new.into_iter().filter(|(key, value)| old.get(key) != Some(value)).collect();
    (!changed.is_empty()).then(|| json!({ "status": changed }))
}

fn status(config: &Config, old: &NodeStatus, readiness: &Readiness, now: Timestamp) -> NodeStatus {
    let amounts = amounts(&config.dir);
    let kept_storage = amounts.storage / 100 * STORAGE_KEPT_PERCENT;
    let resources = |memory: i64, storage: i64| {
        json!({
            "cpu": amounts.cpus.to_string(), "memory": format!("{}Ki", memory / 1024),
            "pods": config.max_pods.to_string(), "ephemeral-storage": format!("{}Ki", storage / 1024),
            "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        })
    };
    let said = json!({
        "addresses": [
            { "type": "InternalIP", "address": config.node_ip.to_string() },
            { "type": "Hostname", "address": config.node_name },
        ],
        "capacity": resources(amounts.memory, amounts.storage),
        "allocatable": resources(amounts.memory - MEMORY_KEPT, amounts.storage - kept_storage),
        "daemonEndpoints": { "kubeletEndpoint": { "Port": config.listen.port() } },
        "nodeInfo": system::info(),
    });
    let mut status: NodeStatus = serde_json::from_value(said).unwrap_or_default();
    status.images = old.images.clone();
    status.conditions = Some(conditions(old.conditions.as_deref().unwrap_or_default(), &amounts, readiness, now));
    status
}

struct Verdict {
    kind: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

fn verdicts(amounts: &Amounts, readiness: &Readiness) -> Vec<Verdict> {
    let pressure = |kind, holds, what: [&'static str; 2], message: [&str; 2]| Verdict {
        kind,
        holds,
        reason: what[usize::from(holds)],
        message: message[usize::from(holds)].to_owned(),
    };
    let disk =
        amounts.storage_available < amounts.storage / 100 * STORAGE_KEPT_PERCENT || amounts.inodes_free_percent < 5;
    let missing: Vec<String> = [("runtime", &readiness.runtime), ("network", &readiness.network)]
        .into_iter()
        .filter_map(|(what, state)| state.as_ref().err().map(|why| format!("{what}: {why}")))
        .collect();
    let ready = match missing.is_empty() {
        true => Verdict {
            kind: "Ready",
            holds: true,
            reason: "KubeletReady",
            message: "kubelet is posting ready status".to_owned(),
        },
        false => Verdict { kind: "Ready", holds: false, reason: "KubeletNotReady", message: missing.join("; ") },
    };
    let network_reason = if readiness.network.is_err() { "NoRouteCreated" } else { "RouteCreated" };
    let network_message = readiness.network.clone().err().unwrap_or_else(|| "routes to all nodes are set".to_owned());
    vec![
        Verdict {
            kind: "NetworkUnavailable",
            holds: readiness.network.is_err(),
            reason: network_reason,
            message: network_message,
        },
        pressure(
            "MemoryPressure",
            amounts.memory_available < MEMORY_KEPT,
            ["KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"],
            ["kubelet has sufficient memory available", "kubelet has insufficient memory available"],
        ),
        pressure(
            "DiskPressure",
            disk,
            ["KubeletHasNoDiskPressure", "KubeletHasDiskPressure"],
            ["kubelet has no disk pressure", "kubelet has disk pressure"],
        ),
        pressure(
            "PIDPressure",
            amounts.processes_max > 0 && amounts.processes > amounts.processes_max / 10 * 9,
            ["KubeletHasSufficientPID", "KubeletHasInsufficientPID"],
            ["kubelet has sufficient PID available", "kubelet has insufficient PID available"],
        ),
        ready,
    ]
}

fn conditions(old: &[NodeCondition], amounts: &Amounts, readiness: &Readiness, now: Timestamp) -> Vec<NodeCondition> {
    let now = seconds(now);
    let beat_of = |known: &NodeCondition| known.last_heartbeat_time.as_ref().map(|time| time.0);
    let verdicts = verdicts(amounts, readiness);
    let mut conditions: Vec<NodeCondition> = verdicts
        .into_iter()
        .map(|verdict| {
            let known = old.iter().find(|known| known.type_ == verdict.kind);
            let status = if verdict.holds { "True" } else { "False" };
            let same = known.filter(|known| known.status == status);
            let since = same.and_then(|known| known.last_transition_time.clone()).unwrap_or(Time(now));
            let unchanged = same.filter(|known| known.message.as_deref() == Some(verdict.message.as_str()));
            let beat = unchanged.and_then(beat_of).filter(|beat| now.duration_since(*beat).as_secs() < REPORT);
            NodeCondition {
                last_heartbeat_time: Some(Time(beat.unwrap_or(now))),
                last_transition_time: Some(since),
                message: Some(verdict.message),
                reason: Some(verdict.reason.to_owned()),
                status: status.to_owned(),
                type_: verdict.kind.to_owned(),
            }
        })
        .collect();
    let foreign: Vec<NodeCondition> =
        old.iter().filter(|known| conditions.iter().all(|own| own.type_ != known.type_)).cloned().collect();
    conditions.extend(foreign);
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn amounts() -> Amounts {
        Amounts {
            cpus: 2,
            memory: 1 << 34,
            memory_available: 1 << 33,
            storage: 1 << 40,
            storage_available: 1 << 39,
            inodes_free_percent: 50,
            processes: 100,
            processes_max: 32768,
        }
    }

    fn ready() -> Readiness {
        Readiness { runtime: Ok(()), network: Ok(()) }
    }

    fn truth(conditions: &[NodeCondition]) -> Vec<(&str, &str)> {
        conditions.iter().map(|condition| (condition.type_.as_str(), condition.status.as_str())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_starts_says_nothing_before_it_knows() {
        let (sender, mut readiness) = watch::channel(Readiness::starting());
        let begun = tokio::time::Instant::now();
        let tell = async {
            sender.send_modify(|readiness| readiness.network = Err("no range of addresses".to_owned()));
            tokio::time::sleep(Duration::from_millis(300)).await;
            sender.send_modify(|readiness| readiness.runtime = Ok(()));
        };
        tokio::join!(known(&mut readiness), tell);
        assert_eq!(begun.elapsed(), Duration::from_millis(300));
        sender.send_replace(Readiness::starting());
        known(&mut readiness).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(300) + START);
    }

    #[test]
    fn ready_only_when_all_works() {
        let now = Timestamp::UNIX_EPOCH;
        let conditions = conditions(&[], &amounts(), &ready(), now);
        assert_eq!(
            truth(&conditions),
            [
                ("NetworkUnavailable", "False"),
                ("MemoryPressure", "False"),
                ("DiskPressure", "False"),
                ("PIDPressure", "False"),
                ("Ready", "True")
            ]
        );
        let broken = Readiness { runtime: Err("the probe container did not start".into()), network: Ok(()) };
        let conditions = super::conditions(&[], &amounts(), &broken, now);
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!(ready.status, "False");
        assert_eq!(ready.message.as_deref(), Some("runtime: the probe container did not start"));
    }

    #[test]
    fn heartbeats_move_every_five_minutes_and_transitions_on_change() {
        let start = Timestamp::UNIX_EPOCH;
        let first = conditions(&[], &amounts(), &ready(), start);
        let soon = conditions(&first, &amounts(), &ready(), start + SignedDuration::from_secs(60));
        assert_eq!(first, soon, "nothing to send");
        let late = conditions(&first, &amounts(), &ready(), start + SignedDuration::from_secs(301));
        assert_ne!(first, late);
        assert_eq!(first[4].last_transition_time, late[4].last_transition_time);
        let full = Amounts { storage_available: 0, ..amounts() };
        let changed = conditions(&first, &full, &ready(), start + SignedDuration::from_secs(60));
        assert_ne!(first[2].last_transition_time, changed[2].last_transition_time);
        assert_eq!(changed[2].status, "True");
    }
}
