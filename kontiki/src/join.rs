//! How machines join: one request over TLS, with a token.
//!
//! The joining machine trusts nobody before it has seen, in the server's certificate chain, the authority whose hash its
//! token carries. The master trusts nobody whose token is not in the store. A master receives the authorities' keys and
//! everything else that makes it equal to the others; a node receives two certificates for its own keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    identity::Settings,
    pki::{AuthorityPairs, Pair},
};

pub(crate) mod client;
pub(crate) mod service;

/// Where masters are admitted.
pub(crate) const MASTER_PATH: &str = "/kontiki/v1/join/master";
/// Where nodes are admitted.
pub(crate) const NODE_PATH: &str = "/kontiki/v1/join/node";

/// A machine asks to be a master.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MasterRequest {
    pub(crate) token: String,
    pub(crate) name: String,
    pub(crate) member_id: u64,
    pub(crate) peer_url: String,
    pub(crate) client_url: String,
    /// The member that this master was before: its place is free.
    #[serde(default)]
    pub(crate) replaces: Option<u64>,
}

/// All that makes masters equal.
#[derive(Serialize, Deserialize)]
pub(crate) struct MasterResponse {
    pub(crate) settings: Settings,
    pub(crate) authorities: AuthorityPairs,
    pub(crate) service_account_key: String,
    pub(crate) master_key: [u8; 32],
    /// The others by their member id, and at which URLs members reach them.
    #[serde(default)]
    pub(crate) members: BTreeMap<u64, String>,
}

/// A machine asks to be a node.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeRequest {
    pub(crate) token: String,
    pub(crate) name: String,
    pub(crate) address: std::net::IpAddr,
    /// For the certificate that it shows to the API server, PEM.
    pub(crate) client_request: String,
    /// For the certificate that it serves logs with, PEM.
    pub(crate) serving_request: String,
}

/// What a node needs of its cluster.
#[derive(Serialize, Deserialize)]
pub(crate) struct NodeResponse {
    pub(crate) cluster_authority: String,
    pub(crate) client_cert: String,
    pub(crate) serving_cert: String,
    pub(crate) cluster_domain: String,
    /// API addresses of all masters, `host:port`.
    pub(crate) masters: Vec<String>,
}

/// A certificate beside the key that never left the machine.
pub(crate) fn pair(cert: String, key: String) -> Pair {
    Pair { cert, key }
}
