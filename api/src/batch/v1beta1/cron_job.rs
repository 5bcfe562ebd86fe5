//! `CronJob` as old manifests write it: a view of the CronJobs of `batch/v1`, with the same defaults.

use crate::batch::v1::cron_job as present;
use crate::kind::Kind;

/// The kind.
pub static KIND: Kind = Kind::view(
    &present::KIND,
    "batch",
    "v1beta1",
    "batch/v1beta1 CronJob is deprecated in v1.21+, unavailable in v1.25+ of Kubernetes; use batch/v1 CronJob",
);
