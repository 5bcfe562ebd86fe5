//! Members agree: on every event, on the state in the end, and on who led in which term.

use super::Evidence;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    if let Some(first) = evidence.contradictions.first() {
        return Err(first.clone());
    }
    let mut hashes = evidence.hashes.iter();
    if let Some((first, expected)) = hashes.next()
        && let Some((other, found)) = hashes.find(|(_, found)| *found != expected)
    {
        return Err(format!("(revision, hash) is {expected:?} on member {first} and {found:?} on member {other}"));
    }
    match evidence.leaders.iter().find(|(_, leaders)| leaders.len() > 1) {
        Some((term, leaders)) => Err(format!("the members {leaders:?} all led in term {term}")),
        None => Ok(()),
    }
}
