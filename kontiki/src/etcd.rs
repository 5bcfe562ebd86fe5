//! A client of the masters' etcd port, for the commands that look at the store itself.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use hyper_util::client::legacy::connect::HttpConnector;
use proto::etcdserverpb::{
    Member, MemberListRequest, MemberRemoveRequest, StatusRequest, StatusResponse, cluster_client::ClusterClient,
    kv_client::KvClient, maintenance_client::MaintenanceClient,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::pki::Pair;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// A change of the membership may need another leader first.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(15);

/// What a client of the etcd port shows and trusts.
#[derive(Clone)]
pub struct Access {
    /// The store's authority, PEM.
    pub authority: String,
    /// The client's certificate.
    pub identity: Pair,
}

impl Access {
    /// Reads `<folder>/ca.crt` and `<folder>/client.{crt,key}`.
    ///
    /// # Errors
    /// When a file is missing.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("ca.crt");
        let authority = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { authority, identity: Pair::load(folder, "client")? })
    }

    /// Writes what [`Access::load`] reads.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        crate::files::private_folder(folder)?;
        crate::files::write_durably(&folder.join("ca.crt"), self.authority.as_bytes(), 0o644)?;
        self.identity.save(folder, "client")
    }

    /// A channel to one master; it connects at its first call.
    ///
    /// # Errors
    /// When the URL or a certificate is malformed.
    pub fn channel(&self, url: &str) -> Result<Channel> {
        Ok(self.endpoint(url)?.timeout(CALL_TIMEOUT).connect_with_connector_lazy(tcp()))
    }

    /// A channel whose calls may last: for watches.
    pub(crate) fn stream_channel(&self, url: &str) -> Result<Channel> {
        Ok(self.endpoint(url)?.connect_with_connector_lazy(tcp()))
    }

    fn endpoint(&self, url: &str) -> Result<Endpoint> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority))
            .identity(Identity::from_pem(&self.identity.cert, &self.identity.key));
        Ok(Endpoint::from_shared(url.to_owned())?.tls_config(tls)?.connect_timeout(CALL_TIMEOUT))
    }

    /// A client that takes a snapshot: it may take as long as the state is large.
    pub(crate) fn snapshots(&self, url: &str) -> Result<MaintenanceClient<Channel>> {
        Ok(MaintenanceClient::new(self.stream_channel(url)?))
    }

    /// The members, as this master knows them or as a quorum does.
    pub(crate) async fn members(&self, url: &str, linearizable: bool) -> Result<Vec<Member>> {
        let request = MemberListRequest { linearizable };
        Ok(ClusterClient::new(self.channel(url)?).member_list(request).await?.into_inner().members)
    }

    /// Removes a member; its data stay where they are.
    pub(crate) async fn remove_member(&self, url: &str, id: u64) -> Result<()> {
        let mut client =
            ClusterClient::new(self.endpoint(url)?.timeout(CHANGE_TIMEOUT).connect_with_connector_lazy(tcp()));
        client.member_remove(MemberRemoveRequest { id }).await?;
        Ok(())
    }

    /// One master's own view of the group.
    pub(crate) async fn status(&self, url: &str) -> Result<StatusResponse> {
        Ok(MaintenanceClient::new(self.channel(url)?).status(StatusRequest {}).await?.into_inner())
    }

    /// The same, with the version of the software and the 99th percentile of its disk's flushes in microseconds.
    pub(crate) async fn status_in_full(&self, url: &str) -> Result<(StatusResponse, String, Option<f64>)> {
        let response = MaintenanceClient::new(self.channel(url)?).status(StatusRequest {}).await?;
        let said = |name| response.metadata().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (version, flush) = (said(store::VERSION), said(store::FSYNC_P99_MICROS));
        let flush = flush.and_then(|micros| micros.parse().ok());
        Ok((response.into_inner(), version.unwrap_or_else(|| "-".to_owned()), flush))
    }

    /// How many members vote, and how many only learn.
    pub(crate) async fn voters_and_learners(&self, url: &str) -> Result<(usize, usize)> {
        let members = self.members(url, true).await?;
        let learners = members.iter().filter(|member| member.is_learner).count();
        Ok((members.len() - learners, learners))
    }

    /// A client of the key-value service.
    pub(crate) fn kv(&self, url: &str) -> Result<KvClient<Channel>> {
        Ok(KvClient::new(self.channel(url)?))
    }
}

/// Given to a channel as its own connector, so that the time to connect bounds the TLS handshake as well: a paused master's
/// kernel still accepts connections.
fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp
}
