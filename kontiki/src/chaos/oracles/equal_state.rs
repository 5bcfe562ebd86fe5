//! All members have the same hash of all keys at the same revision.

use std::collections::BTreeSet;

use super::Evidence;

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let told = evidence.hashes.iter().map(|(member, hash)| match hash {
        Ok(hash) => format!("{member} {hash:08x}"),
        Err(why) => format!("{member}: {why}"),
    });
    let told: Vec<String> = told.collect();
    let different: BTreeSet<_> = evidence.hashes.iter().map(|(_, hash)| hash.as_ref().ok()).collect();
    let all_told = evidence.hashes.iter().all(|(_, hash)| hash.is_ok());
    if all_told && different.len() == 1 { Ok(told.join(", ")) } else { Err(told.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn a_member_that_differs_or_is_silent_is_shown() {
        let mut evidence = evidence();
        evidence.hashes[1].1 = Ok(8);
        assert_eq!(check(&evidence).unwrap_err(), "m1 00000007, m2 00000008, m3 00000007");
        evidence.hashes[1].1 = Err("no answer".into());
        assert!(check(&evidence).unwrap_err().contains("m2: no answer"));
        evidence.hashes.clear();
        assert!(check(&evidence).is_err());
    }
}
