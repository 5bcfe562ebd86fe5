//! The group `extensions`: what is left of the time before groups. Only what old manifests still use.

pub mod v1beta1;
