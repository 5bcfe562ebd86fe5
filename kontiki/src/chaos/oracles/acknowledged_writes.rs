//! Whatever a writer was told is written is there in the end.

use super::{Evidence, some};

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let (acknowledged, _) = evidence.acknowledged_and_lost();
    let lost: Vec<String> = evidence
        .writers
        .iter()
        .flat_map(|writer| writer.lost().map(|name| format!("{name} through the {}", writer.name)))
        .collect();
    if acknowledged == 0 {
        return Err("no write was acknowledged: nothing is proven".into());
    }
    if lost.is_empty() { Ok(format!("{acknowledged} writes, all there")) } else { Err(some(&lost)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn a_write_that_was_acknowledged_and_is_gone_is_named() {
        let mut evidence = evidence();
        evidence.writers[1].found.remove("write-00000031");
        let broken = check(&evidence).unwrap_err();
        assert_eq!(broken, "write-00000031 through the Kubernetes API");
    }

    #[test]
    fn a_run_without_a_write_proves_nothing() {
        let mut evidence = evidence();
        evidence.writers.clear();
        assert!(check(&evidence).is_err());
    }
}
