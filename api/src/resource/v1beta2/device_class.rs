//! `DeviceClass` as it was before it was stable: a view of the classes of `resource.k8s.io/v1`.

use crate::kind::Kind;
use crate::resource::v1::device_class as present;

/// The kind.
pub static KIND: Kind = Kind::preview(
    &present::KIND,
    "v1beta2",
    "resource.k8s.io/v1beta2 DeviceClass is deprecated; use resource.k8s.io/v1 DeviceClass",
);
