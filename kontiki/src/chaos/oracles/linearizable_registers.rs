//! Of every register, one order of its operations explains all answers.

use std::collections::BTreeMap;

use super::Evidence;
use crate::chaos::linearizability::{self, Step, Verdict};

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let mut registers: BTreeMap<&str, Vec<Step<String>>> = BTreeMap::new();
    for operation in &evidence.operations {
        let step = Step {
            effect: operation.effect.clone(),
            began: operation.began.saturating_duration_since(evidence.epoch),
            ended: operation.ended.map(|ended| ended.saturating_duration_since(evidence.epoch)),
        };
        registers.entry(&operation.register).or_default().push(step);
    }
    for (register, steps) in &registers {
        match linearizability::check(steps.clone()) {
            Verdict::Linearizable => {}
            Verdict::NotLinearizable => {
                return Err(format!("no order of the {} operations of {register} explains its answers", steps.len()));
            }
            Verdict::Undecided => {
                return Err(format!(
                    "the search for an order of the {} operations of {register} was given up",
                    steps.len()
                ));
            }
        }
    }
    let unknown = evidence.operations.iter().filter(|operation| operation.ended.is_none()).count();
    Ok(format!(
        "{} operations on {} registers, {unknown} of unknown outcome",
        evidence.operations.len(),
        registers.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{evidence::sample::evidence, linearizability::Effect};

    #[test]
    fn a_stale_read_is_found_and_an_unknown_write_excuses_what_it_explains() {
        let mut evidence = evidence();
        evidence.operations[2].effect = Effect::Read(Some("a".into()));
        assert!(check(&evidence).unwrap_err().contains("no order"));
        evidence.operations[1].ended = None;
        check(&evidence).unwrap();
    }
}
