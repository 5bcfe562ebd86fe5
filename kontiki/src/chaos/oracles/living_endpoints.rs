//! A Service leads to pods that live: every new connection to its address is answered.
//!
//! A worker that is cut off or ended takes its pods with it, and for a while nobody can know: until its node is taken for lost or
//! is heard of again. Beyond that bound, and at faults of masters or agents alone at any time, no connection may fail.

use std::time::{Duration, Instant};

use super::{Evidence, some};
use crate::chaos::{
    evidence::Injected,
    faults::{Action, Target},
};

/// A node that is silent for its lease of 10 s is taken for lost; then every service proxy has to hear of it.
const LOST: Duration = Duration::from_secs(15);
/// A worker that is back starts its pods, and tells where they are.
const BACK: Duration = Duration::from_secs(8);

pub(super) fn check(evidence: &Evidence) -> Result<String, String> {
    let Some(asked) = &evidence.service else { return Ok("there is no worker, so none was asked".into()) };
    let excused: Vec<(Instant, Instant)> = evidence.injected.iter().filter_map(|one| excused(evidence, one)).collect();
    let (mut connections, mut failed, mut broken) = (0_usize, 0_usize, Vec::new());
    for client in &asked.clients {
        connections += client.samples.len();
        if client.samples.is_empty() {
            broken.push(format!("nobody asked from {}", client.name));
        }
        for sample in &client.samples {
            let Some(why) = &sample.failure else { continue };
            failed += 1;
            let ended = sample.began + sample.took;
            if !excused.iter().any(|(from, to)| *from <= ended && sample.began <= *to) {
                broken.push(format!("from {} at {:.2} s: {why}", client.name, evidence.seconds(sample.began)));
            }
        }
    }
    if !broken.is_empty() {
        return Err(format!("{} of {connections} connections failed without excuse: {}", broken.len(), some(&broken)));
    }
    let answered = connections - failed;
    Ok(match failed {
        0 => format!("{connections} connections, all answered"),
        _ => format!("{connections} connections, {answered} answered, {failed} failed while a worker was lost"),
    })
}

/// When connections may fail for this fault.
fn excused(evidence: &Evidence, one: &Injected) -> Option<(Instant, Instant)> {
    let fault = one.planned.fault;
    let loses_pods = matches!(fault.action, Action::PowerOff | Action::Filter(_) | Action::Flap | Action::Slow);
    let runs_pods = |host: &String| evidence.nodes.0.contains_key(host);
    if !loses_pods || fault.target == Target::Each || !one.hosts.iter().any(runs_pods) {
        return None;
    }
    // Nobody hears of anything, and nobody tells it, while no master can write.
    let silent = evidence.without_majority().into_iter().filter(|(from, to)| *from < one.healed && one.began < *to);
    let heard = silent.map(|(_, to)| to).max().unwrap_or(one.began).max(one.began);
    Some((one.began, (heard + LOST).min(heard.max(one.healed) + BACK)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::{evidence::sample::evidence, faults::find};

    fn fail(evidence: &mut Evidence, at: usize) {
        evidence.service.as_mut().unwrap().clients[0].samples[at].failure = Some("refused".into());
    }

    #[test]
    fn one_connection_that_fails_at_a_fault_of_a_master_is_one_too_many() {
        let mut evidence = evidence();
        assert_eq!(check(&evidence).unwrap(), "100 connections, all answered");
        fail(&mut evidence, 35);
        let wanted = "1 of 100 connections failed without excuse: from w1 at 3.50 s: refused";
        assert_eq!(check(&evidence).unwrap_err(), wanted);
    }

    #[test]
    fn a_worker_that_is_lost_excuses_failures_until_that_is_known_and_no_longer() {
        let mut evidence = evidence();
        evidence.injected[0].planned.fault = find("reboot-worker").unwrap();
        evidence.injected[0].hosts = vec!["w1".into()];
        fail(&mut evidence, 35);
        fail(&mut evidence, 99);
        assert_eq!(check(&evidence).unwrap(), "100 connections, 98 answered, 2 failed while a worker was lost");
        // Healed at 5 s: from 13 s on, pods are back and known.
        let late = evidence.epoch + Duration::from_millis(13_500);
        evidence.service.as_mut().unwrap().clients[0].samples[99].began = late;
        assert!(check(&evidence).unwrap_err().contains("from w1 at 13.50 s"));
        // An agent that is killed loses no pod.
        evidence.injected[0].planned.fault = find("agent-kill").unwrap();
        assert!(check(&evidence).unwrap_err().starts_with("2 of 100 connections"));
    }

    #[test]
    fn a_service_that_nobody_asked_is_told() {
        let mut evidence = evidence();
        evidence.service.as_mut().unwrap().clients[0].samples.clear();
        assert!(check(&evidence).unwrap_err().contains("nobody asked from w1"));
    }
}
