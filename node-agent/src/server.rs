//! The kubelet API on port 10250: logs, pods, health, a few metrics and what [`crate::streaming`] adds, over mutual TLS.
//!
//! Who calls is known by certificate only. Masters and cluster administrators may do everything; anyone else needs
//! `nodes/proxy` in the API's eyes.

mod authorization;
mod container_logs;
mod log_format;
mod log_reader;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ServerTls};
use crate::pod::table::PodTable;
pub(crate) use authorization::Identity;
pub(crate) use log_reader::last_lines;

/// A client that has not finished its TLS handshake by now is dropped.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long open requests may go on when the agent stops.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// Connections beyond this wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 512;

/// What the handlers see.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) config: Arc<Config>,
    pub(crate) pods: PodTable,
}

/// Why the kubelet API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Certificates or key are unusable.
    #[error("the kubelet API's certificates are unusable: {0}")]
    Tls(String),
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A bound, not yet serving server.
pub(crate) struct Server {
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl Server {
    /// Binds the port, so that a wrong configuration is known before the node claims to be ready.
    pub(crate) async fn bind(address: SocketAddr, tls: &ServerTls) -> Result<Self, ServeError> {
        let config = tls::server_config(tls)?;
        let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
        Ok(Self { listener, acceptor: tokio_rustls::TlsAcceptor::from(Arc::new(config)) })
    }

    #[cfg(test)]
    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Serves until `shutdown`, then lets open requests end for a moment. `further` are routes beside its own.
    pub(crate) async fn run(self, api: Api, further: Router<Api>, shutdown: CancellationToken) {
        let router = router(api, further);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
                Some(_) = connections.join_next() => continue,
                () = shutdown.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, self.acceptor.clone(), router.clone(), shutdown.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_LIMIT, drained).await.is_err() {
            connections.shutdown().await;
        }
    }
}

fn router(api: Api, further: Router<Api>) -> Router {
    Router::new()
        .route("/pods", get(pods))
        .route("/metrics", get(metrics))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(container_logs::get))
        .merge(further)
        .route_layer(axum::middleware::from_fn_with_state(api.clone(), authorization::authorize))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(api)
}

async fn serve(stream: TcpStream, acceptor: tokio_rustls::TlsAcceptor, router: Router, shutdown: CancellationToken) {
    let stream = match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return,
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let identity = certificates.and_then(|chain| chain.first()).and_then(|first| Identity::of_certificate(first));
    let service = match identity {
        Some(identity) => router.layer(axum::Extension(identity)),
        None => router,
    };
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection of the kubelet API broke");
    }
}

/// The pods of this node as one PodList.
async fn pods(State(api): State<Api>) -> impl IntoResponse {
    let items: Vec<serde_json::Value> = api
        .pods
        .all()
        .into_iter()
        .filter_map(|entry| {
            let mut pod = entry.pod.as_ref().clone();
            pod.status = Some(entry.status.as_ref().clone());
            serde_json::to_value(pod).ok()
        })
        .collect();
    axum::Json(serde_json::json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items }))
}

/// The two numbers people look at first, under the kubelet's names.
async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    let entries = api.pods.all();
    let containers = entries.iter().flat_map(|entry| entry.status.container_statuses.iter().flatten());
    let running =
        containers.filter(|status| status.state.as_ref().is_some_and(|state| state.running.is_some())).count();
    format!(
        "# HELP kubelet_running_pods Number of pods that have a running pod sandbox\n\
         # TYPE kubelet_running_pods gauge\nkubelet_running_pods {}\n\
         # HELP kubelet_running_containers Number of containers currently running\n\
         # TYPE kubelet_running_containers gauge\nkubelet_running_containers{{container_state=\"running\"}} {running}\n",
        entries.iter().filter(|entry| entry.status.phase.as_deref() == Some("Running")).count()
    )
}

#[cfg(test)]
mod tests;
