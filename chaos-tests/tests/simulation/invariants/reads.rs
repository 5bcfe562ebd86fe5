//! Every answer shows the keys as they were at the revision it names, and conditions were judged by that.

use bytes::Bytes;
use store::mvccpb::KeyValue;

use super::Evidence;
use crate::{
    history::{Ask, Operation, Told},
    truth::Story,
};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    evidence.operations.iter().try_for_each(|operation| one(operation, &evidence.story))
}

fn one(operation: &Operation, story: &Story) -> Result<(), String> {
    let wrong = |expected: &dyn std::fmt::Debug| Err(format!("{operation:?} should show {expected:?}"));
    match (&operation.ask, &operation.told) {
        (Ask::Get { key }, Told::Read { revision, found }) => {
            let expected: Vec<KeyValue> = story.at(key, *revision).cloned().into_iter().collect();
            if *found == expected { Ok(()) } else { wrong(&expected) }
        }
        (Ask::List | Ask::ListLocally, Told::Read { revision, found }) => {
            let expected = story.all_at(*revision);
            if *found == expected { Ok(()) } else { wrong(&expected) }
        }
        (Ask::Delete { key }, Told::NotWritten { revision, .. }) => match story.at(key, *revision) {
            None => Ok(()),
            Some(there) => wrong(&there),
        },
        (Ask::Swap { key, expected, .. }, Told::Written { revision }) => {
            let before = last_change(story, key, revision - 1);
            if before == *expected { Ok(()) } else { wrong(&before) }
        }
        (Ask::Swap { key, expected, .. }, Told::NotWritten { revision, found }) => {
            let before = last_change(story, key, *revision);
            let shown: Vec<KeyValue> = story.at(key, *revision).cloned().into_iter().collect();
            if before != *expected && *found == shown { Ok(()) } else { wrong(&(before, shown)) }
        }
        _ => Ok(()),
    }
}

/// The revision at which the key was last changed; 0 when it does not exist.
fn last_change(story: &Story, key: &Bytes, revision: i64) -> i64 {
    story.at(key, revision).map_or(0, |kv| kv.mod_revision)
}
