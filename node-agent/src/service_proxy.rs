//! The service proxy: what Services promise, in the packet filter of this node's network namespace.
//!
//! A connection to an address and port of a Service goes to one of its endpoints, be it from a pod of this node, from the
//! node itself or, at node ports and external addresses, from elsewhere; where nobody is ready it is refused at once.
//! All of it stands in one table of nf_tables of the agent's own, and each change is one transaction of a few elements:
//! no connection sees a half of it, and none that is established is touched, not by a restart of the agent either.
//!
//! Deliberately absent: Services of IPv6, as long as pods have no such addresses; node ports at loopback addresses;
//! `loadBalancerSourceRanges`; and choices by zone. The node itself needs some route to a Service's address, as every
//! node with a default route has.

mod claims;
mod frontends;
mod observed;
mod ruleset;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::network::netfilter::Socket;
use crate::network::netfilter::conntrack::Flow;
use crate::network::netfilter::nf_tables::Batch;
use crate::pod::context::{Context, Services};
use crate::reflector::Change;
use frontends::{Backends, Frontend, Place, Protocol, Proxied};
pub use observed::{Destinations, observe_services};
use ruleset::Ruleset;

/// A table that someone removed is made again after this time.
const RESYNC: Duration = Duration::from_secs(30);
/// What failed is tried again after this time at first; each time it waits twice as long, up to [`RESYNC`].
const RETRY: Duration = Duration::from_millis(100);
/// The label with the name of a slice's Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Namespace and name.
type Key = (String, String);

/// Follows Services and their slices until `shutdown`.
pub(crate) async fn run(
    context: Arc<Context>,
    services: mpsc::Receiver<Change<Service>>,
    slices: mpsc::Receiver<Change<EndpointSlice>>,
    shutdown: CancellationToken,
) {
    let kernel = Kernel::new(table(&context.config));
    follow(kernel, Place::of(&context.config), &context.services, (services, slices), shutdown).await;
}

/// What the proxy programs.
trait Filter {
    /// Brings it to what is known. With `check`, looks whether it is there at all.
    fn sync(&mut self, known: &Known, check: bool) -> impl Future<Output = io::Result<()>> + Send;
}

/// Programs a filter with what the API says, change after change. All Services are kept in `all`.
async fn follow(
    mut filter: impl Filter,
    place: Place,
    all: &Services,
    (mut services, mut slices): (mpsc::Receiver<Change<Service>>, mpsc::Receiver<Change<EndpointSlice>>),
    shutdown: CancellationToken,
) {
    let mut known = Known::new(place);
    let mut retry = RETRY;
    let mut next = Instant::now();
    loop {
        tokio::select! {
            change = services.recv() => match change {
                Some(change) => known.take_service(change, all),
                None => return,
            },
            change = slices.recv() => match change {
                Some(change) => known.take_slice(change),
                None => return,
            },
            () = tokio::time::sleep_until(next), if known.is_whole() => {}
            () = shutdown.cancelled() => return,
        }
        // What came meanwhile goes into the same transaction.
        while let Ok(change) = services.try_recv() {
            known.take_service(change, all);
        }
        while let Ok(change) = slices.try_recv() {
            known.take_slice(change);
        }
        if !known.is_whole() {
            continue;
        }
        known.refresh(all);
        let is_due = Instant::now() >= next;
        let pause = match filter.sync(&known, is_due).await {
            Ok(()) => {
                retry = RETRY;
                // Changes come often, and must not put the check off.
                if !is_due {
                    continue;
                }
                RESYNC
            }
            Err(error) => {
                tracing::warn!(%error, "services cannot be programmed");
                let pause = retry;
                retry = (retry * 2).min(RESYNC);
                pause
            }
        };
        next = Instant::now() + pause;
    }
}

/// Takes everything of this agent out of the packet filter.
pub(crate) async fn clean_up(config: &Config) -> io::Result<()> {
    let table = table(config);
    let remove = move || {
        let mut socket = Socket::open()?;
        if socket.has_table(&table)? {
            let mut batch = Batch::new(&table);
            batch.delete_table();
            socket.commit(batch)?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(remove).await.map_err(io::Error::other)?
}

/// The name of this agent's table: several agents may stand in one network namespace.
fn table(config: &Config) -> String {
    let identity = Sha256::digest(config.agent_identity().as_bytes());
    let suffix: String = identity.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("kontiki-services-{suffix}")
}

/// What the API says.
struct Known {
    place: Place,
    services_listed: bool,
    slices_listed: bool,
    slices: BTreeMap<Key, EndpointSlice>,
    /// The slices of each Service, by name; all are in its namespace.
    by_service: BTreeMap<Key, BTreeSet<String>>,
    /// Services to read again.
    changed: BTreeSet<Key>,
    proxied: BTreeMap<Key, Proxied>,
}

impl Known {
    fn new(place: Place) -> Self {
        Self {
            place,
            services_listed: false,
            slices_listed: false,
            slices: BTreeMap::new(),
            by_service: BTreeMap::new(),
            changed: BTreeSet::new(),
            proxied: BTreeMap::new(),
        }
    }

    /// Half of the truth would take Services away that are there.
    fn is_whole(&self) -> bool {
        self.services_listed && self.slices_listed
    }

    fn take_service(&mut self, change: Change<Service>, services: &Services) {
        match &change {
            Change::Reset(all) => {
                self.services_listed = true;
                self.changed.extend(self.proxied.keys().cloned());
                self.changed.extend(all.iter().map(|service| key(&service.metadata)));
            }
            Change::Applied(service) | Change::Deleted(service) => {
                self.changed.insert(key(&service.metadata));
            }
        }
        services.apply(change);
    }

    fn take_slice(&mut self, change: Change<EndpointSlice>) {
        match change {
            Change::Reset(all) => {
                self.slices_listed = true;
                self.changed.extend(std::mem::take(&mut self.by_service).into_keys());
                self.slices.clear();
                all.into_iter().for_each(|slice| self.put_slice(slice));
            }
            Change::Applied(slice) => {
                // Its label may have led to another Service before.
                self.remove_slice(&key(&slice.metadata));
                self.put_slice(slice);
            }
            Change::Deleted(slice) => self.remove_slice(&key(&slice.metadata)),
        }
    }

    fn put_slice(&mut self, mut slice: EndpointSlice) {
        let Some(service) = service_of(&slice) else { return };
        // Every node holds all slices of the cluster, and this is the half of a small one.
        slice.metadata.managed_fields = None;
        let key = key(&slice.metadata);
        self.changed.insert(service.clone());
        self.by_service.entry(service).or_default().insert(key.1.clone());
        self.slices.insert(key, slice);
    }

    fn remove_slice(&mut self, key: &Key) {
        let Some(service) = self.slices.remove(key).as_ref().and_then(service_of) else { return };
        if let Some(names) = self.by_service.get_mut(&service) {
            names.remove(&key.1);
            if names.is_empty() {
                self.by_service.remove(&service);
            }
        }
        self.changed.insert(service);
    }

    /// Reads what has changed.
    fn refresh(&mut self, services: &Services) {
        for key in std::mem::take(&mut self.changed) {
            let Some(service) = services.get(&key) else {
                self.proxied.remove(&key);
                continue;
            };
            let names = self.by_service.get(&key).into_iter().flatten();
            let slices = names.filter_map(|name| self.slices.get(&(key.0.clone(), name.clone())));
            let proxied = frontends::of(&service, slices, &self.place);
            self.proxied.insert(key, proxied);
        }
    }

    /// Who answers at each place.
    fn places(&self) -> BTreeMap<Frontend, &Backends> {
        let api = self.proxied.get(&("default".to_owned(), "kubernetes".to_owned()));
        let masters = api.into_iter().flat_map(|api| api.frontends.values()).flat_map(|api| &api.endpoints).copied();
        let kubelet = self.place.address.map(|address| (address, self.place.kubelet_port));
        claims::settle(self.proxied.values(), &masters.chain(kubelet).collect())
    }
}

fn key(metadata: &ObjectMeta) -> Key {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some((slice.metadata.namespace.clone().unwrap_or_default(), name.clone()))
}

/// Frontends that are reached by datagrams, and who answers there.
type Datagrams = BTreeMap<Frontend, BTreeSet<(Ipv4Addr, u16)>>;

/// The endpoints of all that is reached by datagrams.
fn datagrams(places: &BTreeMap<Frontend, &Backends>) -> Datagrams {
    let by_datagram = places.iter().filter(|(frontend, _)| frontend.protocol == Protocol::UDP);
    by_datagram.map(|(frontend, backends)| (*frontend, backends.endpoints.clone())).collect()
}

/// Those whose endpoints have changed, with the endpoints they have now.
fn changed_datagrams(before: &Datagrams, now: &Datagrams) -> Datagrams {
    let mut changed: Datagrams = before.keys().map(|frontend| (*frontend, BTreeSet::new())).collect();
    changed.extend(now.iter().map(|(frontend, endpoints)| (*frontend, endpoints.clone())));
    changed.retain(|frontend, _| before.get(frontend) != now.get(frontend));
    changed
}

/// Whether a flow goes on to someone who does not answer there any more. The kernel would keep it so as long as the client
/// sends, since datagrams have no end.
fn is_stale(flow: &Flow, changed: &Datagrams) -> bool {
    let frontend = Frontend { address: flow.to.0, protocol: Protocol(flow.protocol), port: flow.to.1 };
    changed.get(&frontend).is_some_and(|endpoints| !endpoints.contains(&flow.answered_by))
}

/// The packet filter, and what stands in it.
struct Kernel {
    table: String,
    socket: Option<Socket>,
    /// `None`: nobody knows, and all of it is made anew.
    present: Option<Ruleset>,
    datagrams: Datagrams,
}

impl Kernel {
    fn new(table: String) -> Self {
        Self { table, socket: None, present: None, datagrams: Datagrams::new() }
    }
}

impl Filter for Kernel {
    async fn sync(&mut self, known: &Known, check: bool) -> io::Result<()> {
        let places = known.places();
        let wanted = Ruleset::of(known.proxied.values(), &places);
        let datagrams = datagrams(&places);
        let changed = changed_datagrams(&self.datagrams, &datagrams);
        let all = changed_datagrams(&Datagrams::new(), &datagrams);
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::open()?,
        };
        // Whatever fails, what stands there is not known afterwards.
        let (table, present) = (self.table.clone(), self.present.take());
        let work = move || {
            let is_new = program(&mut socket, &table, present, &wanted, check)?;
            // While there was no table, flows began that lead nowhere.
            let changed = if is_new { all } else { changed };
            let forgotten = if changed.is_empty() { Ok(0) } else { socket.forget(|flow| is_stale(flow, &changed)) };
            Ok::<_, io::Error>((socket, wanted, forgotten))
        };
        let (socket, reached, forgotten) = tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??;
        self.present = Some(reached);
        match forgotten {
            Ok(_) => {
                self.socket = Some(socket);
                self.datagrams = datagrams;
            }
            Err(error) => tracing::warn!(%error, "flows to endpoints that are gone cannot be ended"),
        }
        Ok(())
    }
}

/// One transaction, if anything is to be done; whether that made the table anew.
fn program(
    socket: &mut Socket,
    table: &str,
    present: Option<Ruleset>,
    wanted: &Ruleset,
    check: bool,
) -> io::Result<bool> {
    let is_there = !check || socket.has_table(table)?;
    let present = present.filter(|_| is_there);
    let batch = match &present {
        Some(present) => wanted.after(present, table),
        None => Some(wanted.whole(table)),
    };
    batch.map_or(Ok(()), |batch| socket.commit(batch))?;
    Ok(present.is_none())
}

#[cfg(test)]
mod tests;
