//! What was told before a request began is visible to it, and nothing is visible before it was asked for.
//!
//! Revisions order all operations of the store; this compares that order with the clock.

use std::time::Duration;

use super::Evidence;
use crate::history::{Operation, Told};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let mut by_end: Vec<&Operation> = evidence.operations.iter().filter(|one| one.revision().is_some()).collect();
    by_end.sort_by_key(|operation| operation.ended);
    nothing_is_forgotten(&by_end)?;
    nothing_is_foreseen(&by_end)
}

fn nothing_is_forgotten(by_end: &[&Operation]) -> Result<(), String> {
    let mut by_begin: Vec<&Operation> = by_end.iter().copied().filter(|one| one.is_linearizable()).collect();
    by_begin.sort_by_key(|operation| operation.began);
    let mut ended = by_end.iter().peekable();
    let mut newest: Option<&Operation> = None;
    for operation in by_begin {
        while let Some(before) = ended.next_if(|before| before.ended < operation.began) {
            if newest.is_none_or(|newest| before.revision() > newest.revision()) {
                newest = Some(before);
            }
        }
        let Some(newest) = newest else { continue };
        let writes = matches!(operation.told, Told::Written { .. });
        if operation.revision() < newest.revision() || (writes && operation.revision() == newest.revision()) {
            return Err(format!("{operation:?} began after {newest:?} had ended, and does not come after it"));
        }
    }
    Ok(())
}

fn nothing_is_foreseen(by_end: &[&Operation]) -> Result<(), String> {
    let mut writes: Vec<&Operation> =
        by_end.iter().copied().filter(|one| matches!(one.told, Told::Written { .. })).collect();
    writes.sort_by_key(|operation| operation.revision());
    // The latest beginning among the writes up to each one.
    let mut latest: Vec<(Option<i64>, Duration)> = Vec::with_capacity(writes.len());
    for write in &writes {
        let before = latest.last().map_or(Duration::ZERO, |(_, began)| *began);
        latest.push((write.revision(), before.max(write.began)));
    }
    for operation in by_end {
        let upto = latest.partition_point(|(revision, _)| *revision <= operation.revision());
        if let Some((_, began)) = upto.checked_sub(1).map(|at| latest[at])
            && began > operation.ended
        {
            return Err(format!("{operation:?} shows a write that began only at {began:?}"));
        }
    }
    Ok(())
}
