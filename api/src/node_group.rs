//! The group `node.k8s.io`: how nodes run pods. (`node` is the tree that objects are made of.)

pub mod v1;
