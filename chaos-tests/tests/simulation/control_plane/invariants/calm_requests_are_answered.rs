//! Once everything has healed, users learn of every request what became of it.

use super::Evidence;
use crate::control_plane::journal::Told;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let mut later = evidence.calls.iter().filter(|call| call.time.0 >= evidence.calm);
    match later.find(|call| call.told == Told::Unknown) {
        Some(call) => Err(format!("{call:?} got no answer that means something")),
        None => Ok(()),
    }
}
