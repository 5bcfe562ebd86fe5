//! What a run does through the cluster's own APIs: its place to write, what is there in the end, and leaving nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use client::Kubeconfig;
use http::{Method, StatusCode};
use proto::etcdserverpb::{
    DeleteRangeRequest, HashKvRequest, PutRequest, RangeRequest, RangeResponse, kv_client::KvClient,
    maintenance_client::MaintenanceClient,
};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    api::{self, Api},
    observer::Observer,
    watchers::{Last, Watchers},
    writer::{Metadata, Object, Place},
};
use crate::{
    credential,
    etcd::Access,
    objects::{self, Containers},
    proxy,
    up::cluster::Cluster,
};

/// What a run's keys begin with, and the names of its namespaces.
const PREFIX: &str = "/kontiki-chaos/";
const NAMESPACE: &str = "kontiki-chaos-";
/// The pause between two writes of a writer.
const PERIOD: Duration = Duration::from_millis(10);
/// A crowded machine may need some hundred milliseconds for a new connection.
const WRITE_PATIENCE: Duration = Duration::from_millis(800);
/// How long a healed cluster may take for one of these requests.
const PATIENCE: Duration = Duration::from_secs(30);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// A list of a long run is larger than what tonic takes by default.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// The way to a cluster.
pub(crate) struct Session {
    pub(crate) access: Access,
    /// The etcd port of each master.
    pub(crate) urls: Vec<String>,
    pub(crate) kube: kube::Client,
    pub(crate) place: Place,
    addresses: Vec<SocketAddr>,
    names: Vec<String>,
    kubeconfig: Kubeconfig,
    _stop_probing: DropGuard,
}

impl Session {
    /// Opens the way; `number` tells this run's names from those of others.
    pub(crate) async fn open(cluster: &Cluster, number: i64) -> Result<Self> {
        let kubeconfig = Kubeconfig::read(&cluster.dir.join("kubeconfig"))?;
        credential::ensure_proxy(&cluster.dir, proxy::local_address(&kubeconfig)?).await?;
        let stop = CancellationToken::new();
        let balancer = client::Balancer::new(proxy::masters(&kubeconfig, stop.clone())?);
        let addresses: Vec<Ipv4Addr> = cluster.masters().map(|host| host.address).collect();
        Ok(Self {
            access: Access::load(&cluster.dir.join("etcd"))?,
            urls: addresses.iter().map(|address| format!("https://{address}:2379")).collect(),
            kube: client::kube_client::over_balancer(balancer, "kontiki-chaos"),
            place: Place {
                prefix: format!("{PREFIX}{number}/"),
                namespace: format!("{NAMESPACE}{number}"),
                period: PERIOD,
                patience: WRITE_PATIENCE,
            },
            addresses: addresses.iter().map(|address| (*address, 6443).into()).collect(),
            names: cluster.masters().map(|host| host.name.clone()).collect(),
            kubeconfig,
            _stop_probing: stop.drop_guard(),
        })
    }

    /// Begins to ask who leads.
    pub(crate) fn observe(&self, cluster: &Cluster) -> Observer {
        Observer::start(cluster, &self.access)
    }

    /// Makes the run's namespace, and begins to watch.
    pub(crate) async fn watch(&self) -> Result<Watchers> {
        let namespace =
            format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{}"}}}}"#, self.place.namespace);
        self.ask(Method::POST, "/api/v1/namespaces", namespace).await.context("cannot make a namespace")?;
        let list: List = self.list_objects().await?;
        let version = list.metadata.resource_version.parse().context("a list's resourceVersion")?;
        let revision = self.list_keys().await?.header.context("an answer without header")?.revision;
        Ok(Watchers::start(
            (&self.access, &self.urls, &self.place.prefix, revision),
            (api::certificate(&self.kubeconfig)?, &self.addresses, &self.place.namespace, version),
        ))
    }

    /// Makes the last changes that watchers are to hear of.
    pub(crate) async fn end_marks(&self) -> Result<Last> {
        let put = PutRequest { key: format!("{}end", self.place.prefix).into(), ..PutRequest::default() };
        let answer = self.any_master(async |mut client| Ok(client.put(put.clone()).await?.into_inner())).await?;
        let key = answer.header.context("an answer without header")?.revision;
        let path = format!("/api/v1/namespaces/{}/configmaps", self.place.namespace);
        let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"end"}}"#;
        let (status, answer) = self.ask(Method::POST, &path, body.to_owned()).await?;
        let object = if status == 409 {
            let found = self.objects().await?;
            *found.get("end").context("the last object is gone")?
        } else {
            serde_json::from_slice::<Object>(&answer)?.revision()?
        };
        Ok(Last { key, object })
    }

    /// Every key that is there, without the prefix, with its revision; and the store's revision.
    pub(crate) async fn keys(&self) -> Result<(BTreeMap<String, i64>, i64)> {
        let answer = self.list_keys().await?;
        let name =
            |key: &[u8]| String::from_utf8_lossy(key.get(self.place.prefix.len()..).unwrap_or_default()).into_owned();
        let found = answer.kvs.iter().map(|kv| (name(&kv.key), kv.mod_revision)).collect();
        Ok((found, answer.header.context("an answer without header")?.revision))
    }

    /// Every object that is there, with its revision.
    pub(crate) async fn objects(&self) -> Result<BTreeMap<String, i64>> {
        let list = self.list_objects().await?;
        list.items.iter().map(|item| Ok((item.metadata.name.clone(), item.revision()?))).collect()
    }

    /// The containers of all pods.
    pub(crate) async fn containers(&self) -> Result<BTreeMap<String, Containers>> {
        until(async || objects::containers(&self.kube).await).await
    }

    /// The same, once those of these workers run again, or have had the time to.
    pub(crate) async fn containers_again(&self, rebooted: &BTreeSet<&str>) -> Result<BTreeMap<String, Containers>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all = self.containers().await?;
            let run = all.values().all(|pod| pod.run || !rebooted.contains(pod.node.as_str()));
            if run || Instant::now() > deadline {
                return Ok(all);
            }
            sleep(PAUSE).await;
        }
    }

    /// Since when each node is Ready; nothing for one that is not.
    pub(crate) async fn nodes(&self) -> Result<BTreeMap<String, Option<String>>> {
        let nodes = until(async || objects::nodes(&self.kube).await).await?;
        Ok(nodes.into_iter().map(|node| (node.name, node.ready.then_some(node.since))).collect())
    }

    /// Each member's hash of all keys at this revision.
    pub(crate) async fn hashes(&self, revision: i64) -> Vec<(String, Result<u32, String>)> {
        let all = self.names.iter().zip(&self.urls).map(|(name, url)| async move {
            let hash = until(async || {
                let mut client = MaintenanceClient::new(self.access.channel(url)?);
                Ok(client.hash_kv(HashKvRequest { revision }).await?.into_inner().hash)
            });
            (name.clone(), hash.await.map_err(|error| format!("{error:#}")))
        });
        futures_util::future::join_all(all).await
    }

    /// Removes everything that this run and killed ones before it wrote.
    pub(crate) async fn clean_up(&self) -> Result<()> {
        let delete =
            DeleteRangeRequest { key: PREFIX.into(), range_end: after(PREFIX), ..DeleteRangeRequest::default() };
        self.any_master(async |mut client| Ok(client.delete_range(delete.clone()).await?)).await?;
        for namespace in self.namespaces().await? {
            let path = format!("/api/v1/namespaces/{namespace}");
            // All objects at once: the namespace's own end would take them one by one.
            self.ask(Method::DELETE, &format!("{path}/configmaps"), String::new()).await?;
            self.ask(Method::DELETE, &path, String::new()).await?;
        }
        // The next run is not to take pods that are on their way out for pods that run.
        until(async || match self.namespaces().await?.first() {
            Some(namespace) => bail!("the namespace {namespace} is still there"),
            None => Ok(()),
        })
        .await
    }

    /// The namespaces of this run and of killed ones.
    async fn namespaces(&self) -> Result<Vec<String>> {
        let (_, namespaces) = self.ask(Method::GET, "/api/v1/namespaces", String::new()).await?;
        let namespaces: List = serde_json::from_slice(&namespaces)?;
        let names = namespaces.items.into_iter().map(|item| item.metadata.name);
        Ok(names.filter(|name| name.starts_with(NAMESPACE)).collect())
    }

    async fn list_keys(&self) -> Result<RangeResponse> {
        let prefix = &self.place.prefix;
        let range = RangeRequest {
            key: prefix.clone().into(),
            range_end: after(prefix),
            keys_only: true,
            ..RangeRequest::default()
        };
        self.any_master(async |client| {
            let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
            Ok(client.range(range.clone()).await?.into_inner())
        })
        .await
    }

    async fn list_objects(&self) -> Result<List> {
        let path = format!("/api/v1/namespaces/{}/configmaps", self.place.namespace);
        let (_, list) = self.ask(Method::GET, &path, String::new()).await?;
        serde_json::from_slice(&list).context("a list that is none")
    }

    /// Asks one master after the other until one answers.
    async fn any_master<T>(
        &self,
        mut ask: impl AsyncFnMut(KvClient<tonic::transport::Channel>) -> Result<T>,
    ) -> Result<T> {
        let mut turn = 0;
        until(async || {
            turn += 1;
            ask(KvClient::new(self.access.channel(&self.urls[turn % self.urls.len()])?)).await
        })
        .await
    }

    /// Asks the Kubernetes API until it answers with anything but a failure of its own.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: String) -> Result<(StatusCode, Bytes)> {
        until(async || {
            let mut api = Api::of_kubeconfig(&self.kubeconfig)?;
            let (status, answer) = api.ask(method.clone(), path, body.clone().into()).await?;
            // 404 and 409: what was to be deleted is gone, what was to be made is there.
            if status.is_success() || status == 404 || status == 409 {
                return Ok((status, answer));
            }
            bail!("{method} {path}: status {status}: {}", String::from_utf8_lossy(&answer))
        })
        .await
    }
}

/// A list of which only names and versions are read.
#[derive(Deserialize)]
struct List {
    metadata: Metadata,
    items: Vec<Object>,
}

/// The first key after all that begin so.
fn after(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

async fn until<T>(mut ask: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let why = match timeout(ATTEMPT_TIMEOUT, ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(why)) => why,
            Err(elapsed) => elapsed.into(),
        };
        if Instant::now() > deadline {
            return Err(why.context(format!("not within {} s", PATIENCE.as_secs())));
        }
        sleep(PAUSE).await;
    }
}
