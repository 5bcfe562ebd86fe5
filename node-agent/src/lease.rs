//! The node's heartbeat: its Lease in `kube-node-lease`, renewed every few seconds. A node whose Lease is older than its
//! duration is taken for dead by the control plane.

use std::time::Duration;

use api::clock;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

const NAMESPACE: &str = "kube-node-lease";
/// After a failed renewal the next try comes soon: the duration covers three of the usual intervals only.
const RETRY: Duration = Duration::from_millis(500);

/// Renews the Lease until `shutdown`. `node_uid` makes the Lease go with its Node object.
pub(crate) async fn run(config: &Config, node_uid: String, shutdown: CancellationToken) {
    let leases: Api<Lease> = Api::namespaced(config.client.clone(), NAMESPACE);
    loop {
        // A renewal that hangs must not use up the time of the next ones.
        let renewal = tokio::time::timeout(config.lease_renewal, renew(&leases, config, &node_uid));
        let renewed = tokio::select! {
            renewed = renewal => renewed,
            () = shutdown.cancelled() => return,
        };
        let pause = match renewed {
            Ok(Ok(())) => config.lease_renewal,
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot renew the node's lease");
                RETRY
            }
            Err(_) => {
                tracing::warn!("renewing the node's lease takes too long");
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn renew(leases: &Api<Lease>, config: &Config, node_uid: &str) -> Result<(), kube::Error> {
    let spec = spec(config, clock::now());
    let patch = Patch::Merge(json!({ "spec": spec }));
    match leases.patch(&config.node_name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let lease = serde_json::from_value(json!({
                "metadata": {
                    "name": config.node_name, "namespace": NAMESPACE,
                    "ownerReferences": [
                        { "apiVersion": "v1", "kind": "Node", "name": config.node_name, "uid": node_uid }
                    ]
                },
                "spec": spec
            }))
            .map_err(kube::Error::SerdeError)?;
            leases.create(&PostParams::default(), &lease).await.map(drop)
        }
        Err(error) => Err(error),
    }
}

fn spec(config: &Config, now: Timestamp) -> Value {
    json!({
        "holderIdentity": config.node_name,
        "leaseDurationSeconds": config.lease_duration.as_secs(),
        "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
    })
}
