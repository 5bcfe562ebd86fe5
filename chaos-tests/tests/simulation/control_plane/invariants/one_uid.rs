//! An identity belongs to one object only, from its beginning to its end, and no object changes its identity.

use std::collections::BTreeSet;

use super::Evidence;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for event in &evidence.tale.events {
        let Some(after) = &event.after else { continue };
        if after.uid().is_empty() {
            continue;
        }
        match &event.before {
            Some(before) if before.uid() != after.uid() => {
                return Err(format!("{} became another object at {}", event.key, event.revision));
            }
            Some(_) => {}
            None if !seen.insert(after.uid()) => {
                return Err(format!("{} was made at {} with a uid that was taken", event.key, event.revision));
            }
            None => {}
        }
    }
    Ok(())
}
