//! The agent as a whole: what is opened in which order, which tasks there are, and how they end.

use std::sync::Arc;

use client::EventRecorder;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::image::{self, Images};
use crate::network::{self, NetworkError, PodNetwork};
use crate::node_status::{self, Readiness};
use crate::pod::context::{Context, Services};
use crate::pod::manager::Manager;
use crate::pod::table::PodTable;
use crate::reflector::{self, Change};
use crate::runtime::{self, Runtime};
use crate::server::{self, ServeError, Server};
use crate::streaming::Streaming;
use crate::volumes::{self, Volumes};
use crate::{image_gc, lease, nodes, probe_container, service_proxy};

/// Images that are pulled at the same time.
const PARALLEL_PULLS: usize = 4;
/// Changes between a watch and its consumer.
const CHANGES_MAX: usize = 256;

/// Why the agent cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The container runtime cannot be opened.
    #[error("cannot open the container runtime")]
    Runtime(#[from] runtime::Error),
    /// The image store cannot be opened.
    #[error("cannot open the image store")]
    Images(#[from] image::Error),
    /// The pod network cannot be prepared.
    #[error("cannot prepare the pod network")]
    Network(#[from] NetworkError),
    /// What Services need cannot be taken out of the packet filter.
    #[error("cannot remove the services from the packet filter")]
    Services(#[source] std::io::Error),
    /// The kubelet API cannot be served.
    #[error(transparent)]
    Server(#[from] ServeError),
    /// A directory cannot be made or removed.
    #[error("cannot prepare {path}")]
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A task of the agent has ended by itself.
    #[error("the agent's task {0:?} has ended by itself")]
    TaskEnded(&'static str),
}

/// Runs the agent until `shutdown`. Pods go on without it, and the next agent with the same directories adopts them.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let config = Arc::new(config);
    for path in [config.pods_dir(), config.run_dir.clone(), config.log_dir.join("pods")] {
        std::fs::create_dir_all(&path).map_err(|source| RunError::Directory { path, source })?;
    }
    let server = Server::bind(config.listen, &config.tls).await?;
    let runtime = Runtime::open(runtime_config(&config)).await?;
    let images = Images::open(images_config(&config)).await?;
    let network = PodNetwork::open(network_settings(&config)).await?;
    let (recorder, writer) = EventRecorder::new("kubelet", &config.node_name);
    let context = Arc::new(Context {
        volumes: Volumes::new(config.client.clone()),
        services: Services::default(),
        table: PodTable::default(),
        amounts: node_status::amounts(&config.dir),
        config: config.clone(),
        runtime,
        images,
        network,
        recorder,
    });
    let Some(node_uid) = node_status::register(&config, &shutdown).await else { return Ok(()) };

    // Workers and watches stop when any task does: half an agent is worse than one that is restarted.
    let stop = shutdown.child_token();
    let mut tasks: JoinSet<&'static str> = JoinSet::new();
    let mut spawn = |name: &'static str, task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        tasks.spawn(async move {
            task.await;
            name
        });
    };
    spawn("events", Box::pin(writer.run(config.client.clone(), stop.clone())));
    spawn("lease", Box::pin(renew_lease(config.clone(), node_uid, stop.clone())));
    let api = server::Api { config: config.clone(), pods: context.table.clone() };
    let streaming = Streaming::new(context.runtime.clone(), context.table.clone(), stop.clone());
    spawn("server", Box::pin(server.run(api, streaming.clone().router(), stop.clone())));
    let readiness = Arc::new(watch::Sender::new(Readiness::starting()));
    let (own_sender, own) = watch::channel(None);
    spawn("status", Box::pin(report_status(config.clone(), own, readiness.subscribe(), stop.clone())));
    spawn("probe", Box::pin(probe_and_stay(context.clone(), readiness.clone(), stop.clone())));
    spawn("image gc", Box::pin(image_gc::run(context.clone(), stop.clone())));
    let (sender, changes) = mpsc::channel(CHANGES_MAX);
    spawn("watch nodes", Box::pin(until(stop.clone(), watch_all::<Node>(&config, sender))));
    spawn("nodes", Box::pin(nodes::run(context.clone(), changes, readiness.clone(), own_sender, stop.clone())));
    let (sender, changes) = mpsc::channel(CHANGES_MAX);
    spawn("watch services", Box::pin(until(stop.clone(), watch_all::<Service>(&config, sender))));
    let (sender, slices) = mpsc::channel(CHANGES_MAX);
    spawn("watch endpoint slices", Box::pin(until(stop.clone(), watch_all::<EndpointSlice>(&config, sender))));
    spawn("services", Box::pin(service_proxy::run(context.clone(), changes, slices, stop.clone())));
    spawn("pods", Box::pin(run_pods(context.clone(), readiness.subscribe(), stop.clone())));

    let ended = tokio::select! {
        ended = tasks.join_next() => ended,
        () = shutdown.cancelled() => None,
    };
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    streaming.drain().await;
    context.runtime.shutdown(false).await?;
    match ended {
        _ if shutdown.is_cancelled() => Ok(()),
        Some(Ok(name)) => Err(RunError::TaskEnded(name)),
        Some(Err(_)) | None => Err(RunError::TaskEnded("(panicked)")),
    }
}

/// Removes everything an agent with this configuration has on the machine: pods, their network, volumes and logs.
pub async fn clean_up(config: &Config) -> Result<(), RunError> {
    let runtime = Runtime::open(runtime_config(config)).await?;
    for sandbox in runtime.pods() {
        runtime.remove_pod_sandbox(&sandbox.spec.uid).await?;
    }
    runtime.shutdown(true).await?;
    PodNetwork::open(network_settings(config)).await?.clean_up().await?;
    let services = service_proxy::clean_up(config).await.map_err(RunError::Services);
    let failed = |path: &std::path::Path| {
        let path = path.to_owned();
        move |source| RunError::Directory { path, source }
    };
    let pods_dir = config.pods_dir();
    volumes::unmount_below(&pods_dir).map_err(failed(&pods_dir))?;
    for path in [pods_dir, config.log_dir.join("pods")] {
        crate::files::remove_all(&path).map_err(failed(&path))?;
    }
    // The rest goes also where the packet filter gives no answer.
    services
}

fn runtime_config(config: &Config) -> runtime::Config {
    runtime::Config {
        run_dir: config.run_dir.join("runtime"),
        state_dir: config.dir.join("runtime"),
        cgroup_root: config.cgroup_root.clone(),
    }
}

fn images_config(config: &Config) -> image::Config {
    image::Config {
        dir: config.dir.join("images"),
        archives: Some(config.images_dir.clone()),
        insecure_registries: config.insecure_registries.clone(),
        parallel_pulls: PARALLEL_PULLS,
    }
}

fn network_settings(config: &Config) -> network::Settings {
    network::Settings {
        agent: config.agent_identity(),
        run_dir: config.run_dir.clone(),
        state_dir: config.dir.join("network"),
        node_ip: config.node_ip,
    }
}

async fn renew_lease(config: Arc<Config>, node_uid: String, stop: CancellationToken) {
    lease::run(&config, node_uid, stop).await;
}

async fn report_status(
    config: Arc<Config>,
    own: watch::Receiver<Option<Node>>,
    readiness: watch::Receiver<Readiness>,
    stop: CancellationToken,
) {
    node_status::run(&config, own, readiness, stop).await;
}

/// The probe ends when it has worked; a task of the agent must not.
async fn probe_and_stay(context: Arc<Context>, readiness: Arc<watch::Sender<Readiness>>, stop: CancellationToken) {
    probe_container::run(context, readiness, stop.clone()).await;
    stop.cancelled().await;
}

fn watch_all<K>(config: &Config, changes: mpsc::Sender<Change<K>>) -> impl Future<Output = ()> + use<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    reflector::run(Api::<K>::all(config.client.clone()), None, changes)
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// Pods have to wait for the network: before it is there, nothing but failures would be reported.
async fn run_pods(context: Arc<Context>, mut readiness: watch::Receiver<Readiness>, stop: CancellationToken) {
    tokio::select! {
        ready = readiness.wait_for(|readiness| readiness.network.is_ok()) => if ready.is_err() { return },
        () = stop.cancelled() => return,
    }
    let (sender, changes) = mpsc::channel(CHANGES_MAX);
    let mine = format!("spec.nodeName={}", context.config.node_name);
    let watch = reflector::run(Api::<Pod>::all(context.config.client.clone()), Some(mine), sender);
    let events = context.runtime.events();
    let manager = Manager::new(context, stop.clone()).run(changes, events);
    tokio::pin!(manager);
    // The manager ends last: it waits for its workers.
    tokio::select! {
        () = &mut manager => return,
        () = watch => {}
        () = stop.cancelled() => {}
    }
    manager.await;
}
