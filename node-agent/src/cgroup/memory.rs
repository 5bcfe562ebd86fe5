//! Memory: the limit, what is in use, and whether the kernel had to kill.

use std::{fs, path::Path};

use super::{Setting, Version, field, number};
use crate::runtime::{Resources, Stats};

pub(super) fn settings(resources: &Resources, version: Version) -> Vec<Setting> {
    let Some(limit) = resources.memory_limit else { return Vec::new() };
    match version {
        Version::V1 => vec![("memory.limit_in_bytes", limit.to_string())],
        // A container whose worker was killed is rarely whole, so all of it goes, as in Kubernetes.
        Version::V2 => vec![("memory.max", limit.to_string()), ("memory.oom.group", "1".to_owned())],
    }
}

/// The file with a line `oom_kill <count>`.
pub(super) fn events_file(version: Version) -> &'static str {
    match version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    }
}

pub(super) fn read(folder: &Path, version: Version, stats: &mut Stats) {
    let (usage, rss, inactive) = match version {
        Version::V1 => ("memory.usage_in_bytes", "total_rss", "total_inactive_file"),
        Version::V2 => ("memory.current", "anon", "inactive_file"),
    };
    let (faults, major) = match version {
        Version::V1 => ("total_pgfault", "total_pgmajfault"),
        Version::V2 => ("pgfault", "pgmajfault"),
    };
    let text = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    stats.memory_usage = number(&folder.join(usage));
    stats.memory_working_set = stats.memory_usage.saturating_sub(field(&text, inactive));
    stats.memory_rss = field(&text, rss);
    stats.page_faults = field(&text, faults);
    stats.major_page_faults = field(&text, major);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_written_and_none_is_not() {
        assert!(settings(&Resources::default(), Version::V1).is_empty());
        let resources = Resources { memory_limit: Some(4096), ..Resources::default() };
        assert_eq!(settings(&resources, Version::V1), [("memory.limit_in_bytes", "4096".to_owned())]);
        assert_eq!(settings(&resources, Version::V2)[0], ("memory.max", "4096".to_owned()));
    }
}
