//! Version 2 to version 1, and back.

use serde_json::Value;

use super::metrics::{self, Half};
use super::{BEHAVIOR, CONDITIONS, CURRENT_METRICS, METRICS, present, set_in};
use crate::json::{self, Options};
use crate::kind::copy_field;
use crate::node::{Node, Struct};
use crate::schema::{FieldKind, Type, types};

/// The fields of a specification that both versions have.
const SPEC: [&str; 2] = ["minReplicas", "maxReplicas"];
/// The fields of a status that both versions have.
const STATUS: [&str; 4] = ["observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"];

pub(super) fn from_v2(stored: Struct) -> Struct {
    let stored = &stored;
    let mut out = Struct::new(&types::AUTOSCALING_V1_HORIZONTAL_POD_AUTOSCALER);
    copy_field(&mut out, stored, "metadata");
    copy_part(&mut out, stored, "spec", &SPEC);
    copy_reference(&mut out, stored);
    copy_part(&mut out, stored, "status", &STATUS);
    let metrics = stored.items_at("spec.metrics");
    let utilization = metrics.iter().find_map(|metric| cpu(metric, "target"));
    if let Some(utilization) = utilization {
        out.set("spec.targetCPUUtilizationPercentage", utilization);
    }
    let current = stored.items_at("status.currentMetrics");
    if let Some(utilization) = current.iter().rev().find_map(|metric| cpu(metric, "current")) {
        out.set("status.currentCPUUtilizationPercentage", utilization);
    }
    let others: Vec<Value> = metrics
        .iter()
        .filter(|metric| cpu(metric, "target").is_none())
        .map(|metric| metrics::flat(&value(metric), Half::Wish))
        .collect();
    let current: Vec<Value> = current.iter().map(|metric| metrics::flat(&value(metric), Half::Status)).collect();
    let conditions: Vec<Value> = stored.items_at("status.conditions").iter().map(value).collect();
    for (name, list) in [(METRICS, others), (CURRENT_METRICS, current), (CONDITIONS, conditions)] {
        set_in(&mut out, name, (!list.is_empty()).then(|| Value::from(list).to_string()));
    }
    let behavior = stored.at("spec.behavior").map(|behavior| metrics::capitalized(&value(behavior)).to_string());
    set_in(&mut out, BEHAVIOR, behavior);
    out
}

pub(super) fn to_v2(served: Struct) -> Struct {
    let served = &served;
    let mut out = Struct::new(&types::AUTOSCALING_V2_HORIZONTAL_POD_AUTOSCALER);
    copy_field(&mut out, served, "metadata");
    // An annotation that cannot be read says nothing; upstream does not mind either.
    let mut annotation = |name: &str| -> Option<Value> {
        let text = served.at("metadata.annotations")?.get(name)?.as_str()?;
        set_in(&mut out, name, None);
        serde_json::from_str(text).ok()
    };
    let (others, behavior) = (annotation(METRICS), annotation(BEHAVIOR));
    let (current, conditions) = (annotation(CURRENT_METRICS), annotation(CONDITIONS));
    copy_part(&mut out, served, "spec", &SPEC);
    copy_reference(&mut out, served);
    copy_part(&mut out, served, "status", &STATUS);
    let spec = out.struct_at("spec");
    if let Some(utilization) = served.i64_at("spec.targetCPUUtilizationPercentage") {
        present::push_cpu_metric(spec, utilization);
    }
    let nested = |list: Option<Value>, half: Half| -> Option<Value> {
        Some(list?.as_array()?.iter().map(|metric| metrics::nested(metric, half)).collect())
    };
    append(spec, "metrics", nested(others, Half::Wish));
    present::ensure_metric(spec);
    if let Some(behavior) = behavior.and_then(|behavior| {
        read(&types::AUTOSCALING_V2_HORIZONTAL_POD_AUTOSCALER_BEHAVIOR, &metrics::uncapitalized(&behavior))
    }) {
        spec.set("behavior", behavior);
    }
    status_to_v2(&mut out, served, nested(current, Half::Status), conditions);
    out
}

fn status_to_v2(out: &mut Struct, served: &Struct, current: Option<Value>, conditions: Option<Value>) {
    let utilization = served.i64_at("status.currentCPUUtilizationPercentage");
    if current.is_none() && conditions.is_none() && utilization.is_none() {
        return;
    }
    let status = out.struct_at("status");
    append(status, "conditions", conditions);
    match (current, utilization) {
        // The annotation knows more than the field.
        (Some(current), _) => append(status, "currentMetrics", Some(current)),
        (None, Some(utilization)) => {
            let Some(mut metric) = status.new_item("currentMetrics") else { return };
            metric.set("type", "Resource");
            metric.set("resource.name", "cpu");
            metric.set("resource.current.averageUtilization", utilization);
            status.list_at("currentMetrics").push(metric.into());
        }
        (None, None) => {}
    }
}

/// How busy processors are to be, or are, if that is what the metric is about.
fn cpu(metric: &Node, side: &str) -> Option<i64> {
    let is_cpu = metric.str_at("type") == "Resource" && metric.str_at("resource.name") == "cpu";
    metric.i64_at(&format!("resource.{side}.averageUtilization")).filter(|_| is_cpu)
}

fn copy_part(out: &mut Struct, from: &Struct, part: &str, fields: &[&str]) {
    let Some(from) = from.get(part).and_then(Node::as_struct) else { return };
    let part = out.struct_at(part);
    fields.iter().for_each(|field| copy_field(part, from, field));
}

fn copy_reference(out: &mut Struct, from: &Struct) {
    let Some(from) = from.at("spec.scaleTargetRef").and_then(Node::as_struct) else { return };
    let reference = out.struct_at("spec.scaleTargetRef");
    ["kind", "name", "apiVersion"].iter().for_each(|field| copy_field(reference, from, field));
}

/// Adds the elements of a JSON list that have the form of the list's elements.
fn append(parent: &mut Struct, list: &str, items: Option<Value>) {
    let Some((_, field)) = parent.ty().field(list) else { return };
    let FieldKind::List(FieldKind::Struct(ty)) = field.kind else { return };
    for item in items.iter().filter_map(Value::as_array).flatten() {
        if let Some(item) = read(ty, item) {
            parent.list_at(list).push(item.into());
        }
    }
}

fn read(ty: Type, value: &Value) -> Option<Struct> {
    json::decode_struct(ty, value.to_string().as_bytes(), Options::LENIENT).ok().map(|(read, _)| read)
}

fn value(node: &Node) -> Value {
    let text = node.as_struct().map(json::encode_struct).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}
