//! A watch tells every change once and in order, also across its resumptions.
//!
//! Ordered: revisions only rise. Unique: no change is told twice. Complete: every acknowledged write and every key that is
//! there in the end was told at its revision, and all watches of one kind tell the same. Resumed: none is stuck.

use std::collections::BTreeSet;

use super::{Evidence, some};
use crate::chaos::watchers::{Event, Heard};

/// What is wrong with what watchers heard.
#[derive(Default)]
pub(crate) struct Wrongs {
    /// Changes that a watch was not told of.
    pub(crate) lost: Vec<String>,
    /// Changes that a watch was told of again.
    pub(crate) doubled: Vec<String>,
    /// Changes that came after later ones, and watches that could not go on.
    pub(crate) other: Vec<String>,
}

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let wrongs = wrongs(evidence);
    let all = [wrongs.lost, wrongs.doubled, wrongs.other].concat();
    if !all.is_empty() {
        return Err(some(&all));
    }
    let events: usize = evidence.heard.iter().map(|heard| heard.events.len()).sum();
    Ok(format!("{} watches told {events} events, resumed {} times", evidence.heard.len(), evidence.resumed()))
}

/// Everything that is wrong.
pub(crate) fn wrongs(evidence: &Evidence) -> Wrongs {
    let mut wrongs = Wrongs::default();
    // Everything that any watch told happened, so every watch of its kind had to tell it; so did all that was acknowledged.
    for api in ["etcd", "Kubernetes"] {
        let watches: Vec<&Heard> = evidence.heard.iter().filter(|heard| heard.name.starts_with(api)).collect();
        let mut happened: BTreeSet<Event> = watches.iter().flat_map(|heard| heard.events.iter().cloned()).collect();
        for writer in evidence.writers.iter().filter(|writer| writer.name.starts_with(api)) {
            happened.extend(writer.found.iter().map(|(key, at)| Event { key: key.clone(), revision: *at }));
            let acknowledged = writer.history.acknowledged.iter();
            happened
                .extend(acknowledged.filter_map(|one| Some(Event { key: one.name.clone(), revision: one.revision? })));
        }
        for heard in watches {
            one(heard, &happened, &mut wrongs);
        }
    }
    wrongs
}

fn one(heard: &Heard, happened: &BTreeSet<Event>, wrongs: &mut Wrongs) {
    let name = &heard.name;
    let mut told = BTreeSet::new();
    let mut last = heard.after;
    for event in &heard.events {
        let Event { key, revision } = event;
        if !told.insert(event) {
            wrongs.doubled.push(format!("{name} told {key} at {revision} twice"));
        } else if *revision <= last {
            wrongs.other.push(format!("{name} told {key} at {revision} after {last}"));
        }
        last = last.max(*revision);
    }
    let due = happened.iter().filter(|event| event.revision > heard.after);
    let lost = due.filter(|event| !told.contains(event));
    wrongs.lost.extend(lost.map(|event| format!("{name} never told {} at {}", event.key, event.revision)));
    wrongs.other.extend(heard.stuck.iter().map(|why| format!("{name} could not go on: {why}")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn a_lost_a_doubled_and_a_late_event_are_named() {
        let mut lost = evidence();
        let event = lost.heard[0].events.remove(40);
        assert!(check(&lost).unwrap_err().contains(&format!("never told {} at {}", event.key, event.revision)));
        assert_eq!(wrongs(&lost).lost.len(), 1);

        let mut doubled = evidence();
        let event = doubled.heard[1].events[40].clone();
        doubled.heard[1].events.insert(41, event);
        assert!(check(&doubled).unwrap_err().contains("twice"));

        let mut late = evidence();
        late.heard[0].events.swap(40, 41);
        assert!(check(&late).unwrap_err().contains("after"));
    }

    #[test]
    fn an_event_that_only_another_watch_told_is_lost_too() {
        let mut evidence = evidence();
        let mut other = evidence.heard[0].clone();
        other.name = "etcd watch 2".into();
        other.events.push(Event { key: "register-0".into(), revision: 900 });
        evidence.heard.push(other);
        assert!(check(&evidence).unwrap_err().contains("never told register-0 at 900"));
    }

    #[test]
    fn a_watch_that_could_not_go_on_is_named() {
        let mut evidence = evidence();
        evidence.heard[0].stuck = Some("compacted".into());
        assert!(check(&evidence).unwrap_err().contains("compacted"));
    }
}
