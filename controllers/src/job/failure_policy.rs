//! `spec.podFailurePolicy`: what the way in which a pod failed means for the Job.

use k8s_openapi::api::batch::v1::{
    Job, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};

use super::pods::JobPod;

/// What the failure of a pod means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It counts.
    Count,
    /// It counts, and its index is given up.
    FailIndex,
    /// It does not count.
    Ignore,
    /// The Job is given up, for this reason.
    FailJob(String),
}

/// The first rule that matches decides; without one a failure counts.
pub(super) fn meaning(job: &Job, pod: &JobPod<'_>) -> Meaning {
    let policy = job.spec.as_ref().and_then(|spec| spec.pod_failure_policy.as_ref());
    let rules = policy.into_iter().flat_map(|policy| &policy.rules).enumerate();
    rules.into_iter().find_map(|(index, rule)| apply(rule, index, pod)).unwrap_or(Meaning::Count)
}

/// Whether a failure counts towards the limits.
pub(super) fn counts(job: &Job, pod: &JobPod<'_>) -> bool {
    meaning(job, pod) != Meaning::Ignore
}

fn apply(rule: &PodFailurePolicyRule, index: usize, pod: &JobPod<'_>) -> Option<Meaning> {
    let header = pod.view.object.header();
    let whose = format!("{}/{}", header.namespace, header.name);
    let (action, why) = (rule.action.as_str(), format!("matching {} rule at index {index}", rule.action));
    let message = if let Some(wanted) = &rule.on_exit_codes {
        let (container, code) = failed_container(wanted, pod)?;
        format!("Container {} for pod {whose} failed with exit code {code} {why}", container.name)
    } else {
        let condition = matching_condition(rule.on_pod_conditions.as_deref()?, pod)?;
        format!("Pod {whose} has condition {} {why}", condition.type_)
    };
    match action {
        "Ignore" => Some(Meaning::Ignore),
        "FailIndex" => Some(Meaning::FailIndex),
        "FailJob" => Some(Meaning::FailJob(message)),
        "Count" => Some(Meaning::Count),
        _ => None,
    }
}

/// Containers come before init containers.
fn failed_container<'a>(
    wanted: &PodFailurePolicyOnExitCodesRequirement,
    pod: &'a JobPod<'_>,
) -> Option<(&'a ContainerStatus, i32)> {
    pod.containers().chain(pod.init_containers()).find_map(|container| {
        let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
        let named = wanted.container_name.as_ref().is_none_or(|name| *name == container.name);
        let listed = wanted.values.contains(&code);
        let fits = match wanted.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        (code != 0 && named && fits).then_some((container, code))
    })
}

fn matching_condition<'a>(
    patterns: &[PodFailurePolicyOnPodConditionsPattern],
    pod: &'a JobPod<'_>,
) -> Option<&'a PodCondition> {
    let fits = |condition: &PodCondition| {
        let fits = |pattern: &PodFailurePolicyOnPodConditionsPattern| {
            pattern.type_ == condition.type_ && pattern.status.as_deref().unwrap_or("True") == condition.status
        };
        patterns.iter().any(fits)
    };
    pod.status.conditions.iter().flatten().find(|condition| fits(condition))
}
