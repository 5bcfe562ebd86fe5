//! Loads on the Kubernetes API: ConfigMaps of 1 KiB, as kubectl and controllers read and write them.
//!
//! Every client has a connection of its own and waits for an answer before it asks again. HTTP/1.1 over mutual TLS, since
//! that is what the figures of kube-apiserver were measured with.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::TlsConnector;

use crate::load::{Figures, note, times};

/// Connections of a load, as in the figures of kube-apiserver.
pub const CONNECTIONS: usize = 16;
/// ConfigMaps that are read, listed and changed.
pub const OBJECTS: u64 = 500;
/// Where they are.
pub const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";
/// What is asked for, if nothing else is.
pub const JSON: &str = "application/json";
/// What a ConfigMap of the load holds.
const DATA_BYTES: usize = 1024;

/// Where an API server listens, and how it is spoken to.
#[derive(Clone)]
pub struct Endpoint {
    /// Its address.
    pub address: SocketAddr,
    /// The client's certificate and whom it trusts.
    pub tls: TlsConnector,
}

impl Endpoint {
    /// Opens a connection.
    ///
    /// # Errors
    /// When the server cannot be reached or is not who it should be.
    pub async fn connect(&self) -> Result<Connection> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from("kubernetes")?, tcp).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // The connection ends with its sender.
        drop(tokio::spawn(connection));
        Ok(Connection(sender))
    }
}

/// A connection to an API server.
pub struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    /// Asks, and reads the whole answer; its size.
    ///
    /// # Errors
    /// When the connection breaks or the answer is not a success.
    pub async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> Result<usize> {
        self.ask_as(JSON, method, path, body).await
    }

    /// The same, with the answer in another form.
    ///
    /// # Errors
    /// When the connection breaks or the answer is not a success.
    pub async fn ask_as(&mut self, accept: &'static str, method: Method, path: &str, body: Bytes) -> Result<usize> {
        self.0.ready().await?;
        let response = self.0.send_request(request(accept, method, path, body)?).await?;
        let (status, mut body, mut read) = (response.status(), response.into_body(), 0);
        while let Some(frame) = body.frame().await {
            read += frame?.data_ref().map_or(0, Bytes::len);
        }
        anyhow::ensure!(status.is_success(), "{path} was answered with {status}");
        Ok(read)
    }

    /// Opens a watch; its body goes on until it is dropped.
    ///
    /// # Errors
    /// When the connection breaks or the watch is refused.
    pub async fn watch(&mut self, path: &str) -> Result<hyper::body::Incoming> {
        self.0.ready().await?;
        let response = self.0.send_request(request(JSON, Method::GET, path, Bytes::new())?).await?;
        anyhow::ensure!(response.status() == StatusCode::OK, "{path} was answered with {}", response.status());
        Ok(response.into_body())
    }
}

fn request(accept: &'static str, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>> {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "kubernetes");
    let request = request.header(header::ACCEPT, accept).header(header::USER_AGENT, "kontiki-bench");
    let request = request.header(header::CONTENT_TYPE, JSON);
    Ok(request.body(Full::new(body))?)
}

/// What every client does again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new ConfigMap.
    Create,
    /// One of the [`OBJECTS`].
    Get,
    /// All of them.
    List,
    /// A PUT of one of them with new data, whatever its resource version.
    Update,
}

/// A ConfigMap of this name. Two of different `turn` differ in their data.
pub fn config_map(name: &str, turn: u64) -> Bytes {
    let data = format!("{turn:016}").repeat(DATA_BYTES / 16);
    let text = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","namespace":"default"}},"data":{{"value":"{data}"}}}}"#
    );
    Bytes::from(text)
}

/// The name of one of the [`OBJECTS`].
pub fn name(number: u64) -> String {
    format!("bench-{number:05}")
}

/// Writes the [`OBJECTS`].
///
/// # Errors
/// When one cannot be written.
pub async fn fill(endpoint: &Endpoint) -> Result<()> {
    let mut connection = endpoint.connect().await?;
    for number in 0..OBJECTS {
        let name = name(number);
        connection.ask(Method::POST, COLLECTION, config_map(&name, 0)).await.context("filling")?;
    }
    Ok(())
}

/// Puts a load on API servers, whose connections are shared evenly among them.
///
/// # Errors
/// When a server cannot be reached, or no request succeeds.
pub async fn run(operation: Operation, duration: Duration, endpoints: &[Endpoint]) -> Result<Figures> {
    let mut clients = JoinSet::new();
    let errors = Arc::new(AtomicU64::new(0));
    // Names of created objects differ between runs too.
    let run = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros());
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        connections.push(endpoints[number % endpoints.len()].connect().await?);
    }
    let start = Instant::now();
    for (number, connection) in connections.into_iter().enumerate() {
        let client = Client { operation, connection, number: number as u64, prefix: format!("new-{run:x}-{number}") };
        clients.spawn(client.ask_until(start + duration, errors.clone()));
    }
    let mut all = times();
    while let Some(finished) = clients.join_next().await {
        all.add(finished?)?;
    }
    let errors = errors.load(Ordering::Relaxed);
    anyhow::ensure!(!all.is_empty(), "no request succeeded: {errors} failed");
    Ok(Figures::of(&all, start.elapsed(), errors))
}

struct Client {
    operation: Operation,
    connection: Connection,
    number: u64,
    prefix: String,
}

impl Client {
    async fn ask_until(mut self, end: Instant, errors: Arc<AtomicU64>) -> Histogram<u64> {
        let mut times = times();
        for turn in 0_u64.. {
            let asked = Instant::now();
            if asked >= end {
                break;
            }
            match self.ask(turn).await {
                Ok(_) => note(&mut times, asked.elapsed()),
                Err(error) => {
                    tracing::debug!(%error, "a request failed");
                    errors.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        times
    }

    async fn ask(&mut self, turn: u64) -> Result<usize> {
        // Clients change objects of their own: what is measured is not how conflicts are settled.
        let each = OBJECTS / CONNECTIONS as u64;
        let own = self.number * each + turn % each;
        match self.operation {
            Operation::Create => {
                let body = config_map(&format!("{}-{turn}", self.prefix), turn);
                self.connection.ask(Method::POST, COLLECTION, body).await
            }
            Operation::Get => {
                let path = format!("{COLLECTION}/{}", name(own));
                self.connection.ask(Method::GET, &path, Bytes::new()).await
            }
            Operation::List => {
                let path = format!("{COLLECTION}?limit={OBJECTS}");
                self.connection.ask(Method::GET, &path, Bytes::new()).await
            }
            Operation::Update => {
                let path = format!("{COLLECTION}/{}", name(own));
                self.connection.ask(Method::PUT, &path, config_map(&name(own), turn + 1)).await
            }
        }
    }
}
