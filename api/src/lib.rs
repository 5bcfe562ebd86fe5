//! Kubernetes objects as data: schema tables, object node, codecs, patches, field ownership and kinds.
//!
//! Reading order: [`schema`] (what types exist), [`node`] (a value of such a type), [`object`] (a node with its
//! envelope), [`json`] / [`protobuf`] / [`yaml`] (how it travels), [`stored`] (how it rests), [`patch`] (how it changes),
//! [`kind`] (what is special about a kind), [`custom`] (kinds that users define). Everything is synchronous and does no I/O.

pub mod admissionregistration;
pub mod apiextensions;
pub mod apiregistration;
pub mod apps;
pub mod authentication;
pub mod authorization;
pub mod autoscaling;
pub mod batch;
pub mod certificates;
pub mod clock;
pub mod coordination;
pub mod core;
pub mod cron;
pub mod custom;
pub mod discovery;
pub mod events;
pub mod extensions;
pub mod flowcontrol;
pub mod int_or_string;
pub mod json;
pub mod json_path;
pub mod kind;
pub mod managed_fields;
pub mod names;
pub mod networking;
pub mod node;
pub mod node_group;
pub mod object;
pub mod patch;
pub mod policy;
pub mod protobuf;
pub mod quantity;
pub mod rbac;
pub mod resource;
pub mod scheduling;
pub mod schema;
pub mod selector;
pub mod status;
pub mod storage;
pub mod storagemigration;
pub mod stored;
pub mod structural;
pub mod surroundings;
pub mod table;
pub mod time;
pub mod validation;
pub mod yaml;

mod kinds;
mod meta;

pub use node::{Map, Node, Struct};
pub use object::Object;

#[cfg(test)]
mod round_trip;
