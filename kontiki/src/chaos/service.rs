//! The run's own Service: a few pods, and an address that is asked from every worker all the time, each time by a new connection.
//!
//! Masters without an agent have no service proxy, so nobody asks from there.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    probes::{Probe, Probed, Prober},
    session::Session,
};
use crate::up::cluster::Cluster;

const NAME: &str = "service";
const PORT: u16 = 80;
/// What the demo image serves at.
const POD_PORT: u16 = 8080;
/// Between the beginnings of two connections from one host.
const PERIOD: Duration = Duration::from_millis(20);
/// How long the pods may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// The Service while it is asked.
pub(crate) struct Service {
    clients: Vec<Prober>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Each worker's connections.
    pub(crate) clients: Vec<Probed>,
}

impl Service {
    /// Makes it in the run's namespace, waits for its pods, and begins to ask; none, where there is no worker.
    pub(crate) async fn start(session: &Session, cluster: &Cluster) -> Result<Option<Self>> {
        let hosts: Vec<&str> = cluster.workers().map(|host| host.name.as_str()).collect();
        if hosts.is_empty() {
            return Ok(None);
        }
        let address = make(session, hosts.len().clamp(2, 4)).await.context("cannot make the run's own Service")?;
        let probe = |host: &&str| Prober::start(Probe::of_address(host, address.clone(), PERIOD), cluster);
        Ok(Some(Self { clients: hosts.iter().map(probe).collect::<Result<_>>()? }))
    }

    /// Those that ask.
    pub(crate) fn clients(&self) -> &[Prober] {
        &self.clients
    }

    /// Ends the asking and gives all of it.
    pub(crate) fn finish(self) -> Asked {
        Asked { clients: self.clients.into_iter().map(Prober::finish).collect() }
    }
}

/// The address of the Service, once all its pods are ready.
async fn make(session: &Session, replicas: usize) -> Result<String> {
    let namespace = &session.place.namespace;
    let deployments = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    session.ask(Method::POST, &deployments, deployment(replicas).to_string()).await?;
    let services = format!("/api/v1/namespaces/{namespace}/services");
    session.ask(Method::POST, &services, service().to_string()).await?;
    // Read back: the answer to a repeated request would be that it is there.
    let (_, found) = session.ask(Method::GET, &format!("{services}/{NAME}"), String::new()).await?;
    let found: Value = serde_json::from_slice(&found)?;
    let address = found["spec"]["clusterIP"].as_str().context("it has no address")?.to_owned();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, answer) = session.ask(Method::GET, &format!("{deployments}/{NAME}"), String::new()).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let ready = answer["status"]["readyReplicas"].as_u64().unwrap_or(0);
        if ready == u64::try_from(replicas)? {
            return Ok(format!("{address}:{PORT}"));
        }
        ensure!(
            Instant::now() < deadline,
            "{ready} of its {replicas} pods are ready after {} s: is there room for them on the workers?",
            PATIENCE.as_secs()
        );
        sleep(PAUSE).await;
    }
}

fn deployment(replicas: usize) -> Value {
    let labels = json!({ "kontiki-chaos": NAME });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": NAME },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    // The end of the run does not wait for them.
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{
                        "name": "demo", "image": "kontiki.io/demo:1",
                        "readinessProbe": { "httpGet": { "path": "/", "port": POD_PORT }, "periodSeconds": 1 },
                    }],
                },
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": NAME },
        "spec": { "selector": { "kontiki-chaos": NAME }, "ports": [{ "port": PORT, "targetPort": POD_PORT }] },
    })
}
