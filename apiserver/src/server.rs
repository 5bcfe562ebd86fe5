//! The server: everything a request needs, made once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::IntoResponse};
use futures_util::{Stream, StreamExt};
use http::Request;
use parking_lot::RwLock;
use prometheus_client::registry::Registry;
use store::Store;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    authentication::{
        Authenticator,
        service_account::{KeyError, TokenKeys},
    },
    authorization::{
        Authorizer,
        node::NodeAuthorizer,
        rbac::{RoleIndex, RoleKind},
    },
    bootstrap,
    config::Config,
    custom_resources::{self, CustomResources},
    limits::InFlight,
    metrics::Metrics,
    pipeline,
    quota::Turns,
    resource::{Resource, Resources},
    storage::{Storage, encryption::Keyring},
    watch::{
        hub::Hub,
        source::{self, SourceEvent, Target},
    },
};

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The service account keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Services would have no addresses.
    #[error("no service address range given: at least one is needed, such as 10.96.0.0/16")]
    NoServiceRange,
}

/// One master's API server. Clones share everything.
#[derive(Clone)]
pub struct ApiServer(pub(crate) Arc<Server>);

pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) storage: Storage,
    pub(crate) authenticator: Authenticator,
    pub(crate) authorizer: Authorizer,
    pub(crate) keys: Arc<TokenKeys>,
    pub(crate) custom: CustomResources,
    pub(crate) limits: InFlight,
    pub(crate) turns: Turns,
    pub(crate) metrics: Metrics,
    pub(crate) registry: Registry,
    /// What tells how the server is doing as seen from outside.
    pub(crate) indicators: Registry,
    pub(crate) readiness: Readiness,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the server begins to shut down: readiness fails and watches end.
    pub(crate) shutdown: CancellationToken,
}

/// What has to be there before requests are answered well.
#[derive(Default)]
pub(crate) struct Readiness {
    pub(crate) roles: [AtomicBool; 4],
    pub(crate) system_objects: AtomicBool,
    pub(crate) definitions: AtomicBool,
}

impl Readiness {
    pub(crate) fn roles_loaded(&self) -> bool {
        self.roles.iter().all(|loaded| loaded.load(Ordering::Acquire))
    }
}

const ROLE_KINDS: [(RoleKind, &str); 4] = [
    (RoleKind::ClusterRole, "clusterroles"),
    (RoleKind::Role, "roles"),
    (RoleKind::ClusterRoleBinding, "clusterrolebindings"),
    (RoleKind::RoleBinding, "rolebindings"),
];
const RBAC: &str = "rbac.authorization.k8s.io";

/// The Kubernetes API over `store`. Starts the server's own tasks; the listener is [`crate::serve`].
pub fn router(store: Store, config: Config) -> Result<ApiServer, StartError> {
    if config.service_cidrs.is_empty() {
        return Err(StartError::NoServiceRange);
    }
    let keys = Arc::new(TokenKeys::new(&config.issuer, &config.token_keys)?);
    let resources = Arc::new(Resources::new(&config.runtime_config));
    let (mut registry, mut indicators) = (Registry::default(), Registry::default());
    store.register_metrics(&mut registry);
    let storage = Storage::new(store, Keyring::new(&config.master_key), resources);
    let metrics = Metrics::register(&mut registry, &mut indicators);
    let roles = Arc::new(RwLock::new(RoleIndex::default()));
    let custom = CustomResources::new(config.runtime_config.kinds());
    let server = ApiServer(Arc::new(Server {
        authenticator: Authenticator::new(
            keys.clone(),
            vec![config.issuer.clone()],
            storage.clone(),
            config.surroundings.clone(),
        ),
        authorizer: Authorizer { roles, node: NodeAuthorizer::new(storage.clone()) },
        config,
        storage,
        keys,
        custom,
        limits: InFlight::default(),
        turns: Turns::default(),
        metrics,
        registry,
        indicators,
        readiness: Readiness::default(),
        tasks: TaskTracker::new(),
        shutdown: CancellationToken::new(),
    }));
    for (at, (kind, plural)) in ROLE_KINDS.into_iter().enumerate() {
        if let Some(events) = server.local_source(RBAC, "v1", plural) {
            server.0.tasks.spawn(feed_roles(server.clone(), at, kind, events));
        }
    }
    server.0.tasks.spawn(bootstrap::run(server.clone()));
    server.0.tasks.spawn(custom_resources::follow(server.clone()));
    server.0.tasks.spawn(custom_resources::keeper::run(server.clone()));
    Ok(server)
}

impl ApiServer {
    /// The whole API as a tower service: for the listener, and for callers in this process.
    pub fn router(&self) -> Router {
        let server = self.0.clone();
        let answer = move |request: Request<Body>| {
            let server = server.clone();
            async move { pipeline::handle(server, request).await.into_response() }
        };
        Router::new().fallback(answer).layer(tower_http::catch_panic::CatchPanicLayer::new())
    }

    /// All objects of a resource and then every change, without a codec; `None` when there is no such resource and
    /// there cannot be one. One that users define may come later, and go again. What is switched off is there all the same:
    /// whoever asks here is part of the control plane.
    pub fn local_source(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<impl Stream<Item = SourceEvent> + Send + use<>> {
        let resources = self.0.storage.resources();
        let target = match resources.known(group, version, plural) {
            Some(resource) if resource.kind.custom.is_none() => Target::BuiltIn(resource),
            None if !resources.may_be_custom(group) => return None,
            _ => Target::Custom(group.to_owned(), version.to_owned(), plural.to_owned()),
        };
        Some(source::stream(self.0.clone(), target))
    }

    /// True when requests are answered as they should be; false from the beginning of a shutdown on.
    pub fn is_ready(&self) -> bool {
        self.0.failing_checks().is_empty()
    }

    /// Fails readiness and ends watches. Requests are still answered.
    pub fn begin_shutdown(&self) {
        self.0.shutdown.cancel();
    }

    /// Ends the server's own tasks and waits for them for a bounded time.
    pub async fn shutdown(&self) {
        self.begin_shutdown();
        self.0.tasks.close();
        if tokio::time::timeout(Duration::from_secs(10), self.0.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.0.tasks.len(), "tasks did not end in time");
        }
    }
}

impl Server {
    /// The hub of a resource, started by the first who asks.
    pub(crate) fn hub(&self, resource: &Arc<Resource>) -> Arc<Hub> {
        let start = || {
            let (hub, feed) = Hub::new(self.storage.clone(), resource.clone(), self.shutdown.clone());
            self.tasks.spawn(feed);
            hub
        };
        resource.hub.get_or_init(start).clone()
    }
}

/// Keeps the index of roles as the local replica is.
async fn feed_roles(server: ApiServer, at: usize, kind: RoleKind, events: impl Stream<Item = SourceEvent> + Send) {
    let server = server.0;
    let mut events = std::pin::pin!(events);
    loop {
        let event = tokio::select! {
            () = server.shutdown.cancelled() => return,
            event = events.next() => event,
        };
        let Some(event) = event else { return };
        let mut roles = server.authorizer.roles.write();
        let mut update = |object: &api::stored::StoredObject, json: Option<&[u8]>| {
            roles.update(kind, &object.header().namespace, &object.header().name, json);
        };
        match event {
            SourceEvent::Applied(object) => update(&object, Some(object.json())),
            SourceEvent::Deleted(object, _) => update(&object, None),
            SourceEvent::Reset(objects, _) => {
                roles.clear(kind);
                for object in objects {
                    roles.update(kind, &object.header().namespace, &object.header().name, Some(object.json()));
                }
                server.readiness.roles[at].store(true, Ordering::Release);
            }
        }
    }
}
