//! Which pods' containers lived on which node, when, and at which address: what the nodes did, whatever the store says.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::node::FIRST_NODE;
use crate::network::Place;

/// A node has so many addresses for pods: few, so that another pod soon has one that somebody may remember.
const ADDRESSES: u8 = 40;

/// The container of a pod on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) node: Place,
    /// Namespace and name.
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) from: Instant,
    /// Nothing while it lives.
    pub(crate) until: Option<Instant>,
}

/// All lives, in the order of their beginnings. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lives(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    lives: Vec<Life>,
    /// The last address that each node gave.
    given: BTreeMap<Place, u8>,
}

impl Lives {
    /// A pod's container lives on a node from now on, if it does not yet: where it is reached. What the node has of an earlier pod
    /// of the name ends.
    pub(crate) fn begin(&self, node: Place, pod: &str, uid: &str) -> Ipv4Addr {
        self.end(node, |life| life.pod == pod && life.uid != uid);
        let mut state = self.0.lock();
        let mut living = state.lives.iter().filter(|life| life.until.is_none() && life.node == node);
        if let Some(life) = living.find(|life| life.uid == uid) {
            return life.address;
        }
        let address = state.give(node);
        let (pod, uid) = (pod.to_owned(), uid.to_owned());
        state.lives.push(Life { node, pod, uid, address, from: Instant::now(), until: None });
        address
    }

    /// Those end that live on a node.
    pub(crate) fn end(&self, node: Place, which: impl Fn(&Life) -> bool) {
        let mut state = self.0.lock();
        let ending = state.lives.iter_mut().filter(|life| life.until.is_none() && life.node == node && which(life));
        ending.for_each(|life| life.until = Some(Instant::now()));
    }

    pub(crate) fn all(&self) -> Vec<Life> {
        self.0.lock().lives.clone()
    }

    /// How often a pod of a name followed another one.
    pub(crate) fn successions(&self) -> u64 {
        let mut uids: BTreeMap<String, String> = BTreeMap::new();
        let follows = |life: &Life| {
            let before = uids.insert(life.pod.clone(), life.uid.clone());
            before.is_some_and(|before| before != life.uid)
        };
        self.all().iter().map(follows).filter(|follows| *follows).count() as u64
    }
}

impl State {
    /// The next address of a node that no living container has.
    fn give(&mut self, node: Place) -> Ipv4Addr {
        let subnet = u8::try_from(node - FIRST_NODE).expect("there are few nodes");
        let last = self.given.get(&node).copied().unwrap_or_default();
        let candidates = (1..=ADDRESSES).map(|step| (last + step) % ADDRESSES);
        let is_free = |host: &u8| {
            let address = Ipv4Addr::new(10, 244, subnet, 2 + host);
            !self.lives.iter().any(|life| life.until.is_none() && life.address == address)
        };
        let host = { candidates }.find(is_free).expect("a node has fewer pods than addresses");
        self.given.insert(node, host);
        Ipv4Addr::new(10, 244, subnet, 2 + host)
    }
}
