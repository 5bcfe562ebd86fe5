//! Which pods' containers lived on which node, and when: what the nodes did, whatever the store says.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::network::Place;

/// The container of a pod on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) node: Place,
    /// Namespace and name.
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) from: Instant,
    /// Nothing while it lives.
    pub(crate) until: Option<Instant>,
}

/// All lives, in the order of their beginnings. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lives(Arc<Mutex<Vec<Life>>>);

impl Lives {
    /// A pod's container lives on a node from now on, if it does not yet. What the node has of an earlier pod of the name ends.
    pub(crate) fn begin(&self, node: Place, pod: &str, uid: &str) {
        self.end(node, |life| life.pod == pod && life.uid != uid);
        let mut lives = self.0.lock();
        if !lives.iter().any(|life| life.until.is_none() && life.node == node && life.uid == uid) {
            let (pod, uid) = (pod.to_owned(), uid.to_owned());
            lives.push(Life { node, pod, uid, from: Instant::now(), until: None });
        }
    }

    /// Those end that live on a node.
    pub(crate) fn end(&self, node: Place, which: impl Fn(&Life) -> bool) {
        let mut lives = self.0.lock();
        let ending = lives.iter_mut().filter(|life| life.until.is_none() && life.node == node && which(life));
        ending.for_each(|life| life.until = Some(Instant::now()));
    }

    pub(crate) fn all(&self) -> Vec<Life> {
        self.0.lock().clone()
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
