//! How a component talks to the Kubernetes API.
