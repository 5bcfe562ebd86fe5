//! A node's NoSchedule and NoExecute taints keep pods away that do not tolerate them; PreferNoSchedule ranks it lower.

use k8s_openapi::api::core::v1::{PodSpec, Taint, Toleration};

use crate::plugin::{Change, Cycle, Filter, Reason, Score, Target, normalize};

/// See the module's documentation.
pub struct TaintToleration;

impl Filter for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn filter(&self, cycle: &Cycle<'_>, target: Target<'_>) -> Vec<Reason> {
        let hard = target.facts.taints.iter().filter(|taint| taint.effect != "PreferNoSchedule");
        let found = hard.into_iter().find(|taint| !tolerated(cycle.pod.spec, taint));
        let text = |taint: &Taint| {
            let value = taint.value.as_deref().unwrap_or_default();
            Reason::new(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key))
        };
        found.map(text).into_iter().collect()
    }

    fn wakes_on(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::NodeTaints)
    }
}

impl Score for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn weight(&self) -> i64 {
        3
    }

    fn score(&self, cycle: &Cycle<'_>, target: Target<'_>) -> i64 {
        let soft = target.facts.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
        let count = soft.filter(|taint| !tolerated(cycle.pod.spec, taint)).count();
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    fn normalize(&self, _cycle: &Cycle<'_>, scores: &mut [i64]) {
        normalize(scores, true);
    }
}

/// Whether the pod tolerates a taint.
pub(crate) fn tolerated(spec: &PodSpec, taint: &Taint) -> bool {
    spec.tolerations.iter().flatten().any(|toleration| tolerates(toleration, taint))
}

/// An empty key with Exists stands for every taint, an empty effect for every effect.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &'_ Option<String>| text.clone().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    (effect.is_empty() || effect == taint.effect)
        && (key == taint.key || (key.is_empty() && exists))
        && (exists || text(&toleration.value) == text(&taint.value))
}
