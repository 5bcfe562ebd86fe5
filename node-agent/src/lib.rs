//! The node agent: kubelet, container runtime, pod network, service proxy.
//!
//! [`run`] is one agent: it registers a Node, keeps its Lease, follows the pods that are bound to it and makes the
//! machine match them; [`clean_up`] takes everything of it off the machine. `pod/plan.rs` decides, [`runtime`] obeys.
//!
//! Promises: pods outlive the agent, and the next one adopts them; a node says Ready only after it has run a container;
//! an image or a volume that is missing is said in an Event, never hidden. Deliberately absent so far: DNS,
//! eviction, volumes that need a driver.

pub mod cgroup;
mod config;
mod files;
pub mod image;
mod image_gc;
mod lease;
pub mod network;
mod node_status;
mod nodes;
mod pod;
mod pod_tls;
mod probe_container;
mod reflector;
mod run;
pub mod runtime;
mod server;
mod service_proxy;
mod streaming;
mod sys;
mod volumes;

pub use config::{Config, ServerTls};
pub use run::{RunError, clean_up, run};
pub use server::ServeError;
pub use service_proxy::{Destinations, observe_services};
