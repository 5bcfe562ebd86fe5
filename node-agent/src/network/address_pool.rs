//! Which pod holds which address of this node's pod CIDRs.
//!
//! An allocation is on disk before it is used, so a restarted agent never gives a living pod's address away. Addresses
//! are handed out in rotation: a freed address comes back as late as possible, since clients may still hold it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cidr::Cidr;
use crate::files::write_atomically;

/// The pool; one per agent.
#[derive(Debug)]
pub(crate) struct AddressPool {
    path: PathBuf,
    cidrs: Vec<Cidr>,
    state: State,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// Pod uid to its addresses, one per CIDR.
    allocations: BTreeMap<String, Vec<IpAddr>>,
    /// Per CIDR (as text), the offset after the last one handed out.
    next: BTreeMap<String, u64>,
}

/// Why no address could be given.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// Every address is in use.
    #[error("no free address in pod CIDR {0}: delete pods of this node or give the cluster larger node CIDRs")]
    Exhausted(Cidr),
    /// The node has no range yet.
    #[error("this node has no pod CIDR yet: the node-ipam controller sets Node.spec.podCIDRs")]
    NoRange,
    /// The record cannot be read or written.
    #[error("cannot keep the address record {path}")]
    Record {
        /// The record's file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The network address, the address after it (kept for the node's own tunnel end) and the broadcast address stay free.
const RESERVED_LOW: u64 = 2;

impl AddressPool {
    pub(crate) fn open(path: &Path) -> Result<Self, AllocateError> {
        let record = |source| AllocateError::Record { path: path.to_owned(), source };
        let state = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| record(e.into()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(record(error)),
        };
        Ok(Self { path: path.to_owned(), cidrs: Vec::new(), state })
    }

    pub(crate) fn set_cidrs(&mut self, cidrs: Vec<Cidr>) {
        self.cidrs = cidrs;
    }

    pub(crate) fn cidrs(&self) -> &[Cidr] {
        &self.cidrs
    }

    /// The pod's addresses, one per CIDR; the same ones on every call until `release`.
    pub(crate) fn allocate(&mut self, uid: &str) -> Result<Vec<IpAddr>, AllocateError> {
        if let Some(addresses) = self.state.allocations.get(uid) {
            return Ok(addresses.clone());
        }
        if self.cidrs.is_empty() {
            return Err(AllocateError::NoRange);
        }
        let mut addresses = Vec::with_capacity(self.cidrs.len());
        for cidr in &self.cidrs {
            let start = self.state.next.get(&cidr.to_string()).copied().unwrap_or(RESERVED_LOW);
            let (address, offset) = self.free_from(cidr, start).ok_or(AllocateError::Exhausted(*cidr))?;
            self.state.next.insert(cidr.to_string(), offset + 1);
            addresses.push(address);
        }
        self.state.allocations.insert(uid.to_owned(), addresses.clone());
        self.save()?;
        Ok(addresses)
    }

    /// Gives the pod's addresses back. The caller promises that nothing of the pod runs any more.
    pub(crate) fn release(&mut self, uid: &str) -> Result<(), AllocateError> {
        if self.state.allocations.remove(uid).is_some() { self.save() } else { Ok(()) }
    }

    /// The addresses a pod holds.
    pub(crate) fn addresses(&self, uid: &str) -> Option<Vec<IpAddr>> {
        self.state.allocations.get(uid).cloned()
    }

    /// The pods that hold an address.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &str> {
        self.state.allocations.keys().map(String::as_str)
    }

    fn free_from(&self, cidr: &Cidr, start: u64) -> Option<(IpAddr, u64)> {
        let end = cidr.size().saturating_sub(1);
        let in_use = |address: &IpAddr| self.state.allocations.values().flatten().any(|held| held == address);
        (start..end).chain(RESERVED_LOW..start.min(end)).find_map(|offset| {
            let address = cidr.nth(offset)?;
            (!in_use(&address)).then_some((address, offset))
        })
    }

    fn save(&self) -> Result<(), AllocateError> {
        let record = |source| AllocateError::Record { path: self.path.clone(), source };
        let bytes = serde_json::to_vec(&self.state).map_err(|e| record(e.into()))?;
        write_atomically(&self.path, &bytes, 0o600).map_err(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(dir: &Path) -> AddressPool {
        let mut pool = AddressPool::open(&dir.join("addresses.json")).unwrap();
        pool.set_cidrs(vec!["10.244.1.0/29".parse().unwrap()]);
        pool
    }

    #[test]
    fn keeps_addresses_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = pool(dir.path()).allocate("a").unwrap();
        let mut again = pool(dir.path());
        assert_eq!(again.allocate("a").unwrap(), first);
        assert_ne!(again.allocate("b").unwrap(), first);
    }

    #[test]
    fn reuses_a_freed_address_last_and_reports_exhaustion() {
        let dir = tempfile::tempdir().unwrap();
        let mut pool = pool(dir.path());
        let first = pool.allocate("a").unwrap();
        pool.release("a").unwrap();
        for uid in ["b", "c", "d", "e"] {
            assert_ne!(pool.allocate(uid).unwrap(), first, "{uid}");
        }
        assert_eq!(pool.allocate("f").unwrap(), first);
        assert!(matches!(pool.allocate("g"), Err(AllocateError::Exhausted(_))));
    }

    #[test]
    fn without_a_range_there_is_no_address() {
        let dir = tempfile::tempdir().unwrap();
        let mut pool = AddressPool::open(&dir.path().join("addresses.json")).unwrap();
        assert!(matches!(pool.allocate("a"), Err(AllocateError::NoRange)));
    }
}
