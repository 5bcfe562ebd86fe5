//! `MutatingAdmissionPolicyBinding` as it was before it was stable: a view of the bindings of `admissionregistration.k8s.io/v1`.

use crate::admissionregistration::v1::mutating_admission_policy_binding as present;
use crate::kind::Kind;

/// The kind.
pub static KIND: Kind = Kind::preview(
    &present::KIND,
    "v1beta1",
    "admissionregistration.k8s.io/v1beta1 MutatingAdmissionPolicyBinding is deprecated; use admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding",
);
