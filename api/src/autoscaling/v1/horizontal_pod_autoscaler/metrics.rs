//! Metrics in the two forms: nested as version 2 has them, flat as annotations of version 1 have them.

use serde_json::{Map, Value};

/// For each source of a metric: the flat names of its fields, and where they are in version 2.
type Fields = [(&'static str, &'static [(&'static str, &'static [&'static str])]); 5];

/// How the fields of a wished metric are called.
const SPEC: Fields = [
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("targetValue", &["target", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["target", "averageValue"]),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("targetAverageValue", &["target", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
    ),
    (
        "resource",
        &[
            ("name", &["name"]),
            ("targetAverageUtilization", &["target", "averageUtilization"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", &["name"]),
            ("targetAverageUtilization", &["target", "averageUtilization"]),
            ("targetAverageValue", &["target", "averageValue"]),
            ("container", &["container"]),
        ],
    ),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
    ),
];

/// How the fields of a measured metric are called.
const STATUS: Fields = [
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("currentValue", &["current", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("currentAverageValue", &["current", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
    ),
    (
        "resource",
        &[
            ("name", &["name"]),
            ("currentAverageUtilization", &["current", "averageUtilization"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", &["name"]),
            ("currentAverageUtilization", &["current", "averageUtilization"]),
            ("currentAverageValue", &["current", "averageValue"]),
            ("container", &["container"]),
        ],
    ),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
];

/// Which half of an autoscaler a metric belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Wish,
    Status,
}

impl Half {
    const fn fields(self) -> &'static Fields {
        match self {
            Self::Wish => &SPEC,
            Self::Status => &STATUS,
        }
    }
}

/// A metric of version 2 in the flat form.
pub(super) fn flat(metric: &Value, half: Half) -> Value {
    let mut out = Map::new();
    copy(metric, "type", &mut out);
    for (source, fields) in half.fields() {
        let Some(nested) = metric.get(source) else { continue };
        let mut flat = Map::new();
        for (name, path) in *fields {
            let found = path.iter().try_fold(nested, |value, step| value.get(step));
            if let Some(found) = found {
                flat.insert((*name).to_owned(), found.clone());
            }
        }
        out.insert((*source).to_owned(), flat.into());
    }
    out.into()
}

/// A metric in the flat form as version 2 has it.
pub(super) fn nested(metric: &Value, half: Half) -> Value {
    let mut out = Map::new();
    copy(metric, "type", &mut out);
    for (source, fields) in half.fields() {
        let Some(flat) = metric.get(source) else { continue };
        let mut nested = Value::Object(Map::new());
        for (name, path) in *fields {
            if let Some(found) = flat.get(name) {
                *path.iter().fold(&mut nested, |value, step| &mut value[*step]) = found.clone();
            }
        }
        if half == Half::Wish {
            nested["target"]["type"] = target_type(&nested["target"]).into();
        }
        out.insert((*source).to_owned(), nested);
    }
    out.into()
}

/// The flat form does not name the type of a target: it is the one of the value that is there.
fn target_type(target: &Value) -> &'static str {
    match (target.get("averageUtilization"), target.get("averageValue")) {
        (Some(_), _) => "Utilization",
        (None, Some(_)) => "AverageValue",
        (None, None) => "Value",
    }
}

fn copy(from: &Value, name: &str, to: &mut Map<String, Value>) {
    if let Some(value) = from.get(name) {
        to.insert(name.to_owned(), value.clone());
    }
}

/// The rules of scaling with their names in capitals, as upstream once began to write them.
pub(super) fn capitalized(behavior: &Value) -> Value {
    renamed(behavior, &|letter| letter.to_ascii_uppercase())
}

/// The same back.
pub(super) fn uncapitalized(behavior: &Value) -> Value {
    renamed(behavior, &|letter| letter.to_ascii_lowercase())
}

fn renamed(value: &Value, change: &dyn Fn(char) -> char) -> Value {
    match value {
        Value::Object(fields) => {
            let name = |name: &str| name.chars().take(1).map(change).chain(name.chars().skip(1)).collect::<String>();
            Value::Object(fields.iter().map(|(key, value)| (name(key), renamed(value, change))).collect())
        }
        Value::Array(items) => items.iter().map(|item| renamed(item, change)).collect(),
        value => value.clone(),
    }
}
