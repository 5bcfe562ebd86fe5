//! The pod of a node.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec};

use super::facts::Facts;
use super::node::add_tolerations;
use super::pods::{FAILURES, REVISION_HASH};
use super::{Create, owner};
use crate::meta::Names;
use crate::plan::Act;

/// Annotation of a DaemonSet and label of its pods: how many templates there have been.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
const POD_TEMPLATE_GENERATION: &str = "pod-template-generation";

/// The specification of the pods, but for their node.
pub(super) fn spec(daemon_set: &DaemonSet) -> PodSpec {
    let mut spec = daemon_set.spec.template.spec.clone().unwrap_or_default();
    add_tolerations(&mut spec);
    spec
}

pub(super) fn creations(facts: &Facts<'_>, creates: &[Create]) -> Vec<Act> {
    let mut names = Names::new(facts.seed);
    let owner = owner(facts.daemon_set);
    creates.iter().map(|create| owner.create(&pod(facts, create, &mut names))).collect()
}

fn pod(facts: &Facts<'_>, create: &Create, names: &mut Names) -> Pod {
    let daemon_set = facts.daemon_set;
    let mut template = daemon_set.spec.template.clone();
    let metadata = template.metadata.get_or_insert_default();
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(REVISION_HASH.to_owned(), facts.hash.clone());
    let generation = daemon_set.metadata.annotations.as_ref().and_then(|all| all.get(TEMPLATE_GENERATION));
    if let Some(generation) = generation {
        labels.insert(POD_TEMPLATE_GENERATION.to_owned(), generation.clone());
    }
    if create.failures > 0 {
        metadata.annotations.get_or_insert_default().insert(FAILURES.to_owned(), create.failures.to_string());
    }
    let mut spec = spec(daemon_set);
    tie(&mut spec, &create.node);
    template.spec = Some(spec);
    let base = format!("{}-", daemon_set.metadata.name.as_deref().unwrap_or_default());
    let name = names.generate(&base);
    owner(daemon_set).pod(template, base, name)
}

/// Replaces the terms that were required of the node, which it meets, by its name.
fn tie(spec: &mut PodSpec, node: &str) {
    let by_name = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![by_name]), match_expressions: None };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}
