//! The command that the user named did not fail.

use super::Evidence;
use crate::chaos::workload::Ended;

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    match &evidence.workload {
        None => Ok("none was named".into()),
        Some(Ended::Asked) => Ok("it ran until it was told to end".into()),
        Some(Ended::Done) => Ok("it ended with success".into()),
        Some(Ended::Failed(why)) => Err(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn a_workload_that_failed_is_quoted() {
        let mut evidence = evidence();
        evidence.workload = Some(Ended::Asked);
        check(&evidence).unwrap();
        evidence.workload = Some(Ended::Failed("exit status: 1: no luck".into()));
        assert_eq!(check(&evidence).unwrap_err(), "exit status: 1: no luck");
    }
}
