//! Every fault left the trace that shows that it was one; a fault that did nothing proves nothing.

use super::{Evidence, some};

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let blunt: Vec<String> = evidence
        .injected
        .iter()
        .filter_map(|one| {
            let why = one.proof.as_ref().err()?;
            let (name, hosts) = (one.planned.fault.name, one.hosts.join(", "));
            Some(format!("{name} of {hosts} at {:.1} s did not bite: {why}", evidence.seconds(one.began)))
        })
        .collect();
    match evidence.injected.len() {
        0 => Err("no fault was injected: nothing is proven".into()),
        all if blunt.is_empty() => Ok(format!("{all} of {all}")),
        _ => Err(some(&blunt)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn a_fault_that_did_not_bite_is_named() {
        let mut evidence = evidence();
        evidence.injected[0].proof = Err("0 packets dropped".into());
        assert_eq!(check(&evidence).unwrap_err(), "kill-leader of m1 at 3.0 s did not bite: 0 packets dropped");
        evidence.injected.clear();
        assert!(check(&evidence).is_err());
    }
}
