//! The groups of the table, and the order of their versions.

use std::cmp::Reverse;

use super::KINDS;

/// Where a version stands among others, the preferred ones first: stable before beta before alpha, late before early.
fn version_rank(version: &str) -> (u8, Reverse<u32>, Reverse<u32>) {
    let number = |text: &str| Reverse(text.parse().unwrap_or(0));
    let rest = version.strip_prefix('v').unwrap_or(version);
    for (rank, stage) in [(1, "beta"), (2, "alpha")] {
        if let Some((major, minor)) = rest.split_once(stage) {
            return (rank, number(major), number(minor));
        }
    }
    (0, number(rest), Reverse(0))
}

/// All groups with their versions, the core group first. The first version is preferred.
pub fn groups() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&'static str, Vec<&'static str>)> = Vec::new();
    for kind in KINDS {
        match groups.last_mut() {
            Some((group, versions)) if *group == kind.group => {
                if versions.last() != Some(&kind.version) {
                    versions.push(kind.version);
                }
            }
            _ => groups.push((kind.group, vec![kind.version])),
        }
    }
    for (_, versions) in &mut groups {
        versions.sort_by_key(|version| version_rank(version));
    }
    groups
}
