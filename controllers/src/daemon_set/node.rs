//! Which nodes should run the pod, and on which it may stay.

use api::selector::{Operator, Requirement};
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, NodeSpec, PodSpec, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use crate::caches::Cached;
use crate::meta::Strings;

const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";
/// Troubles of a node that its daemons live with.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", NO_EXECUTE),
    ("node.kubernetes.io/unreachable", NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/unschedulable", NO_SCHEDULE),
];
/// This one only those that do without the network of pods.
const NETWORK_UNAVAILABLE: (&str, &str) = ("node.kubernetes.io/network-unavailable", NO_SCHEDULE);

/// What is looked at in a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DaemonNode {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Strings,
    /// Its taints.
    pub taints: Vec<Taint>,
}

/// The parts of a node that are read.
#[derive(Deserialize)]
struct Parts {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: NodeSpec,
}

/// What a node is to a daemon set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It should run a pod.
    Runs,
    /// It should not get a pod, but may keep the one it has.
    Keeps,
    /// It should have none.
    Never,
}

impl DaemonNode {
    /// The node of a cache entry.
    pub(crate) fn of(entry: &Cached) -> Option<Self> {
        match client::cache::decode::<Parts>(&entry.object) {
            Ok(Parts { metadata, spec }) => Some(Self {
                name: metadata.name.unwrap_or_default(),
                labels: metadata.labels.unwrap_or_default(),
                taints: spec.taints.unwrap_or_default(),
            }),
            Err(error) => {
                tracing::error!(name = %entry.object.header().name, %error, "a node could not be read");
                None
            }
        }
    }

    /// What the node is to pods of a specification that has the tolerations of daemons already.
    pub(super) fn fit(&self, spec: &PodSpec) -> Fit {
        let named = spec.node_name.as_deref().is_none_or(|name| name.is_empty() || name == self.name);
        if !named || !self.is_selected(spec) {
            return Fit::Never;
        }
        let untolerated = self.taints.iter().filter(|taint| !tolerated(spec, taint));
        untolerated.fold(Fit::Runs, |fit, taint| match (fit, taint.effect.as_str()) {
            (Fit::Never, _) | (_, NO_EXECUTE) => Fit::Never,
            (_, NO_SCHEDULE) => Fit::Keeps,
            (fit, _) => fit,
        })
    }

    fn is_selected(&self, spec: &PodSpec) -> bool {
        let labels = spec.node_selector.iter().flatten().all(|(key, value)| self.labels.get(key) == Some(value));
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required =
            affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        labels && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| self.meets(term)))
    }

    /// A term that says nothing matches nothing.
    fn meets(&self, term: &NodeSelectorTerm) -> bool {
        let (expressions, fields) = (term.match_expressions.iter().flatten(), term.match_fields.iter().flatten());
        let empty = expressions.clone().next().is_none() && fields.clone().next().is_none();
        let label = |key: &str| self.labels.get(key).map(String::as_str);
        let field = |key: &str| (key == "metadata.name").then_some(self.name.as_str());
        !empty
            && expressions.into_iter().all(|requirement| holds(requirement, label(&requirement.key)))
            && fields.into_iter().all(|requirement| holds(requirement, field(&requirement.key)))
    }
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.clone().unwrap_or_default();
    let number = || values.first().and_then(|value| value.parse().ok());
    let operator = match requirement.operator.as_str() {
        "In" => Some(Operator::In(values)),
        "NotIn" => Some(Operator::NotIn(values)),
        "Exists" => Some(Operator::Exists),
        "DoesNotExist" => Some(Operator::DoesNotExist),
        "Gt" => number().map(Operator::GreaterThan),
        "Lt" => number().map(Operator::LessThan),
        _ => None,
    };
    operator.is_some_and(|operator| Requirement { key: requirement.key.clone(), operator }.matches(value))
}

/// An empty key with Exists stands for every taint, an empty effect for every effect.
fn tolerated(spec: &PodSpec, taint: &Taint) -> bool {
    spec.tolerations.iter().flatten().any(|toleration| {
        let exists = toleration.operator.as_deref() == Some("Exists");
        let key = toleration.key.as_deref().unwrap_or_default();
        let effect = toleration.effect.as_deref().unwrap_or_default();
        let value = toleration.value.as_deref().unwrap_or_default();
        (effect.is_empty() || effect == taint.effect)
            && (key == taint.key || (key.is_empty() && exists))
            && (exists || value == taint.value.as_deref().unwrap_or_default())
    })
}

/// Adds the tolerations that every daemon has.
pub(super) fn add_tolerations(spec: &mut PodSpec) {
    let network = Some(NETWORK_UNAVAILABLE).filter(|_| spec.host_network == Some(true));
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in TOLERATED.into_iter().chain(network) {
        let toleration = Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        let same = |present: &Toleration| {
            present.key == toleration.key
                && present.effect == toleration.effect
                && present.operator == toleration.operator
                && present.value.as_deref().unwrap_or_default().is_empty()
        };
        match tolerations.iter_mut().find(|present| same(present)) {
            Some(present) => *present = toleration,
            None => tolerations.push(toleration),
        }
    }
}
