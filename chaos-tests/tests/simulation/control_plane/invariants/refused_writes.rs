//! A user who is told "no" can rely on it: nothing of the request was done.

use std::collections::BTreeSet;

use super::Evidence;
use crate::control_plane::{journal::Told, workload::MARK};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let objects = evidence.tale.events.iter().filter_map(|event| event.after.as_ref());
    let written: BTreeSet<&str> =
        objects.filter_map(|object| object.json["metadata"]["annotations"][MARK].as_str()).collect();
    match evidence
        .calls
        .iter()
        .find(|call| matches!(call.told, Told::Refused(..)) && written.contains(call.mark.as_str()))
    {
        Some(call) => Err(format!("{call:?} was refused, and done")),
        None => Ok(()),
    }
}
