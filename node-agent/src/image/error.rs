//! Why an image is not there.

use std::io;

/// An error of [`super::Images`]; its text is meant for the pod's status and events.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The name is not an image reference.
    #[error("invalid image name {name:?}: {message}; expected [registry/]repository[:tag][@sha256:digest]")]
    InvalidName {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// The pull policy is `Never` and the image is not on the node.
    #[error("image {0:?} is not present with pull policy of Never")]
    NeverPull(String),
    /// A registry did not give the image, or gave something else.
    #[error("failed to pull image {image:?}: {message}")]
    Pull {
        /// The normalized reference.
        image: String,
        /// What the registry or the network said.
        message: String,
    },
    /// The bytes are not an image that can be unpacked.
    #[error("image {image:?} is broken: {message}")]
    Broken {
        /// A reference or the path of an archive.
        image: String,
        /// What is wrong with it.
        message: String,
    },
    /// The image store cannot be read or written.
    #[error("image store: {what}: {message}")]
    Store {
        /// What was tried.
        what: String,
        /// Why it failed.
        message: String,
    },
}

impl Error {
    /// The reason that Kubernetes shows for a container whose image is missing.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "InvalidImageName",
            Self::NeverPull(_) => "ErrImageNeverPull",
            Self::Pull { .. } | Self::Broken { .. } | Self::Store { .. } => "ErrImagePull",
        }
    }

    pub(crate) fn store(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Store { what, message: error.to_string() }
    }

    pub(crate) fn broken(image: impl Into<String>, message: impl ToString) -> Self {
        Self::Broken { image: image.into(), message: message.to_string() }
    }
}
