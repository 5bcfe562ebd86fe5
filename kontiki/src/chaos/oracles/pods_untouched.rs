//! Pods that ran before run on, in the same containers: no fault takes a node away for long enough to move its pods.

use super::{Evidence, some};

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let (before, after) = &evidence.containers;
    let mut touched = Vec::new();
    for (pod, containers) in before {
        match after.get(pod) {
            Some(now) if now == containers => {}
            Some(now) => touched.push(format!("{pod}: [{containers}] became [{now}]")),
            // The user's workload may delete pods.
            None if evidence.workload.is_some() => {}
            None => touched.push(format!("{pod} is gone")),
        }
    }
    if touched.is_empty() { Ok(format!("{} pods untouched", before.len())) } else { Err(some(&touched)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::evidence::sample::evidence;

    #[test]
    fn a_restarted_container_and_a_pod_that_is_gone_are_named() {
        let mut evidence = evidence();
        let pod = "default/web-1 uid".to_owned();
        evidence.containers.1.insert(pod.clone(), "web id restarts=1".into());
        assert!(check(&evidence).unwrap_err().contains("restarts=1"));
        evidence.containers.1.remove(&pod);
        assert!(check(&evidence).unwrap_err().contains("is gone"));
    }
}
