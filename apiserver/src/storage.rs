//! Objects in the store: keys, revisions, compare-and-swap. The only module that proposes changes.
//!
//! The local replica is the cache. Reads are taken from its view, after a barrier where they have to be the latest;
//! a write compares the revision it was made from, so it may start from what the replica has at hand.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use api::{status::Status, stored::StoredObject};
use bytes::Bytes;
use parking_lot::Mutex;
use store::{
    Proposal, Store, View,
    etcdserverpb::{
        Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
        response_op::Response,
    },
    mvccpb::KeyValue,
};
use tokio::time::Instant;

use crate::{
    error::{Error, Result},
    resource::{Resource, Resources},
    user::Fence,
};

pub(crate) mod continue_token;
pub(crate) mod encryption;
pub(crate) mod read;

use encryption::{EncryptionError, Keyring};

/// Objects with a lifetime share the leases granted within this time, so that a lease stands for many of them.
const SHARED_LEASE: Duration = Duration::from_secs(60);
const FIRST_KEY: u32 = 1;

/// Access to stored objects. Clones share everything.
#[derive(Clone)]
pub(crate) struct Storage(Arc<Inner>);

struct Inner {
    store: Store,
    keyring: Keyring,
    resources: Arc<Resources>,
    leases: Mutex<Vec<(u32, i64, Instant)>>,
}

/// What an object's key must hold for a change to take place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing.
    Absent,
    /// The object at this revision.
    Revision(i64),
}

/// A change of one object, and of the claims (addresses, ports) and other objects that go with it, all or nothing.
pub(crate) struct Commit<'a> {
    /// The resource.
    pub resource: &'a Resource,
    /// The object's storage key.
    pub key: &'a str,
    /// What must be there.
    pub expected: Expected,
    /// The new value in its stored form; `None` deletes.
    pub value: Option<&'a Bytes>,
    /// Keys nobody may hold yet, and that this object holds from now on.
    pub claim: &'a BTreeSet<String>,
    /// Keys this object no longer holds.
    pub release: &'a BTreeSet<String>,
    /// Other objects that change with this one.
    pub also: &'a [Also],
    /// The term in which alone the change may take place.
    pub fence: Option<Fence>,
}

/// Another object that changes together with one, if it is what it was.
pub(crate) struct Also {
    /// Its storage key.
    pub key: String,
    /// The revision it has.
    pub revision: i64,
    /// Its new value in its stored form.
    pub value: Bytes,
}

impl<'a> Commit<'a> {
    /// A change of nothing yet.
    pub(crate) fn of(resource: &'a Resource) -> Self {
        const NONE: &BTreeSet<String> = &BTreeSet::new();
        Self {
            resource,
            key: "",
            expected: Expected::Absent,
            value: None,
            claim: NONE,
            release: NONE,
            also: &[],
            fence: None,
        }
    }
}

/// What became of a change.
#[derive(Debug)]
pub(crate) enum Committed {
    /// It took place and made this revision.
    Done(i64),
    /// Another change came first.
    Changed,
    /// Somebody else holds one of the claims.
    Claimed,
    /// One of the objects that were to change too is another by now.
    Outdated,
}

impl Storage {
    /// Objects of `resources` in `store`.
    pub(crate) fn new(store: Store, keyring: Keyring, resources: Arc<Resources>) -> Self {
        Self(Arc::new(Inner { store, keyring, resources, leases: Mutex::default() }))
    }

    /// The store itself.
    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    /// All resources.
    pub(crate) fn resources(&self) -> &Resources {
        &self.0.resources
    }

    /// The local replica as it is.
    pub(crate) fn view(&self) -> View {
        self.0.store.view()
    }

    /// Waits until the local replica holds every write acknowledged before the call; returns its revision.
    pub(crate) async fn barrier(&self) -> Result<i64> {
        Ok(self.0.store.read_index().await?)
    }

    /// Reads a row of the store as an object.
    pub(crate) fn decode(&self, resource: &Resource, row: &KeyValue) -> Result<StoredObject> {
        let value = self.open(&row.key, &row.value)?;
        StoredObject::parse(&value, row.mod_revision, resource.kind.field_paths)
            .map_err(|error| Status::internal(format!("{}: {error}", String::from_utf8_lossy(&row.key))).into())
    }

    fn open(&self, key: &[u8], value: &Bytes) -> Result<Bytes> {
        if value.first() != Some(&encryption::MARK) {
            return Ok(value.clone());
        }
        let key = String::from_utf8_lossy(key);
        match self.0.keyring.open(&key, value) {
            // Another master made a key this one has not looked at yet.
            Err(EncryptionError::UnknownKey(_)) => {
                self.load_keys()?;
                Ok(self.0.keyring.open(&key, value)?)
            }
            opened => Ok(opened?),
        }
    }

    fn load_keys(&self) -> Result<()> {
        let page = self.view().prefix(encryption::KEYS_PREFIX.as_bytes(), b"", usize::MAX, 0)?;
        for row in page.kvs {
            let id = row.key.get(encryption::KEYS_PREFIX.len()..).and_then(|id| std::str::from_utf8(id).ok());
            if let Some(id) = id.and_then(|id| u32::from_str_radix(id, 16).ok()) {
                self.0.keyring.install(id, &row.value)?;
            }
        }
        Ok(())
    }

    /// Makes sure that there is a data key; whoever of the masters comes first makes it.
    async fn ensure_key(&self) -> Result<()> {
        if self.0.keyring.is_ready() {
            return Ok(());
        }
        self.barrier().await?;
        self.load_keys()?;
        if self.0.keyring.is_ready() {
            return Ok(());
        }
        let key = Keyring::storage_key(FIRST_KEY);
        let wrapped = self.0.keyring.create(FIRST_KEY)?;
        let request = TxnRequest {
            compare: vec![absent(&key)],
            success: vec![put(key.into(), wrapped.into(), 0)],
            failure: vec![],
        };
        self.0.store.txn(request, Proposal::default()).await?;
        self.barrier().await?;
        self.load_keys()
    }

    /// Proposes a change, or only finds out what would become of it.
    pub(crate) async fn commit_or_rehearse(&self, commit: Commit<'_>, dry_run: bool) -> Result<Committed> {
        if dry_run { self.rehearse(&commit).await } else { self.commit(commit).await }
    }

    /// What would become of a change; the revision is the one the object has already.
    async fn rehearse(&self, commit: &Commit<'_>) -> Result<Committed> {
        self.barrier().await?;
        let view = self.view();
        let present = view.get(commit.key.as_bytes()).map_or(0, |row| row.mod_revision);
        let expected = match commit.expected {
            Expected::Absent => 0,
            Expected::Revision(revision) => revision,
        };
        Ok(if present != expected {
            Committed::Changed
        } else if commit.claim.iter().any(|claim| view.get(claim.as_bytes()).is_some()) {
            Committed::Claimed
        } else {
            Committed::Done(present)
        })
    }

    /// Proposes a change.
    async fn commit(&self, commit: Commit<'_>) -> Result<Committed> {
        let key = Bytes::copy_from_slice(commit.key.as_bytes());
        let mut compare = vec![match commit.expected {
            Expected::Absent => absent(commit.key),
            Expected::Revision(revision) => unchanged(commit.key, revision),
        }];
        compare.extend(commit.claim.iter().map(|claim| absent(claim)));
        compare.extend(commit.also.iter().map(|also| unchanged(&also.key, also.revision)));
        let main = match commit.value {
            None => delete(key.clone()),
            Some(value) => {
                let value = if commit.resource.encrypted {
                    self.ensure_key().await?;
                    self.0.keyring.seal(commit.key, value)?
                } else {
                    value.clone()
                };
                put(key.clone(), value, self.lease(commit.resource.kind.lifetime_seconds).await?)
            }
        };
        let mut success = vec![main];
        success.extend(commit.claim.iter().map(|claim| put(claim.clone().into(), key.clone(), 0)));
        success.extend(commit.release.iter().map(|claim| delete(claim.clone().into())));
        success.extend(commit.also.iter().map(|also| put(also.key.clone().into(), also.value.clone(), 0)));
        let failure =
            vec![RequestOp { request: Some(Request::RequestRange(RangeRequest { key, ..RangeRequest::default() })) }];
        let proposal = Proposal { fence: commit.fence.map(|fence| fence.term), ..Proposal::default() };
        let answer = self.0.store.txn(TxnRequest { compare, success, failure }, proposal).await?;
        if answer.succeeded {
            let revision = answer.header.map(|header| header.revision);
            return revision.map(Committed::Done).ok_or_else(|| missing("a revision"));
        }
        let row = answer.responses.into_iter().next().and_then(|answer| match answer.response {
            Some(Response::ResponseRange(range)) => range.kvs.into_iter().next(),
            _ => None,
        });
        let as_expected = match commit.expected {
            Expected::Absent => row.is_none(),
            Expected::Revision(revision) => row.as_ref().is_some_and(|row| row.mod_revision == revision),
        };
        if !as_expected {
            return Ok(Committed::Changed);
        }
        // Which of the other conditions failed is told by looking; a replica that lags takes it for the second.
        let view = self.view();
        let claimed = commit.claim.iter().any(|claim| view.get(claim.as_bytes()).is_some());
        Ok(if claimed || commit.also.is_empty() { Committed::Claimed } else { Committed::Outdated })
    }

    /// A lease that ends about `seconds` from now; 0 is none.
    async fn lease(&self, seconds: Option<u32>) -> Result<i64> {
        let Some(seconds) = seconds else { return Ok(0) };
        let shared = |leases: &[(u32, i64, Instant)]| {
            leases.iter().find(|(own, _, at)| *own == seconds && at.elapsed() < SHARED_LEASE).map(|lease| lease.1)
        };
        if let Some(id) = shared(&self.0.leases.lock()) {
            return Ok(id);
        }
        let request = LeaseGrantRequest { ttl: i64::from(seconds) + 60, id: 0 };
        let id = self.0.store.lease_grant(request).await?.id;
        let mut leases = self.0.leases.lock();
        leases.retain(|(own, ..)| *own != seconds);
        leases.push((seconds, id, Instant::now()));
        Ok(id)
    }

    fn local(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<StoredObject> {
        let resource = self.0.resources.get(group, plural)?;
        let row = self.view().get(resource.key(namespace, name).as_bytes())?;
        self.decode(&resource, &row).ok()
    }

    /// The uid of an object, as the local replica has it.
    pub(crate) fn local_uid(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<String> {
        Some(self.local(group, plural, namespace, name)?.header().uid.to_string())
    }

    /// A field of an object that field selectors may name, as the local replica has it.
    pub(crate) fn local_field(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
        label: &str,
    ) -> Option<String> {
        let object = self.local(group, plural, namespace, name)?;
        let resource = self.0.resources.get(group, plural)?;
        resource.field(object.header(), label).map(str::to_owned)
    }

    /// An object as JSON, as the local replica has it.
    pub(crate) fn local_json(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
    ) -> Option<serde_json::Value> {
        serde_json::from_slice(self.local(group, plural, namespace, name)?.json()).ok()
    }

    /// Shows the objects of a namespace as the local replica has them, until `visit` says false.
    pub(crate) fn visit_local(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        mut visit: impl FnMut(&Resource, &StoredObject) -> bool,
    ) {
        let Some(resource) = self.0.resources.get(group, plural) else { return };
        let page = self.view().prefix(resource.prefix(namespace).as_bytes(), b"", usize::MAX, 0);
        for row in page.into_iter().flat_map(|page| page.kvs) {
            if let Ok(object) = self.decode(&resource, &row)
                && !visit(&resource, &object)
            {
                return;
            }
        }
    }
}

fn missing(what: &str) -> Error {
    Status::internal(format!("the store answered without {what}")).into()
}

fn compare(key: &str, target: CompareTarget, union: TargetUnion) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::new(),
        target_union: Some(union),
    }
}

fn absent(key: &str) -> Compare {
    compare(key, CompareTarget::Create, TargetUnion::CreateRevision(0))
}

fn unchanged(key: &str, revision: i64) -> Compare {
    compare(key, CompareTarget::Mod, TargetUnion::ModRevision(revision))
}

fn put(key: Bytes, value: Bytes, lease: i64) -> RequestOp {
    RequestOp { request: Some(Request::RequestPut(PutRequest { key, value, lease, ..PutRequest::default() })) }
}

fn delete(key: Bytes) -> RequestOp {
    let request = DeleteRangeRequest { key, ..DeleteRangeRequest::default() };
    RequestOp { request: Some(Request::RequestDeleteRange(request)) }
}
