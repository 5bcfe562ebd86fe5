//! Changes of a resource, as they happen: made once, shared by everyone who looks.
//!
//! [`hub`] turns the store's rows into events, [`frame`] turns events into bytes, [`source`] hands them to caches
//! inside this process.

pub(crate) mod frame;
pub(crate) mod hub;
pub(crate) mod source;
