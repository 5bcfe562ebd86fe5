//! After every fault, once healed, all masters follow one leader again.

use super::{Evidence, some};

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let lasting: Vec<String> = evidence
        .injected
        .iter()
        .filter(|one| one.recovered.is_none())
        .map(|one| format!("not after {} of {}", one.planned.fault.name, one.hosts.join(", ")))
        .collect();
    if !lasting.is_empty() {
        return Err(some(&lasting));
    }
    let times = evidence.injected.iter().filter_map(|one| Some(one.recovered?.saturating_duration_since(one.healed)));
    Ok(format!("within {:.2} s of being healed", times.max().unwrap_or_default().as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn a_cluster_that_stays_broken_is_told_with_the_fault() {
        let mut evidence = evidence();
        evidence.injected[0].recovered = None;
        assert_eq!(check(&evidence).unwrap_err(), "not after kill-leader of m1");
    }
}
