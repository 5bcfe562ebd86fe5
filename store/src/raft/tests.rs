//! openraft's own suite over our log and our state machine.

use openraft::{StorageError, testing::log::StoreBuilder};
use tempfile::TempDir;

use super::{log_storage::LogStorage, state_machine::Machine, type_config::Types};
use crate::{
    Limits,
    persistence::Persistence,
    rows::Owner,
    wal::{Identity, Wal},
    world::World,
};

struct Builder;

impl StoreBuilder<Types, LogStorage, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStorage, Machine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity { cluster_id: 1, member_id: 1 };
        let options = Limits { segment_bytes_first: 64 << 10, ..Limits::default() }.into();
        let world = World::unreachable();
        let wal = Wal::open(&world, &dir.path().join("wal"), identity, options).unwrap();
        let owner = Owner { cluster_id: 1, member_id: 1 };
        let (state, persistence) = Persistence::open(world.clone(), dir.path(), owner).unwrap();
        let machine = Machine::new(state, persistence.into());
        Ok((dir, LogStorage::new(wal), machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_storage_suite_of_openraft_passes() {
    openraft::testing::log::Suite::test_all(Builder).await.unwrap();
}
