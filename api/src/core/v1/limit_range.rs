//! `LimitRange`: what pods, containers and claims of a namespace may ask for, and what they get who do not ask.

use jiff::Timestamp;

use super::resource_name::{check_any, entries, is_overcommit_allowed, read};
use crate::core::v1::pod_spec::check_container_resource_name;
use crate::kind::Kind;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::quantity::Quantity;
use crate::schema::types;
use crate::table::{Row, column, name_column};
use crate::validation::{Errors, Path, Value};

const POD: &str = "Pod";
const CONTAINER: &str = "Container";
const CLAIM: &str = "PersistentVolumeClaim";

/// The kind.
pub static KIND: Kind = Kind {
    plural: "limitranges",
    singular: "limitrange",
    kind: "LimitRange",
    short_names: &["limits"],
    ty: &types::CORE_V1_LIMIT_RANGE,
    columns: &[name_column(), column("Created At", "When the server created the object, by the server's clock.")],
    row,
    create_on_update: true,
    defaults,
    check,
    ..Kind::BASE
};

fn row(limits: &Object, _: Timestamp) -> Row {
    Row::of([limits.name().into(), limits.str_at("metadata.creationTimestamp").into()])
}

/// For containers the maximum is what they get, and what they get is what they ask for; else the minimum.
fn defaults(limits: &mut Struct) {
    let items = limits.at_mut("spec.limits").and_then(Node::as_list_mut).into_iter().flatten();
    for item in items.filter_map(Node::as_struct_mut).filter(|item| item.str_at("type") == CONTAINER) {
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            fill(item, from, to);
        }
    }
}

fn fill(item: &mut Struct, from: &str, to: &str) {
    let Some(from) = item.get(from).and_then(Node::as_map).cloned() else { return };
    let Node::Map(to) = item.entry(to) else { return };
    for (name, quantity) in from.iter() {
        if to.get(name).is_none() {
            to.insert(name, quantity.clone());
        }
    }
}

fn check(limits: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let path = path.field("limits");
    let mut seen: Vec<&str> = Vec::new();
    for (index, item) in limits.body.items_at("spec.limits").iter().enumerate() {
        let path = path.index(index);
        let kind = item.str_at("type");
        check_type(kind, &path.field("type"), errors);
        if seen.contains(&kind) {
            errors.duplicate(&path.field("type"), kind);
        }
        seen.push(kind);
        check_item(item, kind, &path, errors);
    }
}

fn check_type(kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let problems = names::qualified_name(kind);
    if problems.is_empty() && !kind.contains('/') && ![POD, CONTAINER, CLAIM].contains(&kind) {
        errors.invalid(path, kind, "must be a standard limit type or fully qualified");
    }
    errors.invalid_each(path, kind, problems);
}

fn check_item(item: &Node, kind: &str, path: &Path<'_>, errors: &mut Errors) {
    let mut resources: Vec<&str> = Vec::new();
    for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let path = path.field(field);
        if kind == POD && field.starts_with("default") {
            if entries(item.get(field)).next().is_some() {
                errors.forbidden(&path, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        for (name, amount) in entries(item.get(field)) {
            let path = path.key(name);
            match kind {
                POD | CONTAINER => check_container_resource_name(name, &path, errors),
                _ => check_any(name, &path, errors),
            }
            read(amount, &path, errors);
            if !resources.contains(&name) {
                resources.push(name);
            }
        }
    }
    let storage = |field: &str| entries(item.get(field)).any(|(name, _)| name == "storage");
    if kind == CLAIM && !storage("min") && !storage("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.required(&path.field("limits"), detail);
    }
    for resource in resources {
        Limits::of(item, kind, resource).check(resource, path, errors);
    }
}

/// What an item says of one resource.
struct Limits {
    min: Option<Quantity>,
    max: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

impl Limits {
    fn of(item: &Node, kind: &str, resource: &str) -> Self {
        let amount = |field: &str| item.get(field)?.get(resource)?.as_str()?.parse().ok();
        let for_parts = |field: &str| if kind == POD { None } else { amount(field) };
        Self {
            min: amount("min"),
            max: amount("max"),
            default: for_parts("default"),
            request: for_parts("defaultRequest"),
            ratio: amount("maxLimitRequestRatio"),
        }
    }

    fn check(&self, resource: &str, path: &Path<'_>, errors: &mut Errors) {
        let Self { min, max, default, request, .. } = *self;
        // The names in upstream's order; the value that is shown is not always the one that is at fault.
        let pairs = [
            ("min", "min", min, "max", max, min),
            ("defaultRequest", "min", min, "default request", request, request),
            ("defaultRequest", "default request", request, "max", max, request),
            ("defaultRequest", "default request", request, "default limit", default, request),
            ("default", "min", min, "default", default, min),
            ("default", "default", default, "max", max, max),
        ];
        for (field, low_name, low, high_name, high, shown) in pairs {
            if let (Some(low), Some(high), Some(shown)) = (low, high, shown)
                && low > high
            {
                let detail = format!("{low_name} value {low} is greater than {high_name} value {high}");
                errors.invalid(&path.field(field).key(resource), shown.to_string(), detail);
            }
        }
        self.check_ratio(&path.field("maxLimitRequestRatio").key(resource), errors);
        if let (Some(default), Some(request)) = (default, request)
            && !is_overcommit_allowed(resource)
            && default != request
        {
            let detail = format!("default value {default} must equal to defaultRequest value {request} in {resource}");
            errors.invalid(&path.field("defaultRequest").key(resource), request.to_string(), detail);
        }
    }

    fn check_ratio(&self, path: &Path<'_>, errors: &mut Errors) {
        let Some(ratio) = self.ratio else { return };
        let shown = || Value::Str(ratio.to_string());
        if ratio < Quantity::from_units(1) {
            errors.invalid(path, shown(), format!("ratio {ratio} is less than 1"));
        }
        if let (Some(min), Some(max)) = (self.min, self.max) {
            #[expect(clippy::cast_precision_loss, reason = "the ratio is told with six digits")]
            let limit = max.milli_value() as f64 / min.milli_value() as f64;
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let wanted = ratio.milli_value() as f64 / 1000.0;
            if wanted > limit {
                errors.invalid(path, shown(), format!("ratio {ratio} is greater than max/min = {limit:.6}"));
            }
        }
    }
}
