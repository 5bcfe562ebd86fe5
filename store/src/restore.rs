//! A state outside of a running group: looked at, taken out of a stopped member, and made the beginning of a new group.
//!
//! The new group has an id of its own, so its members and those of the old one refuse each other. Its revisions begin far
//! above the old ones, and everything before is compacted: whoever watched the old group is told to read anew.
//!
//! Nothing here is a Raft operation, and nothing runs beside a started member: the caller sees to that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use openraft::{EntryPayload, Membership};
use prost::Message;
use proto::raftpb::Command;

use crate::{
    Limits, Member, StartError, data_dir,
    lease::Leases,
    membership::listed,
    mvcc::Mvcc,
    persistence::Persistence,
    raft::{
        log_storage::decode_payload,
        type_config::{LogId, MemberInfo, StoredMembership},
    },
    rows::Owner,
    snapshot::{self, LoadError},
    state_machine::{Fatal, Position, State, StateMachine, View},
    wal::{Identity, Wal},
    world::{RealDisk, World},
};

/// Added to the revision unless something else is asked for: more than any group writes between a backup and its loss.
pub const REVISIONS_SKIPPED: i64 = 1_000_000_000;
/// Entries read back at once.
const READ_BYTES_MAX: usize = 4 << 20;

/// What a state holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Whose state it is, and which member wrote it.
    pub owner: Owner,
    /// The last log entry in it.
    pub position: Position,
    /// The revision its readers see.
    pub revision: i64,
    /// Reads below it are refused.
    pub compacted: i64,
    /// Live keys.
    pub keys: usize,
    /// Older versions and deletions that are kept.
    pub past: usize,
    /// Leases.
    pub leases: usize,
    /// Bytes of keys and values, old versions included.
    pub bytes: u64,
    /// The sum over all records that members compare.
    pub hash: u128,
    /// The members at that time.
    pub members: Vec<Member>,
}

/// Why a state could not be taken out or put in.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file system refused.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The snapshot file.
    #[error("{} cannot be restored", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: LoadError,
    },
    /// A member would be overwritten.
    #[error("{} is not empty: a member is restored into an empty directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The stopped member's directory.
    #[error(transparent)]
    Member(#[from] StartError),
    /// The stopped member's log holds what this build cannot apply.
    #[error(transparent)]
    Log(#[from] Fatal),
    /// The membership in the state.
    #[error("the membership in it is not understood")]
    Membership(#[source] serde_json::Error),
    /// The new group's only member.
    #[error("the new member cannot be a group: {0}")]
    Heir(String),
    /// The skipped revisions.
    #[error("{skipped} revisions cannot be skipped after revision {revision}: give a number from 0 to {}", i64::MAX / 2)]
    Skip {
        /// How many.
        skipped: i64,
        /// After which.
        revision: i64,
    },
}

/// The only member of a group that begins with a restored state.
#[derive(Clone, Debug)]
pub struct Heir {
    /// Drawn for the new group.
    pub cluster_id: u64,
    /// Drawn for the member.
    pub member_id: u64,
    /// For people.
    pub name: String,
    /// Where other members will reach it.
    pub peer_url: String,
    /// Where clients will reach it.
    pub client_url: String,
}

/// Reads a snapshot file to its end, checks all of it, and says what it holds.
pub fn inspect(path: &Path) -> Result<(View, Contents), RestoreError> {
    let failed = |source| RestoreError::Snapshot { path: path.to_path_buf(), source };
    let restored = snapshot::load_any(&RealDisk, path).map_err(failed)?;
    let owner = restored.owner();
    let machine = StateMachine::new();
    machine.install(restored);
    let view = machine.view();
    let contents = contents(view.state(), owner)?;
    Ok((view, contents))
}

/// The state of a stopped member, with everything in its log: an entry there may have been acknowledged, whether or not
/// the member learned of it.
pub async fn of_stopped_member(dir: &Path, owner: Owner) -> Result<(View, Contents), RestoreError> {
    let world = World::unreachable();
    let (machine, persistence) = Persistence::open(world.clone(), dir, owner).map_err(StartError::from)?;
    let identity = Identity { cluster_id: owner.cluster_id, member_id: owner.member_id };
    let wal = Wal::open(&world, &dir.join("wal"), identity, Limits::default().into()).map_err(StartError::from)?;
    let replayed = replay(&machine, &wal).await;
    wal.close().await;
    drop(persistence);
    replayed.map_err(|failure| match failure {
        Failure::Read(source) => RestoreError::Io { path: dir.join("wal"), source },
        Failure::Apply(fatal) => fatal.into(),
    })?;
    let view = machine.view();
    let contents = contents(view.state(), owner)?;
    Ok((view, contents))
}

enum Failure {
    Read(io::Error),
    Apply(Fatal),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

async fn replay(machine: &StateMachine, wal: &Wal) -> Result<(), Failure> {
    let Some(last) = wal.last() else { return Ok(()) };
    let mut next = machine.view().position().map_or(0, |position| position.index + 1);
    while next <= last.index {
        for entry in wal.read(next, last.index + 1, READ_BYTES_MAX).await? {
            let position = Position { term: entry.term, index: entry.index };
            next = entry.index + 1;
            match decode_payload(entry.kind, entry.data)? {
                EntryPayload::Blank => machine.advance(position, None),
                EntryPayload::Membership(membership) => {
                    let log_id = LogId::new_term_index(position.term, position.index);
                    let stored = StoredMembership::new(Some(log_id), membership);
                    let encoded = serde_json::to_vec(&stored).map_err(io::Error::from)?;
                    machine.advance(position, Some(encoded.into()));
                }
                EntryPayload::Normal(payload) => {
                    let command = Command::decode(payload.0).map_err(io::Error::other)?;
                    machine.apply(position.term, position.index, &command).map_err(Failure::Apply)?;
                }
            }
        }
    }
    Ok(())
}

/// Makes the state the beginning of a new group in an empty directory: its only member starts there as after a restart.
/// The directory is complete once this returns, and no member can start in it before.
pub fn plant(dir: &Path, view: &View, heir: &Heir, skip: i64) -> Result<Contents, RestoreError> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |source| RestoreError::Io { path, source }
    };
    fs::create_dir_all(dir).map_err(at(dir))?;
    if fs::read_dir(dir).map_err(at(dir))?.next().is_some() {
        return Err(RestoreError::NotEmpty { path: dir.to_path_buf() });
    }
    let owner = Owner { cluster_id: heir.cluster_id, member_id: heir.member_id };
    let machine = StateMachine::with_state(inherited(view.state(), heir, skip)?);
    let file = dir.join("state.snapshot");
    snapshot::save(&RealDisk, &file, machine.view(), owner).map_err(at(&file))?;
    // Last: without it the directory holds no member.
    data_dir::stamp(&RealDisk, dir, owner.cluster_id, owner.member_id).map_err(at(dir))?;
    contents(machine.view().state(), owner)
}

/// The state with which the new group begins.
fn inherited(state: &State, heir: &Heir, skip: i64) -> Result<State, RestoreError> {
    let mvcc = &state.mvcc;
    let refused = RestoreError::Skip { skipped: skip, revision: mvcc.revision };
    let revision = match mvcc.revision.checked_add(skip) {
        Some(revision) if skip >= 0 && revision <= i64::MAX / 2 => revision,
        _ => return Err(refused),
    };
    // Old versions belong to revisions that nobody may ask for any more.
    let (past, compacted) = if skip > 0 { (0, revision) } else { (mvcc.past.len(), mvcc.compacted) };
    let history_start = if skip > 0 { revision + 1 } else { mvcc.history_start() };
    let past = mvcc.past.iter().take(past).map(|past| past.0.clone());
    let mut records: Vec<_> = mvcc.current.iter().map(|current| current.0.clone()).chain(past).collect();
    records.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
    let mvcc = Mvcc::rebuild(records, revision, compacted, history_start, mvcc);
    // Term 0 is before every election, so whoever is elected first may go on from here.
    let position = Position { term: 0, index: state.position.map_or(0, |position| position.index) };
    let info = MemberInfo {
        name: heir.name.clone(),
        peer_urls: vec![heir.peer_url.clone()],
        client_urls: vec![heir.client_url.clone()],
        replaces: None,
    };
    let voters: BTreeSet<u64> = [heir.member_id].into();
    let nodes: BTreeMap<u64, MemberInfo> = [(heir.member_id, info)].into();
    let membership = Membership::new(vec![voters], nodes).map_err(|error| RestoreError::Heir(error.to_string()))?;
    let stored = StoredMembership::new(Some(LogId::new_term_index(0, position.index)), membership);
    Ok(State {
        position: Some(position),
        membership: serde_json::to_vec(&stored).map_err(RestoreError::Membership)?.into(),
        leases: Leases::rebuild(state.leases.granted().iter().copied(), &mvcc),
        mvcc,
        // Alarms name members that are gone, and sessions are runs of them.
        ..State::default()
    })
}

fn contents(state: &State, owner: Owner) -> Result<Contents, RestoreError> {
    let members = match &state.membership {
        bytes if bytes.is_empty() => Vec::new(),
        bytes => {
            let stored: StoredMembership = serde_json::from_slice(bytes).map_err(RestoreError::Membership)?;
            listed(stored.membership())
        }
    };
    Ok(Contents {
        owner,
        position: state.position.unwrap_or_default(),
        revision: state.mvcc.revision,
        compacted: state.mvcc.compacted,
        keys: state.mvcc.current.len(),
        past: state.mvcc.past.len(),
        leases: state.leases.granted().len(),
        bytes: state.mvcc.bytes,
        hash: state.mvcc.hash,
        members,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proto::{
        etcdserverpb::{LeaseGrantRequest, PutRequest},
        raftpb::command::Body,
    };

    use super::*;
    use crate::Error;

    const OLD: Owner = Owner { cluster_id: 1, member_id: 2 };

    fn put(key: &str, value: &str, lease: i64) -> Body {
        let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
        Body::Put(PutRequest { key, value, lease, ..PutRequest::default() })
    }

    fn state() -> StateMachine {
        let machine = StateMachine::new();
        let bodies = [
            Body::LeaseGrant(LeaseGrantRequest { id: 7, ttl: 60 }),
            put("a", "1", 0),
            put("a", "2", 0),
            put("b", "leased", 7),
        ];
        for (index, body) in (1..).zip(bodies) {
            machine.apply(5, index, &Command { body: Some(body), ..Command::default() }).unwrap();
        }
        machine
    }

    fn heir() -> Heir {
        let url = "https://10.0.0.1:2380".to_owned();
        Heir { cluster_id: 3, member_id: 4, name: "m1".into(), peer_url: url.clone(), client_url: url }
    }

    #[test]
    fn a_restored_state_has_the_keys_above_all_old_revisions() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("backup");
        snapshot::save(&RealDisk, &file, state().view(), OLD).unwrap();
        let (restored, before) = inspect(&file).unwrap();
        assert_eq!((before.owner, before.revision, before.keys, before.past), (OLD, 4, 2, 1));
        let after = plant(&dir.path().join("data"), &restored, &heir(), REVISIONS_SKIPPED).unwrap();
        assert_eq!((after.revision, after.compacted), (4 + REVISIONS_SKIPPED, 4 + REVISIONS_SKIPPED));
        assert_eq!((after.keys, after.past, after.leases), (2, 0, 1));
        assert_eq!(after.members.len(), 1);
        let owner = Owner { cluster_id: 3, member_id: 4 };
        let (machine, _) = Persistence::open(World::unreachable(), &dir.path().join("data"), owner).unwrap();
        let view = machine.view();
        let row = view.state().mvcc.get(b"a").unwrap();
        assert_eq!((&row.kv.value[..], row.kv.mod_revision, row.kv.version), (&b"2"[..], 3, 2));
        assert_eq!(view.lease_keys(7), [Bytes::from("b")]);
        let mut old_watch =
            machine.watch(crate::WatchRange { key: "a".into(), start_revision: 4, ..Default::default() });
        assert!(matches!(old_watch.step(), Err(Error::Compacted { .. })));
    }

    #[test]
    fn what_cannot_be_restored_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("backup");
        snapshot::save(&RealDisk, &file, state().view(), OLD).unwrap();
        let (restored, _) = inspect(&file).unwrap();
        let refused = plant(dir.path(), &restored, &heir(), 0);
        assert!(matches!(refused, Err(RestoreError::NotEmpty { .. })));
        for skip in [-1, i64::MAX] {
            let target = dir.path().join("data");
            assert!(matches!(plant(&target, &restored, &heir(), skip), Err(RestoreError::Skip { .. })));
            assert_eq!(fs::read_dir(target).unwrap().count(), 0);
        }
        let mut bytes = fs::read(&file).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 0x10;
            fs::write(&file, &bytes).unwrap();
            assert!(inspect(&file).is_err(), "a flipped bit in byte {at} passed");
            bytes[at] ^= 0x10;
        }
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert!(inspect(&file).is_err());
    }
}
