//! Version 1 of the group.

pub mod self_subject_review;
pub mod token_request;
pub mod token_review;
