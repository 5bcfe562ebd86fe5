//! Members on loopback, with certificates of their own.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use store::{
    Config, Error, Limits, Proposal, Start, StartError, Store, Timing, Tls,
    etcdserverpb::{PutRequest, RangeRequest},
};
use tempfile::TempDir;
use testing::{eventually, free_address};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

pub(crate) const CLUSTER: u64 = 0xC1;

/// The store's authority.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "store");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn issue(&self, uri: &str) -> Tls {
        let mut params = CertificateParams::default();
        // Members look at the URI; etcd's clients at the address.
        let address = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap()), address];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Tls {
            ca_pem: self.pem.clone(),
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            clock: std::time::SystemTime::now,
        }
    }

    pub(crate) fn client(&self, name: &str) -> Tls {
        self.issue(&format!("kontiki://{CLUSTER:016x}/client/{name}"))
    }

    /// Whether somebody with this certificate is let in: a port that is not for them closes the connection.
    pub(crate) async fn connects(&self, tls: &Tls, address: SocketAddr) -> bool {
        let Ok(mut stream) = self.connect(tls, address).await else { return false };
        // The server answers in HTTP/2, once it has let the connection in.
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.is_ok()
            && stream.read_u8().await.is_ok()
    }

    /// The certificate shown at an address.
    pub(crate) async fn certificate_of(&self, address: SocketAddr) -> Vec<u8> {
        let stream = self.connect(&self.client("looks"), address).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    async fn connect(&self, tls: &Tls, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(tls.cert_pem.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(tls.key_pem.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::from(address.ip()), stream).await
    }

    pub(crate) fn member(&self, id: u64) -> Tls {
        self.issue(&format!("kontiki://{CLUSTER:016x}/member/{id:016x}"))
    }
}

/// One member, running or not.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) store: Option<Store>,
    _dir: TempDir,
}

impl Node {
    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }
}

/// A cluster whose members are numbered from 1.
pub(crate) struct Cluster {
    pub(crate) authority: Authority,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) limits: Limits,
    pub(crate) timing: Timing,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        // `RUST_LOG=store=debug` shows what the members say; only the first test installs the subscriber.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        drop(tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init());
        Self {
            authority: Authority::new(),
            nodes: BTreeMap::new(),
            limits: Limits::default(),
            timing: Timing::default(),
        }
    }

    pub(crate) fn config(&self, id: u64, start: Start, dir: &TempDir) -> Config {
        let (peer_listen, client_listen) = (free_address(), free_address());
        Config {
            dir: dir.path().join("store"),
            cluster_id: CLUSTER,
            member_id: id,
            name: format!("m{id}"),
            peer_listen,
            client_listen,
            peer_url: format!("https://{peer_listen}"),
            client_url: format!("https://{client_listen}"),
            tls: self.authority.member(id),
            start,
            introduced: BTreeMap::new(),
            timing: self.timing,
            limits: self.limits,
        }
    }

    pub(crate) async fn start_node(&mut self, id: u64, start: Start, tls: Tls) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { tls, ..self.config(id, start, &dir) };
        let store = begin(config.clone()).await.unwrap();
        self.nodes.insert(id, Node { config, store: Some(store), _dir: dir });
    }

    /// A new member at the addresses of another one.
    pub(crate) async fn start_node_at(&mut self, id: u64, other: &Config) {
        let dir = tempfile::tempdir().unwrap();
        let Config { peer_listen, client_listen, peer_url, client_url, .. } = other.clone();
        let own = self.config(id, Start::Join, &dir);
        let config = Config { peer_listen, client_listen, peer_url, client_url, ..own };
        let store = begin(config.clone()).await.unwrap();
        self.nodes.insert(id, Node { config, store: Some(store), _dir: dir });
    }

    pub(crate) async fn init(&mut self) {
        self.start_node(1, Start::Init, self.authority.member(1)).await;
        put(self.store(1), "init", "1").await.unwrap();
    }

    /// A new member, started and added, not waited for.
    pub(crate) async fn join(&mut self, id: u64) {
        self.start_node(id, Start::Join, self.authority.member(id)).await;
        let config = self.nodes[&id].config.clone();
        let any = self.nodes.values().find(|node| node.config.member_id != id && node.store.is_some()).unwrap();
        any.store().member_add(id, config.name, vec![config.peer_url], vec![config.client_url]).await.unwrap();
    }

    /// Three voters.
    pub(crate) async fn three() -> Self {
        let mut cluster = Self::new();
        cluster.init().await;
        cluster.join(2).await;
        cluster.join(3).await;
        cluster.until_voters(3).await;
        cluster
    }

    pub(crate) async fn until_voters(&self, count: usize) {
        until(async || {
            self.running().all(|store| {
                let voters = store.members().iter().filter(|member| !member.learner).count();
                voters == count && !store.status().voters_changing
            })
        })
        .await;
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Store> {
        self.nodes.values().filter_map(|node| node.store.as_ref())
    }

    /// A client's connection to one member.
    pub(crate) async fn channel(&self, id: u64) -> Channel {
        let tls = self.authority.client("client");
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(tls.ca_pem))
            .identity(Identity::from_pem(tls.cert_pem, tls.key_pem));
        let url = self.nodes[&id].config.client_url.clone();
        Channel::from_shared(url).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
    }

    pub(crate) fn store(&self, id: u64) -> &Store {
        self.nodes[&id].store()
    }

    /// Waits until every running member agrees, and one acts.
    pub(crate) async fn leader(&self) -> u64 {
        until(async || {
            let leader =
                self.running().find(|store| store.leadership().borrow().acting).map(|store| store.status().member_id);
            leader.is_some() && self.running().all(|store| store.leadership().borrow().leader == leader)
        })
        .await;
        self.running().find_map(|store| store.leadership().borrow().leader).unwrap()
    }

    /// Stops a member as a crash would.
    pub(crate) async fn kill(&mut self, id: u64) {
        let store = self.nodes.get_mut(&id).unwrap().store.take().unwrap();
        store.halt().await;
    }

    pub(crate) async fn restart(&mut self, id: u64) {
        self.try_restart(id).await.unwrap();
    }

    pub(crate) async fn try_restart(&mut self, id: u64) -> Result<(), StartError> {
        let node = self.nodes.get_mut(&id).unwrap();
        let config = Config { start: Start::Restart, ..node.config.clone() };
        node.store = Some(begin(config).await?);
        Ok(())
    }

    /// The next start is at other ports.
    pub(crate) fn move_to_new_addresses(&mut self, id: u64) {
        let config = &mut self.nodes.get_mut(&id).unwrap().config;
        (config.peer_listen, config.client_listen) = (free_address(), free_address());
        config.peer_url = format!("https://{}", config.peer_listen);
        config.client_url = format!("https://{}", config.client_listen);
    }

    /// Every running member holds the same state.
    pub(crate) async fn until_equal(&self) {
        until(async || {
            let mut states = self.running().map(|store| (store.view().position(), store.view().hash()));
            let first = states.next();
            states.all(|state| Some(state) == first)
        })
        .await;
    }
}

/// Starts a member, at ports which one that has ended may still seem to have: a process that another test is just
/// beginning holds all sockets of this one for a moment.
pub(crate) async fn begin(config: Config) -> Result<Store, StartError> {
    eventually(Duration::from_secs(10), async || match Store::start(config.clone()).await {
        Err(error @ StartError::Listen { .. }) => Err(error),
        started => Ok(started),
    })
    .await
}

pub(crate) async fn put(store: &Store, key: &str, value: &str) -> Result<i64, Error> {
    put_within(store, key, value, Duration::from_secs(5)).await
}

pub(crate) async fn put_within(store: &Store, key: &str, value: &str, timeout: Duration) -> Result<i64, Error> {
    let request = PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..PutRequest::default()
    };
    let response = store.put(request, Proposal { timeout, ..Proposal::default() }).await?;
    Ok(response.header.unwrap().revision)
}

pub(crate) async fn get(store: &Store, key: &str) -> Result<Option<String>, Error> {
    let request = RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..RangeRequest::default() };
    let mut response = store.range(request).await?;
    Ok(response.kvs.pop().map(|kv| String::from_utf8(kv.value.to_vec()).unwrap()))
}

/// Waits for a condition, with a deadline for loaded machines.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    eventually(Duration::from_secs(30), async || if condition().await { Ok(()) } else { Err("not yet") }).await;
}
