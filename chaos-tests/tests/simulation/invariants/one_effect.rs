//! No operation is applied twice, and one that was refused is never applied.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::Told;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let mut written = BTreeMap::new();
    for (revision, changes) in &evidence.story.revisions {
        for change in changes.iter().filter(|change| !change.deleted) {
            if let Some(before) = written.insert(change.kv.value.clone(), *revision) {
                return Err(format!("{:?} was written at revision {before} and again at {revision}", change.kv.value));
            }
        }
    }
    for operation in &evidence.operations {
        let promised_not = matches!(operation.told, Told::Refused | Told::NotWritten { .. });
        if let Some(revision) = operation.value().and_then(|value| written.get(value))
            && promised_not
        {
            return Err(format!("{operation:?} was applied at revision {revision}"));
        }
    }
    Ok(())
}
