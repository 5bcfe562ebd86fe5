//! What all workers share: the parts of the node they act through.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use client::EventRecorder;
use k8s_openapi::api::core::v1::Service;
use parking_lot::RwLock;

use super::field_ref::Facts;
use super::host_files::ClusterDns;
use super::table::PodTable;
use crate::config::Config;
use crate::image::Images;
use crate::network::PodNetwork;
use crate::node_status::Amounts;
use crate::reflector::Change;
use crate::runtime::Runtime;
use crate::volumes::Volumes;

/// The node, as a worker sees it.
pub(crate) struct Context {
    pub(crate) config: Arc<Config>,
    pub(crate) runtime: Runtime,
    pub(crate) images: Images,
    pub(crate) network: PodNetwork,
    pub(crate) volumes: Volumes,
    pub(crate) recorder: EventRecorder,
    pub(crate) services: Services,
    pub(crate) table: PodTable,
    pub(crate) amounts: Amounts,
}

impl Context {
    /// What pods may learn through the downward API.
    pub(crate) fn facts(&self, pod_ips: &[IpAddr]) -> Facts {
        Facts {
            pod_ips: pod_ips.iter().map(ToString::to_string).collect(),
            host_ip: self.config.node_ip.to_string(),
            node_cpu_milli: self.amounts.cpus * 1000,
            node_memory: self.amounts.memory,
        }
    }

    pub(crate) fn cluster_dns(&self) -> ClusterDns {
        ClusterDns { domain: self.config.cluster_domain.clone(), servers: self.config.cluster_dns.clone() }
    }
}

/// All Services of the cluster, for the variables that describe them.
#[derive(Clone, Default)]
pub(crate) struct Services {
    known: Arc<RwLock<ByName>>,
}

/// Namespace and name to the Service.
type ByName = BTreeMap<(String, String), Arc<Service>>;

impl Services {
    /// Takes over a change.
    pub(crate) fn apply(&self, change: Change<Service>) {
        let key = |service: &Service| {
            let metadata = &service.metadata;
            (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
        };
        match change {
            Change::Reset(all) => {
                *self.known.write() = all.into_iter().map(|service| (key(&service), Arc::new(service))).collect();
            }
            Change::Applied(service) => {
                self.known.write().insert(key(&service), Arc::new(service));
            }
            Change::Deleted(service) => {
                self.known.write().remove(&key(&service));
            }
        }
    }

    /// The one of this namespace and name.
    pub(crate) fn get(&self, key: &(String, String)) -> Option<Arc<Service>> {
        self.known.read().get(key).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Service>> {
        self.known.read().values().cloned().collect()
    }
}
