//! What has been decided about a request: each decision is made once, by whom it belongs to, and stays.

use crate::node::Node;
use crate::object::Object;
use crate::validation::{Errors, Path};

const PATH: &str = "status.conditions";
/// What `approval` decides.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];
/// What can only be true, and never goes away.
const FINAL: [&str; 3] = ["Approved", "Denied", "Failed"];

fn of_type(request: &Object, kind: &str) -> Vec<Node> {
    request.body.items_at(PATH).iter().filter(|condition| condition.str_at("type") == kind).cloned().collect()
}

/// The cell of the table.
pub(super) fn summary(request: &Object) -> String {
    let mut words: Vec<&str> = Vec::new();
    let has = |kind: &str| !of_type(request, kind).is_empty();
    match (has("Denied"), has("Approved")) {
        (true, _) => words.push("Denied"),
        (false, true) => words.push("Approved"),
        (false, false) => words.push("Pending"),
    }
    if has("Failed") {
        words.push("Failed");
    }
    if !request.str_at("status.certificate").is_empty() {
        words.push("Issued");
    }
    words.join(",")
}

/// Keeps the decisions of `old` as they are, as long as there are as many of them; if not, validation tells.
pub(super) fn keep_decisions(new: &mut Object, old: &Object) {
    for kind in DECISIONS {
        let before = of_type(old, kind);
        let conditions = new.body.at_mut(PATH).and_then(Node::as_list_mut);
        let now: Vec<&mut Node> =
            conditions.into_iter().flatten().filter(|condition| condition.str_at("type") == kind).collect();
        if now.len() == before.len() {
            now.into_iter().zip(before).for_each(|(now, before)| *now = before);
        }
    }
}

/// What is wrong with the conditions themselves.
pub(super) fn check(request: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    let path = path.field("conditions");
    let conditions = request.body.items_at(PATH);
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        let (kind, status) = (condition.str_at("type"), condition.str_at("status"));
        let before = |kind: &str| conditions[..index].iter().any(|before| before.str_at("type") == kind);
        if kind.is_empty() {
            errors.required(&path.field("type"), "");
        }
        let allowed = if FINAL.contains(&kind) { &["True"][..] } else { &["False", "True", "Unknown"] };
        if status.is_empty() {
            errors.required(&path.field("status"), "");
        } else if !allowed.contains(&status) {
            errors.not_supported(&path.field("status"), status, allowed);
        }
        if kind == "Approved" && before("Denied") || kind == "Denied" && before("Approved") {
            errors.invalid(&path.field("type"), kind, "Approved and Denied conditions are mutually exclusive");
        }
        if before(kind) {
            errors.duplicate(&path.field("type"), kind);
        }
    }
}

/// What was decided stays decided.
pub(super) fn check_kept(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    for kind in FINAL {
        if of_type(new, kind).len() < of_type(old, kind).len() {
            let detail = format!("updates may not remove a condition of type \"{kind}\"");
            errors.forbidden(&path.field("conditions"), detail);
        }
    }
}

/// Only `approval` decides.
pub(super) fn check_decisions(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    for kind in DECISIONS {
        let (now, before) = (of_type(new, kind), of_type(old, kind));
        let what = match now.len().cmp(&before.len()) {
            std::cmp::Ordering::Greater => "add",
            std::cmp::Ordering::Equal if now != before => "modify",
            _ => continue,
        };
        errors.forbidden(&path.field("conditions"), format!("updates may not {what} a condition of type \"{kind}\""));
    }
}
