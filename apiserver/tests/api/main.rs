//! The API as its users see it: a real store on a real disk, requests through the router, and real kubectl over TLS.
//! One file a promise.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod access;
mod answers;
mod bootstrap;
mod classes;
mod cluster_kinds;
mod custom_resources;
mod deletion;
mod dry_run;
mod encryption_at_rest;
mod field_validation;
mod generate_name;
mod harness;
mod health;
mod impersonation;
mod kubectl;
mod kubectl_commands;
mod kubectl_golden;
mod limit_range;
mod limits;
mod logs;
mod managed_fields;
mod optimistic_concurrency;
mod pagination;
mod patching;
mod pod_parts;
mod pod_security;
mod protobuf;
mod refusals;
mod resource_quota;
mod resource_versions;
mod routing;
mod rules;
mod runtime_config;
mod server_side_apply;
mod services;
mod streaming;
mod tokens;
mod views;
mod watching;
mod workload_kinds;
