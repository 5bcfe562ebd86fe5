//! `PodCertificateRequest` as it was before it was stable: a view of the requests of `certificates.k8s.io/v1`.

use crate::certificates::v1::pod_certificate_request as present;
use crate::kind::Kind;

/// The kind.
pub static KIND: Kind = Kind::preview(
    &present::KIND,
    "v1beta1",
    "certificates.k8s.io/v1beta1 PodCertificateRequest is deprecated; use certificates.k8s.io/v1 PodCertificateRequest",
);
