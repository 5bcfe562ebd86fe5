//! Selectors of labels and nodes, made ready to match.

use std::collections::BTreeMap;

use api::selector::{LabelSelector, Operator, Requirement};
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use crate::snapshot::NodeFacts;

/// A typed selector; one that is not valid selects nothing.
pub(crate) fn of_labels(selector: &meta::LabelSelector) -> Option<LabelSelector> {
    let mut requirements = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        requirements.push(Requirement::new(key, Operator::In(vec![value.clone()])).ok()?);
    }
    for expression in selector.match_expressions.iter().flatten() {
        let operator = operator(&expression.operator, expression.values.clone().unwrap_or_default())?;
        requirements.push(Requirement::new(&expression.key, operator).ok()?);
    }
    Some(requirements.into_iter().collect())
}

/// Whether a node fulfils a term of an affinity. A term that says nothing matches nothing.
pub(crate) fn term_matches(term: &NodeSelectorTerm, node: &NodeFacts) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let label = |key: &str| node.labels.get(key).map(String::as_str);
    let field = |key: &str| (key == "metadata.name").then_some(&*node.name);
    expressions.iter().all(|requirement| holds(requirement, label(&requirement.key)))
        && fields.iter().all(|requirement| holds(requirement, field(&requirement.key)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.clone().unwrap_or_default();
    let operator = operator(&requirement.operator, values);
    let requirement = operator.map(|operator| Requirement { key: requirement.key.clone(), operator });
    requirement.is_some_and(|requirement| requirement.matches(value))
}

fn operator(name: &str, values: Vec<String>) -> Option<Operator> {
    let number = || values.first()?.parse().ok();
    Some(match name {
        "In" => Operator::In(values),
        "NotIn" => Operator::NotIn(values),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan(number()?),
        "Lt" => Operator::LessThan(number()?),
        _ => return None,
    })
}

/// Whether all of `wanted` are among `labels`.
pub(crate) fn contains(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
