//! A watch tells every event once, in order, a revision whole, with what was there before; it says how far it is without
//! ever being ahead; and it can be resumed where it broke.

use store::mvccpb::{Event, KeyValue};

use super::Evidence;
use crate::{
    truth::{Story, change_of},
    watcher::Heard,
};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    for (watcher, heard) in evidence.heard.iter().enumerate() {
        one(heard, &evidence.story).map_err(|what| format!("watcher {watcher}: {what}"))?;
    }
    Ok(())
}

fn one(heard: &[Heard], story: &Story) -> Result<(), String> {
    // Everything below was told, or was compacted before it could be.
    let mut next = 1;
    for item in heard {
        match item {
            Heard::Resumed(from) if *from != next => return Err(format!("resumed at {from} where {next} came next")),
            Heard::Resumed(_) => {}
            Heard::Compacted(from) => next = *from,
            Heard::Progress(revision) => {
                if let Some((missed, _)) =
                    story.revisions.range(next..).next().filter(|(missed, _)| *missed <= revision)
                {
                    return Err(format!("says that it is at {revision}, and has not told {missed}"));
                }
                next = next.max(revision + 1);
            }
            Heard::Events(events) => {
                let last = batch(events, next, story)?;
                next = last + 1;
            }
        }
    }
    match story.revisions.range(next..).next() {
        Some((missed, _)) => Err(format!("never told of revision {missed}")),
        None => Ok(()),
    }
}

/// Events that came together; returns their last revision.
fn batch(events: &[Event], next: i64, story: &Story) -> Result<i64, String> {
    let told: Vec<_> = events.iter().filter_map(change_of).collect();
    let last = told.last().map_or(next - 1, |change| change.kv.mod_revision);
    let expected: Vec<_> =
        story.revisions.range(next..=last.max(next)).flat_map(|(_, changes)| changes.clone()).collect();
    if told != expected {
        return Err(format!("told {told:?} from {next} on, where {expected:?} happened"));
    }
    for event in events {
        let Some(kv) = &event.kv else { return Err(format!("an event without a key: {event:?}")) };
        let before = story.at(&kv.key, kv.mod_revision - 1);
        // What was compacted is not told any more.
        let is_right = |told: &KeyValue| before == Some(told);
        if !event.prev_kv.as_ref().is_none_or(is_right) {
            return Err(format!("{event:?} should have had {before:?} before"));
        }
    }
    Ok(last)
}
