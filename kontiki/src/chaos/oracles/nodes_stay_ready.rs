//! No node stops being Ready: no fault cuts one off for as long as it takes to be taken for lost, an agent that is started again
//! says nothing before it knows, and a clock that is wrong is no reason.

use super::{Evidence, some};

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let (before, after) = &evidence.nodes;
    let mut wrong = Vec::new();
    for (node, ready) in before {
        match (after.get(node), ready) {
            (Some(Some(since)), Some(before)) if since == before => {}
            (Some(Some(since)), _) => wrong.push(format!("{node} is Ready since {since} only")),
            (Some(None), _) => wrong.push(format!("{node} is not Ready")),
            (None, _) => wrong.push(format!("{node} is gone")),
        }
    }
    if wrong.is_empty() { Ok(format!("{} nodes", before.len())) } else { Err(some(&wrong)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn a_node_that_was_not_ready_for_a_while_is_named() {
        let mut evidence = evidence();
        evidence.nodes.1.insert("w1".into(), Some("2026-01-01T00:00:09Z".into()));
        assert_eq!(check(&evidence).unwrap_err(), "w1 is Ready since 2026-01-01T00:00:09Z only");
        evidence.nodes.1.insert("w1".into(), None);
        assert_eq!(check(&evidence).unwrap_err(), "w1 is not Ready");
        evidence.nodes.1.clear();
        assert_eq!(check(&evidence).unwrap_err(), "w1 is gone");
    }
}
