//! How many flushes of a master's log took long, by its own metrics.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use client::Kubeconfig;
use http::Method;

use crate::{
    chaos::api::{self, Api},
    up::cluster::{Cluster, Host},
};

const HISTOGRAM: &str = "etcd_disk_wal_fsync_duration_seconds";
/// Longer than this is long: a bound of the histogram.
const LONG_SECONDS: &str = "0.128";

/// How many took long since the master was started.
pub(crate) async fn long(cluster: &Cluster, host: &Host) -> Result<u64> {
    let kubeconfig = Kubeconfig::read(&cluster.dir.join("kubeconfig"))?;
    let mut api = Api::new((host.address, 6443).into(), api::certificate(&kubeconfig)?);
    let (status, text) = api.ask(Method::GET, "/metrics", Bytes::new()).await?;
    ensure!(status.is_success(), "{} answers {status} when asked for its metrics", host.name);
    count(&String::from_utf8_lossy(&text)).with_context(|| format!("{} does not count its flushes", host.name))
}

/// All flushes without those that were quick.
fn count(metrics: &str) -> Option<u64> {
    let value = |name: &str| {
        let of_line = |line: &str| line.strip_prefix(HISTOGRAM)?.strip_prefix(name)?.trim().parse::<u64>().ok();
        metrics.lines().find_map(of_line)
    };
    value("_count")?.checked_sub(value(&format!("_bucket{{le=\"{LONG_SECONDS}\"}}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_flushes_are_those_beyond_the_bound() {
        let text = "# TYPE etcd_disk_wal_fsync_duration_seconds histogram\n\
                    etcd_disk_wal_fsync_duration_seconds_sum 2.5\n\
                    etcd_disk_wal_fsync_duration_seconds_count 90\n\
                    etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.064\"} 80\n\
                    etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.128\"} 87\n\
                    etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.256\"} 88\n";
        assert_eq!(count(text), Some(3));
        assert_eq!(count("up 1\n"), None);
    }
}
