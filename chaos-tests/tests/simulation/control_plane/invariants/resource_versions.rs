//! What a client is told later is not older, whichever master tells it; and what anybody was told before a request began is not
//! newer than its answer.

use std::collections::BTreeMap;

use super::Evidence;
use crate::control_plane::journal::{Call, Told, Verb};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let mut newest: BTreeMap<u64, (i64, &Call)> = BTreeMap::new();
    for call in &evidence.calls {
        let Told::Done { revision, .. } = call.told else { continue };
        if call.verb == Verb::Delete {
            // The answer may hold the object as it was.
            continue;
        }
        let grows = |known: i64| if call.verb == Verb::List { revision >= known } else { revision > known };
        if let Some((known, before)) = newest.get(&call.user)
            && !grows(*known)
        {
            return Err(format!("{call:?} came after {before:?}, and is not newer"));
        }
        newest.insert(call.user, (revision, call));
    }
    nothing_is_forgotten(&evidence.calls)
}

fn nothing_is_forgotten(by_end: &[Call]) -> Result<(), String> {
    let revision = |call: &Call| match call.told {
        Told::Done { revision, .. } if call.verb != Verb::Delete => Some(revision),
        _ => None,
    };
    let mut by_begin: Vec<(&Call, i64)> = by_end.iter().filter_map(|call| Some((call, revision(call)?))).collect();
    by_begin.sort_by_key(|(call, _)| call.time.0);
    let mut ended = by_end.iter().filter_map(|call| Some((call, revision(call)?))).peekable();
    let mut newest: Option<(&Call, i64)> = None;
    for (call, revision) in by_begin {
        while let Some(before) = ended.next_if(|(before, _)| before.time.1 < call.time.0) {
            if newest.is_none_or(|(_, newest)| before.1 > newest) {
                newest = Some(before);
            }
        }
        if let Some((before, newest)) = newest
            && revision < newest
        {
            return Err(format!("{call:?} began after {before:?} had ended, and is older"));
        }
    }
    Ok(())
}
