//! The codecs against two implementations that are not ours: `k8s-openapi` for JSON names and shapes, `k8s-pb` for
//! protobuf tags. Both drop what they do not know, so a value that fills every field of our tables and survives the way
//! through them has every name, tag and shape right.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod fill;
mod json;
mod protobuf;
mod tables;
