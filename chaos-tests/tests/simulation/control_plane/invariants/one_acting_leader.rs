//! Once a leader's components have written, nothing that those of an earlier one wrote takes effect.
//!
//! Controllers and scheduler name the term they act under as the manager of what they write.

use serde_json::Value;

use super::Evidence;
use crate::control_plane::{
    master::IN_TERM,
    tale::{Event, Object},
};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let mut newest: Option<(u64, &Event)> = None;
    for event in &evidence.tale.events {
        let Some(term) = term(event) else { continue };
        match newest {
            Some((newer, first)) if newer > term => {
                return Err(format!(
                    "{} was written at {} under term {term}, after {} at {} under term {newer}",
                    event.key, event.revision, first.key, first.revision
                ));
            }
            Some((newer, _)) if newer == term => {}
            _ => newest = Some((term, event)),
        }
    }
    Ok(())
}

/// The term under which a change was written, if it shows.
pub(super) fn term(event: &Event) -> Option<u64> {
    let entries = |object: &Object| object.json["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let before = event.before.as_ref().map(|object| entries(object)).unwrap_or_default();
    let after = entries(event.after.as_ref()?);
    let changed = after.iter().filter(|entry| !before.contains(entry));
    // Another write takes fields away from who had them: only the one who got them wrote.
    let gained = changed.filter(|entry| {
        let same = |own: &&Value| ["manager", "subresource", "operation"].iter().all(|part| own[part] == entry[part]);
        before.iter().find(same).is_none_or(|own| own["time"] != entry["time"])
    });
    gained.filter_map(|entry| entry["manager"].as_str()?.split_once(IN_TERM)?.1.split_once('.')?.0.parse().ok()).max()
}
