//! Pods that ran before run on, in the same containers: no fault takes a node away for long enough to move its pods. Those of a
//! worker whose power was cut run again when it is back.

use super::{Evidence, some};
use crate::chaos::evidence::rebooted;

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let (before, after) = &evidence.containers;
    let rebooted = rebooted(&evidence.injected);
    let (mut wrong, mut restarted) = (Vec::new(), 0);
    for (pod, containers) in before {
        let ended = rebooted.contains(containers.node.as_str());
        restarted += usize::from(ended);
        match after.get(pod) {
            Some(now) if ended && now.run => {}
            Some(now) if ended => wrong.push(format!("{pod} does not run again on {}: [{}]", now.node, now.which)),
            Some(now) if now.which == containers.which => {}
            Some(now) => wrong.push(format!("{pod}: [{}] became [{}]", containers.which, now.which)),
            // The user's workload may delete pods.
            None if evidence.workload.is_some() => {}
            None => wrong.push(format!("{pod} is gone")),
        }
    }
    match restarted {
        _ if !wrong.is_empty() => Err(some(&wrong)),
        0 => Ok(format!("{} pods untouched", before.len())),
        count => {
            Ok(format!("{} pods untouched; {count} run again on workers that were rebooted", before.len() - count))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{evidence::sample::evidence, faults::find};

    const POD: &str = "default/web-1 uid";

    #[test]
    fn a_restarted_container_and_a_pod_that_is_gone_are_named() {
        let mut evidence = evidence();
        evidence.containers.1.get_mut(POD).unwrap().which = "web id restarts=1".into();
        assert!(check(&evidence).unwrap_err().contains("restarts=1"));
        evidence.containers.1.remove(POD);
        assert!(check(&evidence).unwrap_err().contains("is gone"));
    }

    #[test]
    fn pods_of_a_rebooted_worker_must_run_again() {
        let mut evidence = evidence();
        evidence.injected[0].planned.fault = find("reboot-worker").unwrap();
        evidence.injected[0].hosts = vec!["w1".into()];
        let pod = evidence.containers.1.get_mut(POD).unwrap();
        pod.which = "web other restarts=1".into();
        assert_eq!(check(&evidence).unwrap(), "0 pods untouched; 1 run again on workers that were rebooted");
        evidence.containers.1.get_mut(POD).unwrap().run = false;
        assert!(check(&evidence).unwrap_err().contains("does not run again on w1"));
    }
}
