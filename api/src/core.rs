//! The core group, whose API paths begin with `/api`.

pub mod v1;
