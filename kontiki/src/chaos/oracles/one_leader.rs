//! No term has two leaders, by what any member says.

use super::Evidence;

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    for (term, leaders) in &evidence.claims {
        if leaders.len() > 1 {
            return Err(format!(
                "in term {term} all of these led: {}",
                Vec::from_iter(leaders.iter().cloned()).join(", ")
            ));
        }
    }
    let (first, last) = (evidence.claims.keys().next(), evidence.claims.keys().next_back());
    let (Some(first), Some(last)) = (first, last) else { return Err("nobody ever led".into()) };
    Ok(format!("terms {first} to {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn two_leaders_of_one_term_are_named() {
        let mut evidence = evidence();
        evidence.claims.entry(2).or_default().insert("m3".into());
        assert_eq!(check(&evidence).unwrap_err(), "in term 2 all of these led: m2, m3");
    }
}
