//! The group `admissionregistration.k8s.io`: who else has a say in what is written.
//!
//! CEL expressions are only required to be there: whether they can be read and how much they may cost is not checked.

pub mod v1;
pub mod v1beta1;
