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
        all if blunt.is_empty() => {
            let two = evidence.injected.iter().any(|one| one.planned.beside);
            match overlaps(evidence) {
                0 if two => Err("two at once were asked for, and no two were under way at the same moment".into()),
                0 => Ok(format!("{all} of {all}")),
                pairs => Ok(format!("{all} of {all}; {pairs} times two at once")),
            }
        }
        _ => Err(some(&blunt)),
    }
}

/// How many rounds had two faults under way at the same moment.
pub(crate) fn overlaps(evidence: &Evidence) -> usize {
    evidence.rounds().filter(|round| round.iter().any(|one| evidence.beside(one).next().is_some())).count()
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

    #[test]
    fn two_at_once_are_at_once_or_that_is_told() {
        let mut evidence = evidence();
        let mut second = evidence.injected[0].clone();
        second.planned.beside = true;
        evidence.injected.push(second);
        assert_eq!(check(&evidence).unwrap(), "2 of 2; 1 times two at once");
        evidence.injected[1].began = evidence.injected[0].healed;
        assert!(check(&evidence).unwrap_err().contains("no two were under way"));
    }
}
