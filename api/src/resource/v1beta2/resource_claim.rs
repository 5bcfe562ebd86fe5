//! `ResourceClaim` as it was before it was stable: a view of the claims of `resource.k8s.io/v1`.

use crate::kind::Kind;
use crate::resource::v1::resource_claim as present;

/// The kind.
pub static KIND: Kind = Kind::preview(
    &present::KIND,
    "v1beta2",
    "resource.k8s.io/v1beta2 ResourceClaim is deprecated; use resource.k8s.io/v1 ResourceClaim",
);
