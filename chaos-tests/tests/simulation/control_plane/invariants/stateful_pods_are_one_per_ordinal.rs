//! Of a pod's name at most one container lives, on all nodes together: a StatefulSet's next pod of an ordinal begins after the last
//! one has ended, whatever masters believe of a node that they do not hear.

use std::collections::BTreeMap;

use super::Evidence;
use crate::control_plane::lives::Life;

pub(super) fn check(evidence: &Evidence) -> Result<(), String> {
    // By name: the one that lived longest so far.
    let mut longest: BTreeMap<&str, &Life> = BTreeMap::new();
    for life in &evidence.lives {
        let before = longest.get(life.pod.as_str()).copied();
        let lived_on = before.filter(|before| before.until.is_none_or(|until| until > life.from));
        match lived_on {
            Some(before) if before.uid != life.uid => return Err(format!("{life:?} began while {before:?} lived")),
            Some(before) if before.until.is_none() || life.until.is_some_and(|until| before.until >= Some(until)) => {}
            _ => {
                longest.insert(&life.pod, life);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn two_at_once_are_found_wherever_they_are() {
        let begun = Instant::now();
        let life = |node, uid: &str, from: u64, until: Option<u64>| Life {
            node,
            pod: "default/db-0".to_owned(),
            uid: uid.to_owned(),
            address: [10, 244, 0, 2].into(),
            from: begun + Duration::from_secs(from),
            until: until.map(|until| begun + Duration::from_secs(until)),
        };
        for (lives, is_kept) in [
            (vec![life(1, "a", 0, Some(5)), life(2, "b", 5, None)], true),
            (vec![life(1, "a", 0, Some(5)), life(1, "a", 6, Some(7)), life(2, "b", 8, None)], true),
            (vec![life(1, "a", 0, Some(5)), life(2, "b", 4, None)], false),
            (vec![life(1, "a", 0, None), life(2, "b", 4, Some(5))], false),
            (vec![life(1, "a", 0, Some(9)), life(1, "a", 1, Some(2)), life(2, "b", 3, None)], false),
        ] {
            let evidence = Evidence { lives, ..Evidence::nothing(begun) };
            assert_eq!(check(&evidence).is_ok(), is_kept, "{:?}", evidence.lives);
        }
    }
}
