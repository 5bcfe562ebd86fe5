//! How users and nodes reach the masters: over the network, one at a time, and another one when that fails.

use std::{sync::Arc, time::Duration};

use apiserver::UserInfo;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use serde_json::Value;
use tonic::{Status, body::Body};
use tower::ServiceExt;

use crate::{chance::Chance, cluster::Cluster, network::Place};

/// An answer that takes longer is given up; people wait longer than machines.
const PATIENCE: Duration = Duration::from_secs(8);
pub(crate) const LONG_PATIENCE: Duration = Duration::from_secs(20);

/// One client. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Client {
    cluster: Cluster,
    chance: Chance,
    place: Place,
    user: Arc<UserInfo>,
    agent: &'static str,
    patience: Duration,
    master: Arc<Mutex<Option<Place>>>,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Done(Value),
    /// An error that promises that nothing was done.
    Refused(u16, String),
    /// An error that promises nothing.
    Unknown,
}

impl Client {
    pub(crate) fn new(
        cluster: &Cluster,
        chance: Chance,
        place: Place,
        user: Arc<UserInfo>,
        agent: &'static str,
    ) -> Self {
        Self { cluster: cluster.clone(), chance, place, user, agent, patience: PATIENCE, master: Arc::default() }
    }

    /// The same with another patience.
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same client, as components of the product have one.
    pub(crate) fn kube(&self) -> kube::Client {
        let this = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let this = this.clone();
            async move { this.carry(request.map(Body::new)).await }
        });
        client::kube_client::over(service, self.agent)
    }

    /// Goes to another master next time.
    pub(crate) fn turn_away(&self) {
        *self.master.lock() = None;
    }

    async fn carry(&self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let master = {
            let mut master = self.master.lock();
            *master.get_or_insert_with(|| *self.chance.pick(&self.cluster.places()))
        };
        request.extensions_mut().insert(self.user.clone());
        let answer =
            tokio::time::timeout(self.patience, self.cluster.net.api(self.place, master).oneshot(request)).await;
        match answer {
            Ok(Ok(response)) => {
                if response.status().is_server_error() {
                    self.turn_away();
                }
                Ok(response)
            }
            Ok(Err(status)) => {
                self.turn_away();
                Err(status)
            }
            Err(_) => {
                self.turn_away();
                Err(Status::deadline_exceeded("no answer in time"))
            }
        }
    }

    /// Opens a stream of an answer.
    pub(crate) async fn open(&self, path: &str) -> Result<Response<Body>, Status> {
        self.carry(self.request(Method::GET, path, None)).await
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Request<Body> {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut request = Request::new(Body::new(Full::new(body)));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("a path");
        for (name, value) in
            [(header::CONTENT_TYPE, kind), (header::ACCEPT, "application/json"), (header::USER_AGENT, self.agent)]
        {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        request
    }

    /// Sends a request, and waits for the whole answer.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let whole = async {
            let response = self.carry(self.request(method, path, body)).await?;
            let code = response.status().as_u16();
            Ok::<_, Status>((code, response.into_body().collect().await?.to_bytes()))
        };
        let Ok(Ok((code, body))) = tokio::time::timeout(self.patience, whole).await else { return Answer::Unknown };
        // A connection that breaks may cut an answer short.
        let body: Value = match serde_json::from_slice(&body) {
            Ok(body) => body,
            // What a health check answers is no JSON.
            Err(_) if body == "ok" => Value::Null,
            Err(_) => return Answer::Unknown,
        };
        match code {
            200..300 => Answer::Done(body),
            400..500 => Answer::Refused(code, body["reason"].as_str().unwrap_or_default().to_owned()),
            _ => Answer::Unknown,
        }
    }
}
