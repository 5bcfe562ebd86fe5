//! The names by which Jobs and their pods speak of each other.

/// The finalizer that keeps a pod until it is counted.
pub(crate) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Label of every pod of a Job: the Job's identity.
pub(crate) const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
/// Annotation and label of a pod: which index it completes.
pub(crate) const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation of a pod: how often its index had failed before.
pub(crate) const INDEX_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-failure-count";
/// Annotation of a pod: how often its index had failed before in ways that do not count.
pub(crate) const INDEX_IGNORED_FAILURE_COUNT: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
