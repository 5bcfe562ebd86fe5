//! A pod that has a node keeps it.

use super::Evidence;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    for event in evidence.tale.of_kind("pods/") {
        let node =
            |pod: &super::super::tale::Object| pod.json["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        let (Some(before), Some(after)) = (&event.before, &event.after) else { continue };
        let (before, after) = (node(before), node(after));
        if !before.is_empty() && before != after {
            return Err(format!("{} was on {before:?}, and is on {after:?} since {}", event.key, event.revision));
        }
    }
    Ok(())
}
