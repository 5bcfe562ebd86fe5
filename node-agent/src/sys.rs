//! The system calls that no safe wrapper offers: the only `unsafe` code of the agent.

pub(crate) mod bpf;
pub(crate) mod poll;
