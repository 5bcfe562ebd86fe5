//! What was acknowledged happened at the revision that was told, and was made from what the user saw.

use std::collections::{BTreeMap, BTreeSet};

use super::Evidence;
use crate::control_plane::{
    journal::{Told, Verb},
    tale::{Event, ROOT},
    workload::MARK,
};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    let events: BTreeMap<(i64, &str), &Event> =
        evidence.tale.events.iter().map(|event| ((event.revision, event.key.as_str()), event)).collect();
    let mut last: BTreeMap<&str, &Event> = BTreeMap::new();
    for event in &evidence.tale.events {
        if let Some(object) = event.after.as_ref().or(event.before.as_ref()) {
            last.insert(object.uid(), event);
        }
    }
    let going: BTreeSet<&str> = last
        .iter()
        .filter(|(_, event)| event.after.as_ref().is_none_or(|object| object.is_deleting()))
        .map(|(uid, _)| *uid)
        .collect();
    for call in &evidence.calls {
        let Told::Done { revision, uid } = &call.told else { continue };
        let key = call.key.strip_prefix(ROOT).unwrap_or_default();
        match call.verb {
            Verb::List => {}
            Verb::Delete => {
                if !uid.is_empty() && !going.contains(uid.as_str()) {
                    return Err(format!("{call:?} was acknowledged, and the object stays"));
                }
            }
            Verb::Create | Verb::Patch | Verb::Replace { .. } => {
                let Some(event) = events.get(&(*revision, key)) else {
                    return Err(format!("{call:?} was acknowledged, and nothing happened at its revision"));
                };
                let written = event.after.as_ref().map(|object| &object.json["metadata"]["annotations"][MARK]);
                if written.is_none_or(|mark| *mark != call.mark.as_str()) {
                    return Err(format!("{call:?} was acknowledged, and {written:?} was written"));
                }
                if let Verb::Replace { seen } = call.verb
                    && event.before.as_ref().is_none_or(|before| before.revision != seen)
                {
                    let before = event.before.as_ref().map(|before| before.revision);
                    return Err(format!("{call:?} replaced another version than the one it was made from: {before:?}"));
                }
            }
        }
    }
    Ok(())
}
