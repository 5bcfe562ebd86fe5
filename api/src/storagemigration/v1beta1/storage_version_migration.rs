//! `StorageVersionMigration` as it was before it was stable: a view of the migrations of `storagemigration.k8s.io/v1`.

use crate::kind::Kind;
use crate::storagemigration::v1::storage_version_migration as present;

/// The kind.
pub static KIND: Kind = Kind::preview(
    &present::KIND,
    "v1beta1",
    "storagemigration.k8s.io/v1beta1 StorageVersionMigration is deprecated; use storagemigration.k8s.io/v1 StorageVersionMigration",
);
