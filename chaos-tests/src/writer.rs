//! Clients that write without pause and remember what was acknowledged, and when.
//!
//! A write whose answer never came is *unknown*: it may or may not be there. Only acknowledged ones must be.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use kontiki::{EtcdAccess, Kubeconfig};
use proto::etcdserverpb::{PutRequest, kv_client::KvClient};
use rustls::pki_types::ServerName;
use tokio::{
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};
use tonic::transport::Channel;

/// The pause between two writes: 250 a second.
const PERIOD: Duration = Duration::from_millis(4);
/// How long a client waits for one answer before it asks elsewhere.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(300);

/// What a writer did.
#[derive(Debug, Default)]
pub struct History {
    /// Names of all acknowledged writes.
    pub acknowledged: BTreeSet<String>,
    /// When each acknowledgement came, in order.
    pub times: Vec<Instant>,
    /// Attempts whose outcome is unknown.
    pub unknown: usize,
}

impl History {
    /// The longest time without an acknowledgement within a window, and when it began.
    pub fn longest_gap(&self, from: Instant, to: Instant) -> (Instant, Duration) {
        let inside = self.times.iter().copied().filter(|time| (from..=to).contains(time));
        let marks: Vec<Instant> = std::iter::once(from).chain(inside).chain([to]).collect();
        let gaps = marks.windows(2).map(|pair| (pair[0], pair[1] - pair[0]));
        gaps.max_by_key(|(_, gap)| *gap).unwrap_or((from, Duration::ZERO))
    }

    /// Acknowledged writes in a second, over a window.
    pub fn rate(&self, from: Instant, to: Instant) -> f64 {
        let inside = self.times.iter().filter(|time| (from..=to).contains(*time)).count();
        f64::from(u32::try_from(inside).unwrap_or(u32::MAX)) / (to - from).as_secs_f64()
    }
}

/// A running writer, on a thread of its own so that nothing else delays its clock.
pub struct Writer {
    history: Arc<Mutex<History>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Writes keys below `/chaos/` through the etcd ports of these masters; it turns to the next when one is silent.
    ///
    /// # Errors
    /// When the cluster's etcd certificate cannot be read.
    pub fn through_etcd(cluster: &Path, masters: &[(String, String)]) -> Result<Self> {
        let access = EtcdAccess::load(&cluster.join("etcd"))?;
        let urls: Vec<String> = masters.iter().map(|(_, address)| format!("https://{address}:2379")).collect();
        Self::start(move || {
            let channels = urls.iter().map(|url| access.channel(url)).collect::<Result<_>>()?;
            Ok(Target::Etcd { channels, turn: 0 })
        })
    }

    /// Creates ConfigMaps with the address and the certificate of the written kubeconfig, as kubectl does.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub fn through_kubeconfig(cluster: &Path) -> Result<Self> {
        let kubeconfig = Kubeconfig::read(&cluster.join("kubeconfig"))?;
        let server = kubeconfig.access(None)?.server;
        let address = server.trim_start_matches("https://").parse().context("the kubeconfig's server")?;
        let inline = kubeconfig.masters().into_iter().next().context("an inline certificate")?;
        let identity = inline.identity.as_ref().map(|(cert, key)| (cert.as_slice(), key.as_slice()));
        let tls = kontiki::client_tls(&inline.authority_pem, identity)?;
        Self::start(move || Ok(Target::Api { address, tls: tls.into(), connection: None }))
    }

    fn start(target: impl FnOnce() -> Result<Target> + Send + 'static) -> Result<Self> {
        let history = Arc::new(Mutex::new(History::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (history.clone(), stop.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let mut target = target().expect("the certificates were read before");
                write_on(&mut target, &shared, &stopped).await;
            });
        });
        Ok(Self { history, stop, thread })
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.history.lock().expect("no holder panics").times.len()
    }

    /// Ends the writing and gives its history.
    ///
    /// # Panics
    /// When the writer's thread panicked.
    pub fn finish(self) -> History {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the writer ran to its end");
        std::mem::take(&mut self.history.lock().expect("no holder panics"))
    }
}

async fn write_on(target: &mut Target, history: &Mutex<History>, stopped: &AtomicBool) {
    let mut pace = interval(PERIOD);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        let name = format!("write-{number:08}");
        loop {
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            pace.tick().await;
            if let Ok(Ok(())) = timeout(ATTEMPT_TIMEOUT, target.write(&name)).await {
                break;
            }
            history.lock().expect("no holder panics").unknown += 1;
            target.turn();
        }
        let mut history = history.lock().expect("no holder panics");
        history.times.push(Instant::now());
        history.acknowledged.insert(name);
    }
}

enum Target {
    Etcd { channels: Vec<Channel>, turn: usize },
    Api { address: SocketAddr, tls: tokio_rustls::TlsConnector, connection: Option<SendRequest<Full<Bytes>>> },
}

impl Target {
    async fn write(&mut self, name: &str) -> Result<()> {
        match self {
            Self::Etcd { channels, turn } => {
                let value = Bytes::from_static(&[b'x'; 256]);
                let put = PutRequest { key: format!("/chaos/{name}").into(), value, ..PutRequest::default() };
                KvClient::new(channels[*turn % channels.len()].clone()).put(put).await?;
            }
            Self::Api { address, tls, connection } => {
                let sender = match connection {
                    Some(sender) => sender,
                    None => connection.insert(connect(*address, tls).await?),
                };
                let body = format!(
                    r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"k":"v"}}}}"#
                );
                let request = Request::post("/api/v1/namespaces/default/configmaps")
                    .header("host", "kubernetes")
                    .header("content-type", "application/json")
                    .body(Full::new(Bytes::from(body)))?;
                let response = sender.send_request(request).await?;
                let status = response.status();
                response.into_body().collect().await?;
                // 409: an earlier attempt with this name had been taken, and its answer was lost.
                anyhow::ensure!(status.is_success() || status == 409, "status {status}");
            }
        }
        Ok(())
    }

    /// After a failure: the next master, or a new connection.
    fn turn(&mut self) {
        match self {
            Self::Etcd { turn, .. } => *turn += 1,
            Self::Api { connection, .. } => *connection = None,
        }
    }
}

async fn connect(address: SocketAddr, tls: &tokio_rustls::TlsConnector) -> Result<SendRequest<Full<Bytes>>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let stream = tls.connect(ServerName::try_from("kubernetes")?, tcp).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The connection ends with its sender.
    drop(tokio::spawn(connection));
    Ok(sender)
}
