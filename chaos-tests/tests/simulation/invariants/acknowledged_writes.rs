//! A write that was acknowledged is in the story, at the revision that was told, with what was written.

use super::Evidence;
use crate::history::{Ask, Told};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    for operation in &evidence.operations {
        let Told::Written { revision } = operation.told else { continue };
        let changes = evidence.story.revisions.get(&revision).map(Vec::as_slice).unwrap_or_default();
        let is_there = changes.iter().any(|change| match &operation.ask {
            Ask::Put { key, value } | Ask::Swap { key, value, .. } => {
                !change.deleted && change.kv.key == *key && change.kv.value == *value
            }
            Ask::Delete { key } => change.deleted && change.kv.key == *key,
            Ask::Get { .. } | Ask::List | Ask::ListLocally => false,
        });
        if !is_there {
            return Err(format!("{operation:?} was acknowledged, but that revision is {changes:?}"));
        }
    }
    Ok(())
}
