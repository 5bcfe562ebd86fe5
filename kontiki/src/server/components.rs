//! How a master's parts are put together: the API server over the store, controllers and scheduler over the API server.
//!
//! Controllers and scheduler reach the API by function call, as users with roles of their own; every write carries the term
//! that this master leads under, and the store refuses it under any other.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use api::surroundings::Surroundings;
use apiserver::{ApiServer, Cidr, DirectDialer, Fence, RuntimeConfig, UserInfo};
use axum::body::Body;
use client::{Identity, Selection, Source, SourceEvent};
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use store::Store;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    identity::{Master, Settings},
    pki::Pair,
};

/// The prefix of a node's range of pod addresses: 254 pods.
const NODE_PREFIX_V4: u8 = 24;
const NODE_PREFIX_V6: u8 = 64;

/// The API server of a master, not listening yet.
pub(super) fn api_server(
    store: &Store,
    master: &Master,
    pki: &Path,
    service_account_key: &str,
    master_key: [u8; 32],
    runtime_config: RuntimeConfig,
) -> Result<ApiServer> {
    let authority = std::fs::read_to_string(pki.join("cluster-ca.crt")).context("cluster-ca.crt is missing")?;
    let kubelet_client = Pair::load(pki, "kubelet-client")?;
    let identity = Some((kubelet_client.cert.as_bytes(), kubelet_client.key.as_bytes()));
    let dialer = DirectDialer::new(client::tls::client_config(authority.as_bytes(), identity)?);
    let token_key =
        PrivateKeyDer::from_pem_slice(service_account_key.as_bytes()).context("service-account.key is damaged")?;
    let settings = &master.settings;
    let config = apiserver::Config {
        member_id: master.member_id,
        name: master.name.clone(),
        advertise_address: master.address,
        port: master.ports.api,
        service_cidrs: vec![settings.service_cidr.parse().context("the service range")?],
        node_ports: apiserver::Config::NODE_PORTS,
        issuer: format!("https://kubernetes.default.svc.{}", settings.cluster_domain),
        token_keys: vec![token_key.secret_der().to_vec()],
        master_key,
        cluster_ca: authority,
        unreachable_toleration_seconds: apiserver::Config::UNREACHABLE_TOLERATION_SECONDS,
        runtime_config,
        surroundings: Surroundings::real(),
        dialer: Arc::new(dialer),
    };
    apiserver::router(store.clone(), config).context("the API server did not start")
}

/// Starts controllers and scheduler; they act whenever this master leads.
pub(super) fn spawn(
    tasks: &mut JoinSet<Result<()>>,
    api: &ApiServer,
    store: &Store,
    master: &Master,
    cluster_authority: &str,
    stop: &CancellationToken,
) -> Result<()> {
    let (term, acting) = watch::channel(None);
    tasks.spawn(tell_the_acting_term(store.leadership(), term, stop.clone()));
    let source: Arc<dyn Source> = Arc::new(LocalSource(api.clone()));
    let controllers = controllers::Config {
        source: source.clone(),
        reader: in_process(api, &controllers::IDENTITY, None),
        client_for: client_factory(api, &controllers::IDENTITY),
        leadership: acting.clone(),
        host: master.name.clone(),
        settings: controllers::Settings {
            cluster_cidrs: cluster_cidrs(&master.settings)?,
            root_ca_pem: cluster_authority.to_owned(),
            ..controllers::Settings::default()
        },
        surroundings: Surroundings::real(),
    };
    let scheduler = scheduler::Config {
        source,
        client_for: client_factory(api, &scheduler::IDENTITY),
        leadership: acting,
        host: master.name.clone(),
        surroundings: Surroundings::real(),
    };
    let (stop_controllers, stop_scheduler) = (stop.clone(), stop.clone());
    tasks.spawn(async move {
        controllers::run(controllers, stop_controllers).await;
        Ok(())
    });
    tasks.spawn(async move {
        scheduler::run(scheduler, stop_scheduler).await;
        Ok(())
    });
    Ok(())
}

fn client_factory(api: &ApiServer, identity: &'static Identity) -> Arc<dyn Fn(u64) -> kube::Client + Send + Sync> {
    let api = api.clone();
    Arc::new(move |term| in_process(&api, identity, Some(Fence { term })))
}

/// A client whose requests are function calls, made as `identity` and fenced.
fn in_process(api: &ApiServer, identity: &Identity, fence: Option<Fence>) -> kube::Client {
    let user = UserInfo::new(identity.user, ["system:authenticated"]);
    let service = api.router().map_request(move |request: http::Request<kube::client::Body>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(user.clone());
        if let Some(fence) = fence {
            request.extensions_mut().insert(fence);
        }
        request
    });
    client::kube_client::over(service, identity.component)
}

/// Turns "who leads" into "the term this master acts under".
async fn tell_the_acting_term(
    mut leadership: watch::Receiver<store::Leadership>,
    term: watch::Sender<Option<u64>>,
    stop: CancellationToken,
) -> Result<()> {
    loop {
        let now = {
            let leadership = leadership.borrow_and_update();
            leadership.acting.then_some(leadership.term)
        };
        term.send_if_modified(|known| std::mem::replace(known, now) != now);
        tokio::select! {
            changed = leadership.changed() => changed.context("the store has ended")?,
            () = stop.cancelled() => return Ok(()),
        }
    }
}

fn cluster_cidrs(settings: &Settings) -> Result<Vec<(controllers::cidr::Cidr, u8)>> {
    let cidr: Cidr =
        settings.cluster_cidr.parse().with_context(|| format!("--cluster-cidr {}", settings.cluster_cidr))?;
    let prefix = if cidr.is_ipv4() { NODE_PREFIX_V4 } else { NODE_PREFIX_V6 };
    let same =
        settings.cluster_cidr.parse().map_err(|_| anyhow::anyhow!("--cluster-cidr {}", settings.cluster_cidr))?;
    Ok(vec![(same, prefix)])
}

/// The local replica as a source of caches: the very objects that the API server holds, no codec between.
struct LocalSource(ApiServer);

impl Source for LocalSource {
    fn list_and_watch(&self, selection: Selection) -> BoxStream<'static, SourceEvent> {
        let resource = &selection.resource;
        let Some(events) = self.0.local_source(&resource.group, &resource.version, &resource.plural) else {
            tracing::warn!(%resource, "no such resource to watch");
            return stream::pending().boxed();
        };
        let events = events.map(|event| match event {
            apiserver::SourceEvent::Reset(objects, revision) => SourceEvent::Reset(objects, revision),
            apiserver::SourceEvent::Applied(object) => SourceEvent::Applied(object),
            apiserver::SourceEvent::Deleted(object, revision) => SourceEvent::Deleted(object, revision),
        });
        // A source never ends; this one does only when the store stops.
        events.chain(stream::pending()).boxed()
    }
}
