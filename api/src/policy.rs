//! The group `policy`: what may be taken away.

pub mod v1;
