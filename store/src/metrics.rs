//! What dashboards made for etcd expect, read off the member when it is asked.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use crate::inner::Inner;

pub(crate) fn register(store: &Arc<Inner>, registry: &mut Registry) {
    let help = "How long a flush of the log takes";
    registry.register("etcd_disk_wal_fsync_duration_seconds", help, store.wal.fsync_histogram());
    registry.register_collector(Box::new(Member(Arc::downgrade(store))));
}

struct Member(Weak<Inner>);

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Member")
    }
}

impl Collector for Member {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(store) = self.0.upgrade() else { return Ok(()) };
        let status = store.status();
        let yes = |yes: bool| i64::from(yes);
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let gauges = [
            ("etcd_server_has_leader", "Whether a leader is known", yes(status.leader.is_some())),
            ("etcd_server_is_leader", "Whether this member leads", yes(status.leader == Some(status.member_id))),
            ("etcd_server_is_learner", "Whether this member has no vote", yes(status.learner)),
            ("etcd_server_proposals_pending", "Requests under way here", number(store.proposals.under_way())),
            ("etcd_mvcc_db_total_size_in_bytes", "Bytes of the checkpoint", number(status.disk_bytes)),
            (
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "Keys and values, old versions included",
                number(status.state_bytes),
            ),
            (
                "etcd_server_quota_backend_bytes",
                "State beyond this is refused",
                number(store.config.limits.quota_bytes),
            ),
            ("etcd_debugging_mvcc_current_revision", "The revision readers see", status.revision),
            ("kontiki_store_log_bytes", "Bytes of log not purged", number(status.log_bytes)),
            ("kontiki_store_term", "The term this member is in", number(status.term)),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let counters = [
            ("etcd_server_proposals_committed", "Entries known to be committed", status.committed_index),
            ("etcd_server_proposals_applied", "Entries applied", status.applied_index),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}
