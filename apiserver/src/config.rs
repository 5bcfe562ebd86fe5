//! What the server has to be told. Everything else stands in the store.

use std::{net::IpAddr, ops::RangeInclusive, sync::Arc};

use api::surroundings::Surroundings;

use crate::{cidr::Cidr, dialer::NodeDialer, runtime_config::RuntimeConfig, storage::encryption::KEY};

/// The configuration of one master's API server.
#[derive(Clone)]
pub struct Config {
    /// The member's id in the store, which names this master among the others.
    pub member_id: u64,
    /// The master's name.
    pub name: String,
    /// Where clients in the cluster reach this server.
    pub advertise_address: IpAddr,
    /// The port it listens on.
    pub port: u16,
    /// Where Services get their addresses from; the first range is the one of single-stack Services.
    pub service_cidrs: Vec<Cidr>,
    /// Where Services get their node ports from.
    pub node_ports: RangeInclusive<u16>,
    /// The issuer of service account tokens, and the audience they get if none is asked for.
    pub issuer: String,
    /// ECDSA P-256 keys (PKCS#8 DER) of service account tokens: the first signs, all verify.
    pub token_keys: Vec<Vec<u8>>,
    /// The key that wraps the data keys of encryption at rest. It is never in the store.
    pub master_key: [u8; KEY],
    /// The authority (PEM) of the client certificates this server trusts, told to API servers beside it; may be empty.
    pub cluster_ca: String,
    /// How long a pod stays on a node that is not ready or unreachable, unless it says otherwise.
    pub unreachable_toleration_seconds: i64,
    /// Which of the built-in kinds are served.
    pub runtime_config: RuntimeConfig,
    /// The time of day and chance.
    pub surroundings: Surroundings,
    /// The way to the nodes.
    pub dialer: Arc<dyn NodeDialer>,
}

impl Config {
    /// Ports Kubernetes gives to Services of type NodePort.
    pub const NODE_PORTS: RangeInclusive<u16> = 30000..=32767;
    /// A dead node's pods are replaced after this time by default.
    pub const UNREACHABLE_TOLERATION_SECONDS: i64 = 30;
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("member_id", &self.member_id)
            .field("name", &self.name)
            .field("advertise_address", &self.advertise_address)
            .field("port", &self.port)
            .field("service_cidrs", &self.service_cidrs)
            .finish_non_exhaustive()
    }
}
