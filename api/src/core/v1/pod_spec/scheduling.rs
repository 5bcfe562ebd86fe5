//! Rules for where a pod may run: node selectors, affinity, tolerations, spreading.

use super::check_choice;
use crate::meta;
use crate::names;
use crate::node::{Node, Struct};
use crate::selector;
use crate::validation::{Errors, Path};

const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// Checks everything that steers the scheduler.
pub(super) fn check(spec: &Struct, _metadata: Option<&Struct>, path: &Path<'_>, errors: &mut Errors) {
    meta::check_labels(spec.get("nodeSelector").and_then(Node::as_map), &path.field("nodeSelector"), errors);
    if let Some(affinity) = spec.get("affinity") {
        let path = path.field("affinity");
        check_node_affinity(affinity, &path.field("nodeAffinity"), errors);
        for field in ["podAffinity", "podAntiAffinity"] {
            check_pod_affinity(affinity.get(field), &path.field(field), errors);
        }
    }
    check_tolerations(spec.items_at("tolerations"), &path.field("tolerations"), errors);
    check_spreading(spec.items_at("topologySpreadConstraints"), &path.field("topologySpreadConstraints"), errors);
    let mut gates: Vec<&str> = Vec::new();
    for (index, gate) in spec.items_at("schedulingGates").iter().enumerate() {
        let path = path.field("schedulingGates");
        let name = gate.str_at("name");
        errors.invalid_each(&path.index(index), name, names::qualified_name(name));
        if gates.contains(&name) {
            errors.duplicate(&path.index(index), name);
        }
        gates.push(name);
    }
}

/// Checks tolerations of taints.
pub(crate) fn check_tolerations(tolerations: &[Node], path: &Path<'_>, errors: &mut Errors) {
    for (index, toleration) in tolerations.iter().enumerate() {
        check_toleration(toleration, &path.index(index), errors);
    }
}

/// Checks a toleration.
fn check_toleration(toleration: &Node, path: &Path<'_>, errors: &mut Errors) {
    let field = |name: &str| toleration.str_at(name);
    let (key, operator, effect) = (field("key"), field("operator"), field("effect"));
    if !key.is_empty() {
        errors.invalid_each(&path.field("key"), key, names::qualified_name(key));
    }
    if key.is_empty() && operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.invalid(&path.field("operator"), operator, detail);
    }
    if toleration.i64_at("tolerationSeconds").is_some() && effect != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.invalid(&path.field("effect"), effect, detail);
    }
    match operator {
        "" | "Equal" => {
            errors.invalid_each(&path.field("operator"), field("value"), names::label_value(field("value")))
        }
        "Exists" if !field("value").is_empty() => {
            errors.invalid(&path.field("operator"), field("value"), "value must be empty when `operator` is 'Exists'");
        }
        "Exists" => {}
        _ => errors.not_supported(&path.field("operator"), operator, &["Equal", "Exists"]),
    }
    if !effect.is_empty() && !EFFECTS.contains(&effect) {
        errors.not_supported(&path.field("effect"), effect, &EFFECTS);
    }
}

fn check_weight(term: &Node, path: &Path<'_>, errors: &mut Errors) {
    let weight = term.i64_at("weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.invalid(&path.field("weight"), weight, "must be in the range 1-100");
    }
}

fn check_node_affinity(affinity: &Node, path: &Path<'_>, errors: &mut Errors) {
    let Some(affinity) = affinity.get("nodeAffinity") else { return };
    if let Some(required) = affinity.get(REQUIRED) {
        check_node_selector(required, &path.field(REQUIRED), errors);
    }
    for (index, preferred) in affinity.items_at(PREFERRED).iter().enumerate() {
        let path = path.field(PREFERRED);
        let path = path.index(index);
        check_weight(preferred, &path, errors);
        if let Some(term) = preferred.get("preference") {
            check_node_term(term, &path.field("preference"), errors);
        }
    }
}

/// Checks a selector of nodes.
pub(crate) fn check_node_selector(selector: &Node, path: &Path<'_>, errors: &mut Errors) {
    let path = path.field("nodeSelectorTerms");
    let terms = selector.items_at("nodeSelectorTerms");
    if terms.is_empty() {
        errors.required(&path, "must have at least one node selector term");
    }
    for (index, term) in terms.iter().enumerate() {
        check_node_term(term, &path.index(index), errors);
    }
}

fn check_node_term(term: &Node, path: &Path<'_>, errors: &mut Errors) {
    for list in ["matchExpressions", "matchFields"] {
        let path = path.field(list);
        for (index, requirement) in term.items_at(list).iter().enumerate() {
            let path = path.index(index);
            let (key, values) = (requirement.str_at("key"), requirement.items_at("values"));
            match requirement.str_at("operator") {
                "In" | "NotIn" if values.is_empty() => {
                    let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                    errors.required(&path.field("values"), detail);
                }
                "Exists" | "DoesNotExist" if !values.is_empty() => {
                    let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.forbidden(&path.field("values"), detail);
                }
                "Gt" | "Lt" if values.len() != 1 => {
                    let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                    errors.required(&path.field("values"), detail);
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
                operator => errors.invalid(&path.field("operator"), operator, "not a valid selector operator"),
            }
            if list == "matchExpressions" {
                errors.invalid_each(&path.field("key"), key, names::qualified_name(key));
            } else if key != "metadata.name" {
                errors.invalid(&path.field("key"), key, "not a valid field selector key");
            }
        }
    }
}

fn check_pod_affinity(affinity: Option<&Node>, path: &Path<'_>, errors: &mut Errors) {
    let Some(affinity) = affinity else { return };
    for (index, term) in affinity.items_at(REQUIRED).iter().enumerate() {
        let path = path.field(REQUIRED);
        check_pod_term(term, &path.index(index), errors);
    }
    for (index, preferred) in affinity.items_at(PREFERRED).iter().enumerate() {
        let path = path.field(PREFERRED);
        let path = path.index(index);
        check_weight(preferred, &path, errors);
        if let Some(term) = preferred.get("podAffinityTerm") {
            check_pod_term(term, &path.field("podAffinityTerm"), errors);
        }
    }
}

fn check_pod_term(term: &Node, path: &Path<'_>, errors: &mut Errors) {
    for field in ["labelSelector", "namespaceSelector"] {
        selector::check_object(term.get(field), &path.field(field), errors);
    }
    for (index, namespace) in term.items_at("namespaces").iter().filter_map(Node::as_str).enumerate() {
        errors.invalid_each(&path.field("namespaces").index(index), namespace, names::dns1123_label(namespace));
    }
    let key = term.str_at("topologyKey");
    if key.is_empty() {
        errors.required(&path.field("topologyKey"), "can not be empty");
    } else {
        errors.invalid_each(&path.field("topologyKey"), key, names::qualified_name(key));
    }
}

fn check_spreading(constraints: &[Node], path: &Path<'_>, errors: &mut Errors) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.index(index);
        let skew = constraint.i64_at("maxSkew").unwrap_or(0);
        if skew <= 0 {
            errors.invalid(&path.field("maxSkew"), skew, "must be greater than zero");
        }
        let (key, action) = (constraint.str_at("topologyKey"), constraint.str_at("whenUnsatisfiable"));
        if key.is_empty() {
            errors.required(&path.field("topologyKey"), "can not be empty");
        }
        check_choice(action, &["DoNotSchedule", "ScheduleAnyway"], &path.field("whenUnsatisfiable"), errors);
        if seen.contains(&(key, action)) {
            errors.duplicate(&path.field("{topologyKey, whenUnsatisfiable}"), format!("{{{key}, {action}}}"));
        }
        seen.push((key, action));
        if let Some(domains) = constraint.i64_at("minDomains")
            && domains <= 0
        {
            errors.invalid(&path.field("minDomains"), domains, "must be greater than zero");
        }
        selector::check_object(constraint.get("labelSelector"), &path.field("labelSelector"), errors);
    }
}
