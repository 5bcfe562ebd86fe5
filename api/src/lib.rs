//! Kubernetes objects as data: schema tables, object node, codecs, patches, field ownership and kinds.
//!
//! Reading order: [`schema`] (what types exist), [`node`] (a value of such a type), [`object`] (a node with its
//! envelope), [`json`] / [`protobuf`] / [`yaml`] (how it travels), [`stored`] (how it rests). Everything is synchronous
//! and does no I/O.

pub mod int_or_string;
pub mod json;
pub mod names;
pub mod node;
pub mod object;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod stored;
pub mod time;
pub mod validation;
pub mod yaml;

pub use node::{Map, Node, Struct};
pub use object::Object;
