//! The number of processes and threads; both versions have the same file.

use super::Setting;
use crate::runtime::Resources;

pub(super) fn settings(resources: &Resources) -> Vec<Setting> {
    resources.pids_limit.map(|limit| ("pids.max", limit.to_string())).into_iter().collect()
}
