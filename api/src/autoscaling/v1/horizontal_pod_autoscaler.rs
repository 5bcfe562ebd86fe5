//! `HorizontalPodAutoscaler` of version 1, which knows processors only: another shape of those of version 2. What it
//! cannot say stands in annotations, under upstream's names and in upstream's forms.

use crate::autoscaling::v2::horizontal_pod_autoscaler as present;
use crate::kind::{Conversion, Kind};
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;

mod conversion;
mod metrics;

/// Annotations for what version 1 cannot say of the wish.
const WISH: [&str; 2] = [METRICS, BEHAVIOR];
/// Annotations for what version 1 cannot say of the status.
const STATUS: [&str; 2] = [CURRENT_METRICS, CONDITIONS];
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// The kind.
pub static KIND: Kind = Kind {
    short_names: present::KIND.short_names,
    categories: present::KIND.categories,
    ty: &types::AUTOSCALING_V1_HORIZONTAL_POD_AUTOSCALER,
    conversion: Some(Conversion { from_stored: conversion::from_v2, to_stored: conversion::to_v2 }),
    row: |autoscaler, now| present::row(&KIND.to_stored(autoscaler.clone()), now),
    defaults: |autoscaler| {
        autoscaler.struct_at("spec").set_default("minReplicas", 1_i64);
    },
    on_create: |autoscaler| STATUS.iter().for_each(|name| set_annotation(autoscaler, name, None)),
    on_update: |new, old| keep(&STATUS, new, old),
    on_status_update: |new, old| keep(&WISH, new, old),
    // Everything is checked as it is stored, so the paths in errors are those of version 2.
    check: |autoscaler, errors| (present::KIND.check)(&KIND.to_stored(autoscaler.clone()), errors),
    ..Kind::view(&present::KIND, "autoscaling", "v1", "")
};

/// Makes annotations what they are in `old`: they belong to the other half of the object.
fn keep(names: &[&str], new: &mut Object, old: &Object) {
    for name in names {
        set_annotation(new, name, old.annotation(name).map(str::to_owned));
    }
}

fn set_annotation(object: &mut Object, name: &str, value: Option<String>) {
    set_in(&mut object.body, name, value);
}

/// Sets or removes an annotation, and leaves no empty map behind.
fn set_in(body: &mut Struct, name: &str, value: Option<String>) {
    match value {
        Some(value) => {
            drop(body.struct_at("metadata").entry("annotations").as_map_mut().map(|map| map.insert(name, value)))
        }
        None => {
            let Some(Node::Map(annotations)) = body.at_mut("metadata.annotations") else { return };
            annotations.remove(name);
            if annotations.is_empty() {
                body.remove("metadata.annotations");
            }
        }
    }
}

#[cfg(test)]
mod tests;
