//! A watch of the Kubernetes API tells every event once, in order; a bookmark is never ahead; and it can be resumed anywhere.

use super::Evidence;
use crate::control_plane::{tale::Event, watcher::Heard};

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    for (at, (kind, heard)) in evidence.heard.iter().enumerate() {
        let happened: Vec<&Event> = evidence.tale.of_kind(kind).collect();
        one(heard, &happened, kind).map_err(|what| format!("watcher {at} of {kind}: {what}"))?;
    }
    Ok(())
}

fn one(heard: &[Heard], happened: &[&Event], kind: &str) -> Result<(), String> {
    let mut next = 0;
    let first_after = |revision: i64| happened.partition_point(|event| event.revision <= revision);
    for item in heard {
        match item {
            // A list tells all at once what came before it.
            Heard::Listed(revision) => next = first_after(*revision),
            Heard::Resumed => {}
            Heard::Bookmark(revision) => {
                if let Some(missed) = happened.get(next).filter(|event| event.revision <= *revision) {
                    return Err(format!("says that it is at {revision}, and has not told {}", brief(missed)));
                }
            }
            Heard::Event { kind: told, name, revision } => {
                let Some(event) = happened.get(next) else {
                    return Err(format!("tells {told} {name} at {revision}, which never happened"));
                };
                let expected = match (&event.before, &event.after) {
                    (None, _) => "ADDED",
                    (Some(_), Some(_)) => "MODIFIED",
                    (Some(_), None) => "DELETED",
                };
                let same = event.revision == *revision && event.key.strip_prefix(kind) == Some(name.as_str());
                if !same || expected != told {
                    return Err(format!(
                        "tells {told} {name} at {revision} where {expected} {} comes next",
                        brief(event)
                    ));
                }
                next += 1;
            }
        }
    }
    match happened.get(next) {
        Some(missed) => Err(format!("never told of {}", brief(missed))),
        None => Ok(()),
    }
}

fn brief(event: &Event) -> String {
    format!("{} at {}", event.key, event.revision)
}
