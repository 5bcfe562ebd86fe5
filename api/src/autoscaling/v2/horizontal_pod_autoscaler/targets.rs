//! The TARGETS cell: for each metric what was measured, and what it should be.

use crate::node::Node;
use crate::object::Object;

const SHOWN: usize = 2;
const UNKNOWN: &str = "<unknown>";

pub(super) fn cell(autoscaler: &Object) -> String {
    let specs = autoscaler.body.items_at("spec.metrics");
    let statuses = autoscaler.body.items_at("status.currentMetrics");
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let texts = specs.iter().enumerate().map(|(index, spec)| metric(spec, statuses.get(index)));
    let shown = texts.take(SHOWN).collect::<Vec<_>>().join(", ");
    if specs.len() > SHOWN { format!("{shown} + {} more...", specs.len() - SHOWN) } else { shown }
}

fn metric(spec: &Node, status: Option<&Node>) -> String {
    let source = match spec.str_at("type") {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let Some(spec) = spec.get(source) else { return UNKNOWN.to_owned() };
    let target = |field: &str| spec.at(&format!("target.{field}"));
    let current = |field: &str| status.and_then(|status| status.at(&format!("{source}.current.{field}")));
    let amount = |node: Option<&Node>| node.and_then(Node::as_str).unwrap_or(UNKNOWN).to_owned();
    let average = format!("{}/{}", amount(current("averageValue")), amount(target("averageValue")));
    match (source, target("averageValue").is_some()) {
        ("external" | "object", true) => format!("{average} (avg)"),
        ("external" | "object", false) => format!("{}/{}", amount(current("value")), amount(target("value"))),
        ("pods", _) => average,
        (_, true) => format!("{}: {average}", spec.str_at("name")),
        (_, false) => {
            let percent = |node: Option<&Node>, absent: &str| match node.and_then(Node::as_i64) {
                Some(percent) => format!("{percent}%"),
                None => absent.to_owned(),
            };
            let (now, wanted) = (current("averageUtilization"), target("averageUtilization"));
            format!("{}: {}/{}", spec.str_at("name"), percent(now, UNKNOWN), percent(wanted, "<auto>"))
        }
    }
}
