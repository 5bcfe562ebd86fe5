//! The runtime and the images with real processes, namespaces and control groups. Needs root; every test makes its own
//! node below a temporary folder and its own root group, and checks in the end that nothing of it is left.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod exec;
mod harness;
mod images;
mod isolation;
mod life;
mod limits;
mod restart;
