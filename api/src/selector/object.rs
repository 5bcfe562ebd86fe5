//! Label selectors as objects: `matchLabels` and `matchExpressions`.

use super::{LabelSelector, Operator, Requirement};
use crate::meta;
use crate::names;
use crate::node::{Map, Node};
use crate::validation::{Errors, Path};

impl LabelSelector {
    /// The selector of a `metav1.LabelSelector` or of a plain map of labels; nothing if it is malformed. An empty one
    /// selects everything.
    pub fn from_object(node: &Node) -> Option<Self> {
        if let Node::Map(labels) = node {
            return Some(Self::from_labels(labels));
        }
        let labels = node.get("matchLabels").and_then(Node::as_map);
        let equal = labels.into_iter().flat_map(Map::iter).map(|(key, value)| {
            let value = value.as_str()?.to_owned();
            Some(Requirement { key: key.to_owned(), operator: Operator::In(vec![value]) })
        });
        let expressions = node.items_at("matchExpressions").iter().map(requirement);
        equal.chain(expressions).collect()
    }

    /// The selector of a plain map of labels, as Services have.
    pub fn from_labels(labels: &Map) -> Self {
        let equal = |(key, value): (&str, &Node)| Requirement {
            key: key.to_owned(),
            operator: Operator::In(vec![value.as_str().unwrap_or("").to_owned()]),
        };
        labels.iter().map(equal).collect()
    }

    /// Whether these labels are selected.
    pub fn matches_labels(&self, labels: &Map) -> bool {
        self.matches(|key| labels.get(key).and_then(Node::as_str))
    }
}

fn requirement(expression: &Node) -> Option<Requirement> {
    let mut values: Vec<String> =
        expression.items_at("values").iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
    values.sort();
    let operator = match expression.str_at("operator") {
        "In" => Operator::In(values),
        "NotIn" => Operator::NotIn(values),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        _ => return None,
    };
    Some(Requirement { key: expression.str_at("key").to_owned(), operator })
}

/// Everything wrong with a `metav1.LabelSelector`.
pub fn check_object(selector: Option<&Node>, path: &Path<'_>, errors: &mut Errors) {
    let Some(selector) = selector else { return };
    meta::check_labels(selector.get("matchLabels").and_then(Node::as_map), &path.field("matchLabels"), errors);
    for (index, expression) in selector.items_at("matchExpressions").iter().enumerate() {
        let path = path.field("matchExpressions");
        let path = path.index(index);
        let values = expression.items_at("values");
        match expression.str_at("operator") {
            "In" | "NotIn" if values.is_empty() => {
                errors.required(&path.field("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.forbidden(&path.field("values"), detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            operator => errors.invalid(&path.field("operator"), operator, "not a valid selector operator"),
        }
        let key = expression.str_at("key");
        errors.invalid_each(&path.field("key"), key, names::qualified_name(key));
        for (index, value) in values.iter().filter_map(Node::as_str).enumerate() {
            errors.invalid_each(&path.field("values").index(index), value, names::label_value(value));
        }
    }
}
