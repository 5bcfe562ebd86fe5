//! Streams into containers: exec, attach and port-forward, as kubectl of any age and other clients speak them.
//!
//! ```text
//! request ─> upgrade ─┬─ WebSocket: channels ──────┬─> remote_command ─> exec, attach ─> runtime
//!                     ├─ SPDY/3.1: streams ────────┤
//!                     └─ SPDY/3.1 in a WebSocket ──┴─> port_forward ─> the pod's network namespace
//! ```
//!
//! Every queue is bounded, so a slow side slows the other one down. A client that goes away hangs up on its program: the
//! input ends, the output pipes break, a terminal is lost; a program that does not mind lives as long as its container.

mod exec;
mod pod_connect;
mod port_forward;
mod remote_command;
mod spdy;
mod upgrade;
mod websocket;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::{any, get};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pod::table::PodTable;
use crate::runtime::{ContainerState, Runtime};
use upgrade::Refusal;

/// Connections that may be open at once.
const SESSIONS_MAX: usize = 512;
/// How long sessions may take to end when the agent stops.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// What the handlers see; clones are the same.
#[derive(Clone)]
pub(crate) struct Streaming {
    runtime: Runtime,
    pods: PodTable,
    sessions: TaskTracker,
    stop: CancellationToken,
}

/// A running container.
struct Place {
    pod_uid: String,
    container_id: String,
    /// Its input ends with the first client's.
    stdin_once: bool,
}

/// A running pod's network.
struct Network {
    pod_uid: String,
    /// The node's own without it.
    namespace: Option<PathBuf>,
}

impl Streaming {
    /// Sessions end with `stop`.
    pub(crate) fn new(runtime: Runtime, pods: PodTable, stop: CancellationToken) -> Self {
        Self { runtime, pods, sessions: TaskTracker::new(), stop }
    }

    /// The endpoints, without a look at who asks.
    pub(crate) fn router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        Router::new()
            .route("/exec/{namespace}/{pod}/{container}", any(exec::exec))
            .route("/attach/{namespace}/{pod}/{container}", any(exec::attach))
            .route("/portForward/{namespace}/{pod}", any(port_forward::serve))
            .route("/podConnect/{namespace}/{pod}/{port}", get(pod_connect::serve))
            .with_state(self)
    }

    /// Waits a moment for the sessions to end.
    pub(crate) async fn drain(&self) {
        self.sessions.close();
        // What does not end is dropped with the runtime.
        tokio::time::timeout(DRAIN_LIMIT, self.sessions.wait()).await.ok();
    }

    fn spawn(&self, session: impl Future<Output = ()> + Send + 'static) -> Result<(), Refusal> {
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(Refusal(StatusCode::TOO_MANY_REQUESTS, "too many streaming sessions".to_owned()));
        }
        let stop = self.stop.clone();
        self.sessions.spawn(async move {
            tokio::select! {
                () = session => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(())
    }

    fn container(&self, namespace: &str, pod: &str, name: &str) -> Result<Place, Refusal> {
        let entry = self.pods.by_name(namespace, pod).ok_or_else(no_pod)?;
        let pod_uid = crate::pod::uid(&entry.pod).to_owned();
        let containers = self.runtime.pod(&pod_uid).map(|sandbox| sandbox.containers).unwrap_or_default();
        let runs = containers
            .into_iter()
            .rfind(|status| status.name == name && matches!(status.state, ContainerState::Running { .. }));
        let missing = || Refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("container not found (\"{name}\")"));
        let container_id = runs.ok_or_else(missing)?.id;
        let stdin_once = crate::pod::container(&entry.pod, name).and_then(|container| container.stdin_once);
        Ok(Place { pod_uid, container_id, stdin_once: stdin_once.unwrap_or(false) })
    }

    fn network(&self, namespace: &str, pod: &str) -> Result<Network, Refusal> {
        let entry = self.pods.by_name(namespace, pod).ok_or_else(no_pod)?;
        let pod_uid = crate::pod::uid(&entry.pod).to_owned();
        let missing =
            || Refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("pod \"{pod}\" in \"{namespace}\" does not run"));
        let sandbox = self.runtime.pod(&pod_uid).ok_or_else(missing)?;
        Ok(Network { pod_uid, namespace: sandbox.spec.netns })
    }
}

fn no_pod() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "pod does not exist".to_owned())
}

/// The pairs of a request's query, in their order.
fn query(request: &Request) -> Result<Vec<(String, String)>, Refusal> {
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let pairs = pairs.map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(pairs.0)
}
