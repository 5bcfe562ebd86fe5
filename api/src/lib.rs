//! Kubernetes objects as data: schema tables, object node, codecs, patches and field ownership.
//!
//! Reading order: [`schema`] (what types exist), [`node`] (a value of such a type), [`object`] (a node with its
//! envelope), [`json`] / [`protobuf`] / [`yaml`] (how it travels), [`stored`] (how it rests), [`patch`] and
//! [`managed_fields`] (how it changes). Everything is synchronous and does no I/O.

pub mod json;
pub mod node;
pub mod object;
pub mod schema;

pub use node::{Map, Node, Struct};
pub use object::Object;
