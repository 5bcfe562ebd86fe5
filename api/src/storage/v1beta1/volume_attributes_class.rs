//! `VolumeAttributesClass` as it was before it was stable: a view of the classes of `storage.k8s.io/v1`.

use crate::kind::Kind;
use crate::storage::v1::volume_attributes_class as present;

/// The kind.
pub static KIND: Kind = Kind::preview(
    &present::KIND,
    "v1beta1",
    "storage.k8s.io/v1beta1 VolumeAttributesClass is deprecated; use storage.k8s.io/v1 VolumeAttributesClass",
);
