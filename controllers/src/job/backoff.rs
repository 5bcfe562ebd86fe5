//! How long a Job waits after its pods failed: 10 s, doubled with every failure since the last success, at most 10 min.
//!
//! The count is read off the pods that are there. A failed pod that someone has removed is not waited for.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;

use super::pods::JobPod;

const FIRST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(600);

/// How long no pod is created yet, because of the pods that failed since one last succeeded.
pub(super) fn of_job(job: &Job, pods: &[&JobPod<'_>], now: Timestamp) -> Option<Duration> {
    let succeeded = pods.iter().filter(|pod| pod.has_succeeded()).map(|pod| pod.finished_at()).max();
    // Who was let go before its end was told to go, because it was too many.
    let failed = pods.iter().filter(|pod| pod.has_failed(job) && (pod.is_tracked() || !pod.is_leaving()));
    let failed = failed.map(|pod| pod.finished_at());
    let since: Vec<Timestamp> = failed.filter(|end| succeeded.is_none_or(|success| *end > success)).collect();
    left(since.len(), *since.iter().max()?, now)
}

/// The same for the replacement of the last failed pod of an index.
pub(super) fn of_index(last: &JobPod<'_>, now: Timestamp) -> Option<Duration> {
    let before = last.failures_of_index().saturating_add(last.ignored_failures_of_index());
    let failures = usize::try_from(before).unwrap_or(0).saturating_add(1);
    left(failures, last.finished_at(), now)
}

fn left(failures: usize, last: Timestamp, now: Timestamp) -> Option<Duration> {
    let doublings = u32::try_from(failures.checked_sub(1)?).unwrap_or(u32::MAX).min(16);
    let wait = FIRST.saturating_mul(1 << doublings).min(MOST);
    let passed = Duration::try_from(now.duration_since(last)).unwrap_or_default();
    wait.checked_sub(passed).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_ten_minutes() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        for (failures, passed, want) in [
            (0, 0, None),
            (1, 0, Some(10)),
            (1, 4, Some(6)),
            (1, 10, None),
            (2, 0, Some(20)),
            (3, 5, Some(35)),
            (6, 0, Some(320)),
            (7, 0, Some(600)),
            (99, 1, Some(599)),
        ] {
            let last = now - jiff::SignedDuration::from_secs(passed);
            assert_eq!(left(failures, last, now), want.map(Duration::from_secs), "{failures} failures, {passed} s ago");
        }
    }
}
