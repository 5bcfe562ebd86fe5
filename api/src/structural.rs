//! Structural schemas: what a CustomResourceDefinition says of its objects, and what is done with it.
//!
//! A [`Structural`] is read from `openAPIV3Schema` once ([`parse`](Structural::parse)); whether it may be used at all
//! says [`check`]. Then it is a table like those of built-in kinds: [`prune`] drops what it does not name, [`default`]
//! fills in what it promises, [`validate`] finds what it forbids, and field ownership asks it for the topology of lists
//! and maps. All of them are total: a value of a shape that the schema does not foresee, as an older schema may have let
//! in, is passed over by all but validation.
//!
//! Values are plain JSON in [`Node`](crate::Node)s: maps, lists, scalars and null. The schema hangs in a [`Slot`] that
//! outlives it, so that a type of the tables can refer to it and it can still be replaced.
//!
//! Not here: rules in CEL (`x-kubernetes-validations`). They are kept with the definition and not evaluated.

mod check;
mod defaulting;
mod formats;
mod parse;
mod prune;
mod schema;
mod slot;
mod validate;

pub use check::{check, has_rules};
pub use defaulting::default;
pub use prune::prune;
pub use schema::{ListType, Structural};
pub use slot::{Property, Slot};
pub use validate::{validate, validate_root};

use schema::JsonType;

#[cfg(test)]
mod tests;
