//! How a component talks to the Kubernetes API.
//!
//! One [`kube::Client`] over any transport ([`kube_client`]): the in-process router of a master, or the [`Balancer`] over
//! all masters. [`Cache`] mirrors a resource from a [`Source`], [`WorkQueue`] hands out keys, [`EventRecorder`] writes
//! Events. [`proxy`] and [`kubeconfig`] serve kubectl, which knows one URL only.
//!
//! It knows nothing of the store and nothing of the API server's insides.

pub mod balancer;
pub mod cache;
mod connection;
pub mod event_recorder;
pub mod kube_client;
pub mod kubeconfig;
pub mod masters;
pub mod proxy;
pub mod source;
pub mod tls;
pub mod work_queue;

pub use balancer::Balancer;
pub use cache::{Cache, Key};
pub use connection::{Dial, Socket};
pub use event_recorder::EventRecorder;
pub use kube_client::Identity;
pub use kubeconfig::Kubeconfig;
pub use masters::Masters;
pub use source::{HttpSource, Resource, Selection, Source, SourceEvent};
pub use work_queue::WorkQueue;
