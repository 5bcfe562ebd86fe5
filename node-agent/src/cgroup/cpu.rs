//! CPU time: a weight from the request, a quota from the limit.

use std::{fs, path::Path};

use super::{Setting, Version, field, number};
use crate::runtime::{Resources, Stats};

const PERIOD_MICROS: u64 = 100_000;
const SHARES_MIN: u64 = 2;
const SHARES_MAX: u64 = 262_144;
/// The kernel refuses less.
const QUOTA_MIN_MICROS: u64 = 1_000;

/// Thousandths of a core as v1 shares, of which a whole core has 1024.
fn shares(request: u64) -> u64 {
    (request.saturating_mul(1024) / 1000).clamp(SHARES_MIN, SHARES_MAX)
}

/// v1 shares 2..262144 mapped onto v2 weights 1..10000, as other runtimes do.
fn weight(shares: u64) -> u64 {
    1 + (shares - SHARES_MIN) * 9_999 / (SHARES_MAX - SHARES_MIN)
}

pub(super) fn settings(resources: &Resources, version: Version) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Some(request) = resources.cpu_request {
        settings.push(match version {
            Version::V1 => ("cpu.shares", shares(request).to_string()),
            Version::V2 => ("cpu.weight", weight(shares(request)).to_string()),
        });
    }
    if let Some(limit) = resources.cpu_limit {
        let quota = limit.saturating_mul(PERIOD_MICROS / 1000).max(QUOTA_MIN_MICROS);
        match version {
            Version::V1 => {
                settings.push(("cpu.cfs_period_us", PERIOD_MICROS.to_string()));
                settings.push(("cpu.cfs_quota_us", quota.to_string()));
            }
            Version::V2 => settings.push(("cpu.max", format!("{quota} {PERIOD_MICROS}"))),
        }
    }
    settings
}

pub(super) fn read(folder: &Path, version: Version, stats: &mut Stats) {
    stats.cpu_nanos = match version {
        Version::V1 => number(&folder.join("cpuacct.usage")),
        Version::V2 => {
            field(&fs::read_to_string(folder.join("cpu.stat")).unwrap_or_default(), "usage_usec").saturating_mul(1000)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: Option<u64>, limit: Option<u64>, version: Version, expect: &[(&str, &str)]) {
        let resources = Resources { cpu_request: request, cpu_limit: limit, ..Resources::default() };
        let found = settings(&resources, version);
        assert_eq!(found.iter().map(|(file, value)| (*file, value.as_str())).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn requests_weigh_and_limits_cap() {
        check(None, None, Version::V1, &[]);
        check(Some(0), None, Version::V1, &[("cpu.shares", "2")]);
        check(Some(1000), None, Version::V1, &[("cpu.shares", "1024")]);
        check(Some(1000), None, Version::V2, &[("cpu.weight", "39")]);
        check(None, Some(500), Version::V1, &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")]);
        check(None, Some(1), Version::V2, &[("cpu.max", "1000 100000")]);
        check(None, Some(2500), Version::V2, &[("cpu.max", "250000 100000")]);
    }
}
