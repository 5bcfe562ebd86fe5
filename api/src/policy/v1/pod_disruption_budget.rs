//! `PodDisruptionBudget`: how many pods of a group may be taken away at a time on purpose.

use jiff::Timestamp;

use crate::apps::v1::check_count_or_percent;
use crate::core::v1::pod_spec::check_not_negative;
use crate::kind::{Generation, Kind, READ_AND_CHANGE, Subresource};
use crate::meta::shown;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::selector;
use crate::table::{Cell, Row, age_column, column, integer, name_column};
use crate::validation::{Errors, Path};

/// The kind.
pub static KIND: Kind = Kind {
    group: "policy",
    plural: "poddisruptionbudgets",
    singular: "poddisruptionbudget",
    kind: "PodDisruptionBudget",
    short_names: &["pdb"],
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "PodDisruptionBudget",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::POLICY_V1_POD_DISRUPTION_BUDGET,
    columns: &[
        name_column(),
        column("Min Available", "Pods that must stay, as a number or a share."),
        column("Max Unavailable", "Pods that may be missing, as a number or a share."),
        integer("Allowed Disruptions", "Pods that may be taken away now."),
        age_column(),
    ],
    row,
    generation: Generation::Spec,
    unconditional_update: false,
    check,
    check_status_update,
    ..Kind::BASE
};

fn row(budget: &Object, now: Timestamp) -> Row {
    let limit = |path: &str| match budget.at(path) {
        Some(Node::Int(number)) => Cell::Str(number.to_string()),
        Some(Node::Str(text)) => Cell::Str(text.to_string()),
        _ => "N/A".into(),
    };
    Row::of([
        budget.name().into(),
        limit("spec.minAvailable"),
        limit("spec.maxUnavailable"),
        budget.body.i64_at("status.disruptionsAllowed").unwrap_or(0).into(),
        Row::age(budget, now),
    ])
}

fn check(budget: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let Some(spec) = budget.at("spec").and_then(Node::as_struct) else { return };
    if spec.has("minAvailable") && spec.has("maxUnavailable") {
        errors.invalid(&path, shown(budget.at("spec")), "minAvailable and maxUnavailable cannot be both set");
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if let Some(limit) = spec.get(field) {
            check_count_or_percent(limit, &path.field(field), errors);
        }
    }
    selector::check_object(spec.get("selector"), &path.field("selector"), errors);
    if let Some(policy) = spec.get("unhealthyPodEvictionPolicy").and_then(Node::as_str)
        && !matches!(policy, "AlwaysAllow" | "IfHealthyBudget")
    {
        let path = path.field("unhealthyPodEvictionPolicy");
        errors.not_supported(&path, policy, &["AlwaysAllow", "IfHealthyBudget"]);
    }
}

fn check_status_update(new: &Object, _: &Object, errors: &mut Errors) {
    let empty = Struct::new(&types::POLICY_V1_POD_DISRUPTION_BUDGET_STATUS);
    let status = new.at("status").and_then(Node::as_struct).unwrap_or(&empty);
    let path = Path::Root.field("status");
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        check_not_negative(status.i64_at(field), &path.field(field), errors);
    }
}
