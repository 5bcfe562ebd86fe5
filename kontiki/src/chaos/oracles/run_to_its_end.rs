//! Nothing went wrong with the harness itself, and nobody interrupted it.

use super::{Evidence, some};

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    if evidence.troubles.is_empty() { Ok("yes".into()) } else { Err(some(&evidence.troubles)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn trouble_with_the_run_itself_is_told() {
        let mut evidence = evidence();
        evidence.troubles.push("interrupted".into());
        assert_eq!(check(&evidence).unwrap_err(), "interrupted");
    }
}
