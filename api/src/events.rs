//! The group `events.k8s.io`: what happened to objects, in the newer words.

pub mod v1;
