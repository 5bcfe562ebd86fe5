//! Images: names, the store on disk, and the ways into it.
//!
//! An image is known by its reference (`docker.io/library/nginx:1.27`) and identified by the digest of its
//! configuration. [`Images`] promises that an image it hands out is complete, verified and unpacked, and stays so
//! until [`Images::collect`] is called without it: after a crash everything half-written is gone and everything
//! announced is there. It does not mount anything; the runtime stacks [`Image::layers`] itself.
//!
//! Ways in: the built-in demo image, archives in a folder (`docker save` or OCI layout; plain, gzip or zstd), and
//! registries. Layers are unpacked while they are verified and then not kept in packed form.

mod error;

use std::path::PathBuf;

pub use error::Error;

/// An image that is ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The normalized reference it was asked for by.
    pub reference: String,
    /// Digest of its configuration (`sha256:...`).
    pub id: String,
    /// `repository@sha256:...` of its manifest, when it came from a registry.
    pub repo_digest: Option<String>,
    /// Bytes of its unpacked files.
    pub size: u64,
    /// How its author meant it to run.
    pub config: ImageConfig,
    /// Folders of its unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
}

/// The part of an image's configuration that matters at start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Program and first arguments.
    pub entrypoint: Vec<String>,
    /// Default arguments, or program and arguments when there is no entrypoint.
    pub cmd: Vec<String>,
    /// `NAME=value` lines.
    pub env: Vec<String>,
    /// Working directory; empty is `/`.
    pub working_dir: String,
    /// `user[:group]`, names or numbers; empty is root.
    pub user: String,
    /// Signal that asks it to stop, for example `SIGQUIT`; `None` is `SIGTERM`.
    pub stop_signal: Option<String>,
}

/// When to look for an image outside the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time.
    Always,
    /// Only when the node does not have it.
    IfNotPresent,
    /// Never.
    Never,
}

/// A name and password for one registry, from a pull secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Registry host, with port if any (`registry.example:5000`, `https://index.docker.io/v1/`).
    pub registry: String,
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("registry", &self.registry)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
