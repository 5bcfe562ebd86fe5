//! The Kubernetes API over a store.
//!
//! Every master runs one over its own replica. A request takes one path, which [`pipeline`] shows from end to end; what
//! differs between resources is data in [`api::kind`], so no verb names a kind. Reading order: `pipeline`, `verbs`,
//! `storage`, `watch`, `admission`, `bootstrap`.
//!
//! [`router`] starts a server, [`ApiServer::router`] is its tower service for callers in this process, [`serve`] puts
//! that behind TLS. Callers in this process say who they are by the request extension `Arc<UserInfo>`, and may fence
//! their writes by the extension [`Fence`]; no client over the network can set either.

mod admission;
mod amounts;
mod answer;
mod authentication;
mod authorization;
mod body;
mod bootstrap;
mod catalog;
mod cidr;
mod claims;
mod compaction;
mod component_statuses;
mod config;
mod custom_resources;
mod deadline;
mod dialer;
mod discovery;
mod encode;
mod error;
mod health;
mod limits;
mod metrics;
mod negotiation;
mod openapi;
mod options;
mod ownership;
mod pipeline;
mod prepare;
mod quota;
mod random;
mod request_info;
mod resource;
mod reviews;
mod route;
mod runtime_config;
mod serve;
mod server;
mod storage;
mod subresources;
mod table;
mod user;
mod verbs;
mod version;
mod warnings;
mod watch;

pub use cidr::{BadCidr, Cidr};
pub use config::Config;
pub use dialer::{Connection, DirectDialer, NodeDialer};
pub use runtime_config::{BadSwitch, RuntimeConfig};
pub use serve::{Port, serve};
pub use server::{ApiServer, StartError, router};
pub use storage::encryption::{KEYS_PREFIX as DATA_KEYS, opens_data_key};
pub use user::{AUTHENTICATED, Fence, MASTERS, NODE_PREFIX, NODES, UserInfo};
pub use watch::source::SourceEvent;

/// The largest request body.
pub const MAX_BODY: usize = 3 * 1024 * 1024;
