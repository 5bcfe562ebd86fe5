//! One cache per resource, warm on every master whether it acts or not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::stored::StoredObject;
use client::cache::Entry;
use client::{Cache, Key, Resource, Selection, Source};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::endpoint_slice::pods::selector_of;
use crate::meta::Strings;
use crate::pod_digest::PodDigest;

/// Definitions of kinds are watched; this is for whatever else may change what is served.
const DISCOVERY_PERIOD: Duration = Duration::from_secs(30);
const DISCOVERY_RETRY: Duration = Duration::from_millis(500);
/// How often discovery is read soon again after a definition changed: the server heard of it when we did, and may need a
/// moment.
const DISCOVERIES_AFTER_CHANGE: u8 = 3;

/// The resources that controllers name.
pub mod resources {
    use client::Resource;

    /// apps/v1
    pub const CONTROLLER_REVISIONS: Resource = Resource::new("apps", "v1", "controllerrevisions");
    /// apps/v1
    pub const DAEMON_SETS: Resource = Resource::new("apps", "v1", "daemonsets");
    /// apps/v1
    pub const DEPLOYMENTS: Resource = Resource::new("apps", "v1", "deployments");
    /// apps/v1
    pub const REPLICA_SETS: Resource = Resource::new("apps", "v1", "replicasets");
    /// apps/v1
    pub const STATEFUL_SETS: Resource = Resource::new("apps", "v1", "statefulsets");
    /// batch/v1
    pub const CRON_JOBS: Resource = Resource::new("batch", "v1", "cronjobs");
    /// batch/v1
    pub const JOBS: Resource = Resource::new("batch", "v1", "jobs");
    /// apiextensions.k8s.io/v1
    pub const CUSTOM_RESOURCE_DEFINITIONS: Resource =
        Resource::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    /// rbac.authorization.k8s.io/v1
    pub const CLUSTER_ROLES: Resource = Resource::new("rbac.authorization.k8s.io", "v1", "clusterroles");
    /// coordination.k8s.io/v1
    pub const LEASES: Resource = Resource::new("coordination.k8s.io", "v1", "leases");
    /// v1
    pub const CONFIG_MAPS: Resource = Resource::new("", "v1", "configmaps");
    /// v1
    pub const ENDPOINTS: Resource = Resource::new("", "v1", "endpoints");
    /// v1
    pub const EVENTS: Resource = Resource::new("", "v1", "events");
    /// v1
    pub const NAMESPACES: Resource = Resource::new("", "v1", "namespaces");
    /// v1
    pub const NODES: Resource = Resource::new("", "v1", "nodes");
    /// v1
    pub const PERSISTENT_VOLUME_CLAIMS: Resource = Resource::new("", "v1", "persistentvolumeclaims");
    /// v1
    pub const PERSISTENT_VOLUMES: Resource = Resource::new("", "v1", "persistentvolumes");
    /// v1
    pub const PODS: Resource = Resource::new("", "v1", "pods");
    /// v1
    pub const SERVICE_ACCOUNTS: Resource = Resource::new("", "v1", "serviceaccounts");
    /// v1
    pub const SERVICES: Resource = Resource::new("", "v1", "services");
    /// discovery.k8s.io/v1
    pub const ENDPOINT_SLICES: Resource = Resource::new("discovery.k8s.io", "v1", "endpointslices");
    /// storage.k8s.io/v1
    pub const VOLUME_ATTRIBUTES_CLASSES: Resource = Resource::new("storage.k8s.io", "v1", "volumeattributesclasses");
}

use resources::{
    CLUSTER_ROLES, CONFIG_MAPS, CONTROLLER_REVISIONS, CRON_JOBS, CUSTOM_RESOURCE_DEFINITIONS, DAEMON_SETS, DEPLOYMENTS,
    ENDPOINT_SLICES, ENDPOINTS, EVENTS, JOBS, LEASES, NAMESPACES, NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES,
    PODS, REPLICA_SETS, SERVICE_ACCOUNTS, SERVICES, STATEFUL_SETS, VOLUME_ATTRIBUTES_CLASSES,
};

/// What a cache keeps at hand beside the object.
#[derive(Debug)]
pub enum Digest {
    /// The object is decoded when needed.
    None,
    /// Pods are many, and looked at in bulk.
    Pod(PodDigest),
    /// Every change of every pod is held against the selectors of all Services of its namespace.
    Selector(Strings),
}

/// An object of one of the caches.
pub type Cached = Arc<Entry<Digest>>;

/// A resource the API serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Which.
    pub resource: Resource,
    /// Its kind.
    pub kind: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether its objects can be deleted.
    pub deletable: bool,
}

/// All caches, and what is served. Cheap to clone.
#[derive(Clone)]
pub struct Caches {
    inner: Arc<Inner>,
}

struct Inner {
    caches: RwLock<BTreeMap<Resource, Cache<Digest>>>,
    served: RwLock<Vec<Served>>,
    /// Counts the changes of the set of caches.
    grown: watch::Sender<u64>,
}

impl Default for Caches {
    fn default() -> Self {
        Self::new()
    }
}

impl Caches {
    /// Caches of the built-in resources that controllers name, still empty.
    pub fn new() -> Self {
        let inner = Inner { caches: RwLock::default(), served: RwLock::default(), grown: watch::channel(0).0 };
        let caches = Self { inner: Arc::new(inner) };
        for resource in [
            CLUSTER_ROLES,
            CONFIG_MAPS,
            CONTROLLER_REVISIONS,
            CRON_JOBS,
            CUSTOM_RESOURCE_DEFINITIONS,
            DAEMON_SETS,
            DEPLOYMENTS,
            ENDPOINT_SLICES,
            ENDPOINTS,
            JOBS,
            LEASES,
            NAMESPACES,
            NODES,
            PERSISTENT_VOLUME_CLAIMS,
            PERSISTENT_VOLUMES,
            PODS,
            REPLICA_SETS,
            SERVICE_ACCOUNTS,
            SERVICES,
            STATEFUL_SETS,
            VOLUME_ATTRIBUTES_CLASSES,
        ] {
            caches.ensure(resource);
        }
        caches
    }

    /// Fills all caches until `shutdown`, and adds one for each resource that discovery shows.
    pub(crate) async fn run(self, source: Arc<dyn Source>, reader: kube::Client, shutdown: CancellationToken) {
        let mut feeds = JoinSet::new();
        let mut fed: Vec<Resource> = Vec::new();
        let defined = Arc::new(watch::Sender::new(0_u64));
        let mut changes = defined.subscribe();
        let _subscription =
            self.of(&CUSTOM_RESOURCE_DEFINITIONS).subscribe(move |_| defined.send_modify(|count| *count += 1));
        let mut soon = 0;
        loop {
            for (resource, cache) in self.all() {
                if !fed.contains(&resource) {
                    fed.push(resource);
                    feeds.spawn(cache.run(source.clone(), shutdown.clone()));
                }
            }
            let pause = match discover(&reader).await {
                Ok(served) => {
                    self.set_served(served);
                    if soon > 0 { DISCOVERY_RETRY } else { DISCOVERY_PERIOD }
                }
                Err(error) => {
                    tracing::debug!(%error, "discovery failed");
                    DISCOVERY_RETRY
                }
            };
            let mut grown = self.inner.grown.subscribe();
            let fresh = self.inner.caches.read().len() != fed.len();
            if fresh {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(pause) => soon = u8::saturating_sub(soon, 1),
                _ = changes.changed() => soon = DISCOVERIES_AFTER_CHANGE,
                _ = grown.changed() => {}
            }
        }
        while feeds.join_next().await.is_some() {}
    }

    /// What is served, and a cache for each of it. Events are not mirrored: nothing owns them and nothing reads them.
    pub(crate) fn set_served(&self, served: Vec<Served>) {
        for one in served.iter().filter(|one| one.deletable && one.resource.plural != EVENTS.plural) {
            self.ensure(one.resource.clone());
        }
        *self.inner.served.write() = served;
    }

    fn ensure(&self, resource: Resource) {
        let mut caches = self.inner.caches.write();
        if caches.contains_key(&resource) {
            return;
        }
        let digest: fn(&StoredObject) -> Digest = match () {
            () if resource == PODS => PodDigest::of,
            () if resource == SERVICES => selector_of,
            () => |_| Digest::None,
        };
        caches.insert(resource.clone(), Cache::new(Selection::all(resource), digest));
        drop(caches);
        self.inner.grown.send_modify(|count| *count += 1);
    }

    /// The resources served now.
    pub fn served(&self) -> Vec<Served> {
        self.inner.served.read().clone()
    }

    /// The resource of a kind.
    pub fn resource_of(&self, api_version: &str, kind: &str) -> Option<Served> {
        let served = self.inner.served.read();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let is = |one: &&Served| one.kind == kind && one.resource.group == group && one.resource.version == version;
        // All versions show the same objects, and one of them is enough.
        let shows = |one: &&Served| one.kind == kind && one.resource.group == group;
        served.iter().find(is).or_else(|| served.iter().find(shows)).cloned()
    }

    /// Every cache there is.
    pub fn all(&self) -> Vec<(Resource, Cache<Digest>)> {
        self.inner.caches.read().iter().map(|(resource, cache)| (resource.clone(), cache.clone())).collect()
    }

    /// Changes when a cache is added.
    pub(crate) fn grown(&self) -> watch::Receiver<u64> {
        self.inner.grown.subscribe()
    }

    /// The cache of a resource; an empty one when there is none.
    pub fn of(&self, resource: &Resource) -> Cache<Digest> {
        let found = self.inner.caches.read().get(resource).cloned();
        found.unwrap_or_else(|| Cache::new(Selection::all(resource.clone()), |_| Digest::None))
    }

    /// One object.
    pub fn get(&self, resource: &Resource, key: &Key) -> Option<Cached> {
        self.inner.caches.read().get(resource)?.get(key)
    }

    /// One object in its typed form. One that cannot be read is logged and passed over.
    pub fn typed<T: DeserializeOwned>(&self, resource: &Resource, key: &Key) -> Option<T> {
        decode(resource, &*self.get(resource, key)?)
    }
}

/// The typed form of a cached object. One that cannot be read is logged and passed over.
pub(crate) fn decode<T: DeserializeOwned>(resource: &Resource, entry: &Entry<Digest>) -> Option<T> {
    match entry.decode() {
        Ok(object) => Some(object),
        Err(error) => {
            let name = &entry.object.header().name;
            tracing::error!(%resource, %name, %error, "an object could not be read");
            None
        }
    }
}

async fn discover(client: &kube::Client) -> Result<Vec<Served>, kube::Error> {
    let mut served = Vec::new();
    let core = client.list_core_api_resources("v1").await?;
    collect(&mut served, "", "v1", &core);
    for group in client.list_api_groups().await?.groups {
        // One version of each group is enough: all versions show the same objects.
        let preferred = group.preferred_version.as_ref().or(group.versions.first());
        let Some(version) = preferred.map(|version| version.version.clone()) else { continue };
        let list = client.list_api_group_resources(&format!("{}/{version}", group.name)).await?;
        collect(&mut served, &group.name, &version, &list);
    }
    Ok(served)
}

fn collect(served: &mut Vec<Served>, group: &str, version: &str, list: &APIResourceList) {
    for resource in &list.resources {
        let can = |verb: &str| resource.verbs.iter().any(|known| known == verb);
        if resource.name.contains('/') || !can("list") || !can("watch") {
            continue;
        }
        served.push(Served {
            resource: Resource {
                group: group.to_owned().into(),
                version: version.to_owned().into(),
                plural: resource.name.clone().into(),
            },
            kind: resource.kind.clone(),
            namespaced: resource.namespaced,
            deletable: can("delete"),
        });
    }
}
