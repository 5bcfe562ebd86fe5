//! etcd's v3 gRPC API over the store's handle.
//!
//! Thin: a handler checks what only the wire can get wrong, calls the handle, and completes the answer's header. There
//! is no user management here: who may connect at all is decided by certificates.

mod auth;
mod cluster;
mod election;
mod kv;
mod leader;
mod lease;
mod lock;
mod maintenance;
mod message_size;
mod queue;
mod snapshot;
mod stamp;
mod watch;

use proto::{
    etcdserverpb::{
        ResponseHeader, auth_server::AuthServer, cluster_server::ClusterServer, kv_server::KvServer,
        lease_server::LeaseServer, maintenance_server::MaintenanceServer, watch_server::WatchServer,
    },
    v3electionpb::election_server::ElectionServer,
    v3lockpb::lock_server::LockServer,
};
use tonic::{Response, service::Routes};

use self::message_size::InGoWords;
use crate::{Store, command::REQUEST_BYTES_MAX};

/// What clients that look for features are told.
pub(crate) const ETCD_VERSION: &str = "3.6.0";
/// The metadata of an answer to Status: the version of this software, which etcd's own field has no room for.
pub const VERSION: &str = "kontiki-version";
/// The metadata of an answer to Status: the 99th percentile of the last flushes of the log.
pub const FSYNC_P99_MICROS: &str = "kontiki-fsync-p99-micros";
/// The metadata of a snapshot stream: `true` when it holds every write acknowledged before, `false` when no quorum answered
/// and it is only what this member has.
pub const SNAPSHOT_UP_TO_DATE: &str = "kontiki-snapshot-up-to-date";
/// A request and what gRPC puts around it, as etcd allows.
const MESSAGE_BYTES_MAX: usize = REQUEST_BYTES_MAX + 512 * 1024;

/// All services, for one port.
pub(crate) fn routes(store: &Store) -> Routes {
    let service = Service { store: store.clone() };
    Routes::new(InGoWords(KvServer::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)))
        .add_service(WatchServer::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(LeaseServer::new(service.clone()))
        .add_service(ClusterServer::new(service.clone()))
        .add_service(AuthServer::new(service.clone()))
        .add_service(LockServer::new(service.clone()))
        .add_service(ElectionServer::new(service.clone()))
        .add_service(MaintenanceServer::new(service))
}

/// Says something in an answer's metadata.
fn tell<T>(response: &mut Response<T>, name: &'static str, value: &impl std::fmt::Display) {
    if let Ok(value) = value.to_string().parse() {
        response.metadata_mut().insert(name, value);
    }
}

/// Every service is the same handle.
#[derive(Clone)]
struct Service {
    store: Store,
}

impl Service {
    /// A header with this revision.
    fn header_at(&self, revision: i64) -> ResponseHeader {
        ResponseHeader { revision, ..self.store.header() }
    }
}
