//! No node is taken for lost, and none stops being Ready, whose worker was not ended: no fault cuts one off for as long as that
//! takes, and a clock that is wrong is no reason.

use std::collections::BTreeSet;

use super::{Evidence, some};
use crate::chaos::faults::{Action, Target};

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let ends = |action| matches!(action, Action::Kill | Action::Stop | Action::PowerOff | Action::Upgrade);
    let on_workers = evidence.injected.iter().filter(|one| {
        matches!(one.planned.fault.target, Target::Worker | Target::Each) && ends(one.planned.fault.action)
    });
    let ended: BTreeSet<&str> = on_workers.flat_map(|one| one.hosts.iter().map(String::as_str)).collect();
    let (before, after) = &evidence.nodes;
    let (mut wrong, mut again) = (Vec::new(), 0);
    for (node, ready) in before {
        match (after.get(node), ready) {
            (Some(Some(_)), _) if ended.contains(node.as_str()) => again += 1,
            (Some(Some(since)), Some(before)) if since == before => {}
            (Some(Some(since)), _) => wrong.push(format!("{node} is Ready since {since} only")),
            (Some(None), _) => wrong.push(format!("{node} is not Ready")),
            (None, _) => wrong.push(format!("{node} is gone")),
        }
    }
    match again {
        _ if !wrong.is_empty() => Err(some(&wrong)),
        0 => Ok(format!("{} nodes", before.len())),
        _ => Ok(format!("{} nodes; the agents of {again} of them were ended, and they are Ready", before.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{evidence::sample::evidence, faults::find};

    #[test]
    fn a_node_that_was_not_ready_for_a_while_is_named() {
        let mut evidence = evidence();
        evidence.nodes.1.insert("w1".into(), Some("2026-01-01T00:00:09Z".into()));
        assert_eq!(check(&evidence).unwrap_err(), "w1 is Ready since 2026-01-01T00:00:09Z only");
        evidence.injected[0].planned.fault = find("agent-kill").unwrap();
        evidence.injected[0].hosts = vec!["w1".into()];
        assert_eq!(check(&evidence).unwrap(), "1 nodes; the agents of 1 of them were ended, and they are Ready");
        evidence.nodes.1.insert("w1".into(), None);
        assert_eq!(check(&evidence).unwrap_err(), "w1 is not Ready");
    }
}
