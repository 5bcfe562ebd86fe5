//! Changes of a resource, as they happen: made once, shared by everyone who looks.
//!
//! [`hub`] turns the store's rows into events, [`audience`] tells them to those whom they concern, [`frame`] turns them into bytes, [`source`] hands them to caches
//! inside this process.

pub(crate) mod audience;
pub(crate) mod frame;
pub(crate) mod hub;
pub(crate) mod source;
