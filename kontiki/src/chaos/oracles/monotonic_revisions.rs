//! An operation that began after another had ended has a later revision, whichever masters and APIs they went through: a
//! write a strictly later one, a read at least the same.
//!
//! Kubernetes' resource versions are the store's revisions, so both APIs are in one order.

use std::time::Instant;

use super::Evidence;
use crate::chaos::linearizability::Effect;

struct Stamp {
    began: Instant,
    ended: Instant,
    revision: i64,
    writes: bool,
    what: String,
}

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let stamps = stamps(evidence);
    let mut by_begin: Vec<&Stamp> = stamps.iter().collect();
    by_begin.sort_by_key(|stamp| stamp.began);
    let mut by_end: Vec<&Stamp> = stamps.iter().collect();
    by_end.sort_by_key(|stamp| stamp.ended);
    let mut ended = by_end.into_iter().peekable();
    let mut newest: Option<&Stamp> = None;
    for stamp in by_begin {
        while let Some(before) = ended.next_if(|before| before.ended < stamp.began) {
            if newest.is_none_or(|newest| before.revision > newest.revision) {
                newest = Some(before);
            }
        }
        let Some(newest) = newest else { continue };
        if stamp.revision < newest.revision || (stamp.writes && stamp.revision == newest.revision) {
            return Err(format!(
                "{} got revision {}, and began at {:.2} s, after {} had got {}",
                stamp.what,
                stamp.revision,
                evidence.seconds(stamp.began),
                newest.what,
                newest.revision
            ));
        }
    }
    Ok(format!("{} operations in one order", stamps.len()))
}

fn stamps(evidence: &Evidence) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    for writer in &evidence.writers {
        stamps.extend(writer.history.acknowledged.iter().filter_map(|write| {
            let what = format!("{} through the {}", write.name, writer.name);
            Some(Stamp { began: write.began, ended: write.ended, revision: write.revision?, writes: true, what })
        }));
    }
    stamps.extend(evidence.operations.iter().filter_map(|operation| {
        let writes = !matches!(operation.effect, Effect::Read(_));
        let what = format!("{:?} of {}", operation.effect, operation.register);
        Some(Stamp { began: operation.began, ended: operation.ended?, revision: operation.revision?, writes, what })
    }));
    stamps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn a_revision_that_falls_or_comes_twice_is_named() {
        for delta in [-2, -3] {
            let mut evidence = evidence();
            let revision = &mut evidence.writers[0].history.acknowledged[50].revision;
            *revision = revision.map(|revision| revision + delta);
            let broken = check(&evidence).unwrap_err();
            assert!(broken.contains("write-00000050 through the etcd port"), "{broken}");
        }
    }

    #[test]
    fn a_read_may_show_the_same_revision_and_not_an_older_one() {
        let mut evidence = evidence();
        let last = evidence.writers[1].history.acknowledged[60].clone();
        evidence.operations[2].began = last.ended + std::time::Duration::from_millis(1);
        evidence.operations[2].ended = Some(last.ended + std::time::Duration::from_millis(2));
        evidence.operations[2].revision = last.revision;
        check(&evidence).unwrap();
        evidence.operations[2].revision = last.revision.map(|revision| revision - 1);
        assert!(check(&evidence).unwrap_err().contains("Read"));
    }
}
