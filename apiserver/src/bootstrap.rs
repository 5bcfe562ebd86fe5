//! What a cluster needs before anybody asks: system namespaces, roles, and the `kubernetes` Service with the addresses
//! of all ready masters. The acting leader sees to it, through the same pipeline as everybody's requests and fenced by
//! its term. Every master says where it is.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    compaction,
    quota::keeper,
    server::{ApiServer, Server},
    user::Fence,
};

mod controller_roles;
pub(crate) mod defaults;
mod flow_control;
mod masters;
mod policy;
pub(crate) mod writer;

use writer::Writer;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
const RETRY: Duration = Duration::from_millis(200);

/// The server's own tasks, until shutdown.
pub(crate) async fn run(server: ApiServer) {
    let server = server.0;
    tokio::join!(act(server.clone()), note_ready(&server), masters::publish(&server), compaction::run(&server));
}

/// Does the leader's part whenever this master is the one that acts.
async fn act(server: Arc<Server>) {
    let mut leadership = server.storage.store().leadership();
    loop {
        let now = *leadership.borrow_and_update();
        let lead = async {
            if !now.acting {
                return std::future::pending().await;
            }
            let fence = Fence { term: now.term };
            let writer = Writer::new(server.clone(), fence);
            while !ensure(&writer, &server).await {
                tokio::time::sleep(RETRY).await;
            }
            tokio::join!(
                masters::keep_endpoints(&writer, &server),
                make_defaults(&writer, &server),
                keeper::run(&server, fence),
            );
        };
        tokio::select! {
            () = server.shutdown.cancelled() => return,
            changed = leadership.changed() => if changed.is_err() { return },
            () = lead => return,
        }
    }
}

/// Writes every system object that is missing or differs; false when one could not be written.
async fn ensure(writer: &Writer, server: &Server) -> bool {
    let namespaces =
        NAMESPACES.map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
    // Nothing can be made in a namespace before the namespace.
    if !all(writer, namespaces.into()).await {
        return false;
    }
    let mut objects = policy::cluster_roles();
    objects.extend(policy::cluster_role_bindings());
    objects.extend(service(server));
    objects.push(policy::authentication_reader());
    objects.extend(client_authority(server));
    all(writer, objects).await
}

/// Makes what else a cluster begins with, which may not hold up what must be. Its users may change it, but for the roles of
/// controllers.
async fn make_defaults(writer: &Writer, server: &Server) {
    loop {
        let objects = defaults::objects(server).into_iter().chain(policy::aggregated_roles());
        let created = join_all(objects.map(|object| writer.create(object))).await;
        if all(writer, controller_roles::objects()).await && created.into_iter().all(|created| created) {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Writes all at once, so that they share the store's batches.
async fn all(writer: &Writer, objects: Vec<Value>) -> bool {
    let written = join_all(objects.into_iter().map(|object| writer.ensure(object))).await;
    written.into_iter().all(|written| written)
}

/// The Service by which pods reach the masters: always the first address of the range.
fn service(server: &Server) -> Option<Value> {
    let range = server.config.service_cidrs.first()?;
    let address = range.nth(1)?.to_string();
    Some(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": { "component": "apiserver", "provider": "kubernetes" },
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "sessionAffinity": "None",
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": server.config.port }],
        },
    }))
}

/// Tells API servers beside this one which client certificates this one trusts.
fn client_authority(server: &Server) -> Option<Value> {
    let authority = &server.config.cluster_ca;
    (!authority.is_empty()).then(|| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": policy::AUTHENTICATION, "namespace": "kube-system" },
            "data": { "client-ca-file": authority },
        })
    })
}

/// Notes when the system objects have reached this master's replica.
async fn note_ready(server: &Server) {
    let mut ticks = interval(Duration::from_millis(20));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = server.shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let storage = &server.storage;
        let rbac = "rbac.authorization.k8s.io";
        let there = NAMESPACES.iter().all(|name| storage.local_uid("", "namespaces", "", name).is_some())
            && storage.local_uid(rbac, "clusterrolebindings", "", "cluster-admin").is_some()
            && storage.local_uid("", "services", "default", "kubernetes").is_some();
        if there {
            server.readiness.system_objects.store(true, Ordering::Release);
            return;
        }
    }
}
