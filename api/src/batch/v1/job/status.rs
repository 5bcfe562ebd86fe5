//! What the status of a Job may say: a job that has ended says so once, completely and for good.

use super::{indexes, is_true};
use crate::core::v1::pod_spec::check_not_negative;
use crate::meta::shown;
use crate::node::Node;
use crate::object::Object;
use crate::time;
use crate::validation::{ErrorType, Errors, Path};

/// Conditions that exclude each other, as upstream writes them.
const CONTRARY: [(&str, &str, &str); 4] = [
    ("Complete", "Failed", "cannot set Complete=True and Failed=true conditions"),
    ("Complete", "FailureTarget", "cannot set Complete=True and FailureTarget=true conditions"),
    ("SuccessCriteriaMet", "Failed", "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
    ("SuccessCriteriaMet", "FailureTarget", "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
];
/// Conditions that another one must come before.
const PRECEDED: [(&str, &str, &str); 2] = [
    ("Failed", "FailureTarget", "cannot set Failed=True condition without the FailureTarget=true condition"),
    (
        "Complete",
        "SuccessCriteriaMet",
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    ),
];

pub(super) fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("status");
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        check_not_negative(count(new, field), &path.field(field), errors);
    }
    check_uncounted(new, &path.field("uncountedTerminatedPods"), errors);
    check_conditions(new, old, &path.field("conditions"), errors);
    check_times(new, old, &path, errors);
    check_finished(new, &path, errors);
    check_indexes(new, &path, errors);
    for field in ["failed", "succeeded"] {
        let now = count(new, field).unwrap_or(0);
        if now < count(old, field).unwrap_or(0) {
            errors.invalid(&path.field(field), now, format!("cannot decrease the {field} counter"));
        }
    }
}

fn count(job: &Object, field: &str) -> Option<i64> {
    job.body.i64_at(&format!("status.{field}"))
}

fn check_uncounted(job: &Object, path: &Path<'_>, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for list in ["succeeded", "failed"] {
        let uids = job.body.items_at(&format!("status.uncountedTerminatedPods.{list}"));
        for (index, uid) in uids.iter().filter_map(Node::as_str).enumerate() {
            let path = path.field(list);
            if uid.is_empty() {
                errors.invalid(&path.index(index), uid, "must not be empty");
            } else if seen.contains(&uid) {
                errors.duplicate(&path.index(index), uid);
            }
            seen.push(uid);
        }
    }
}

fn check_conditions(new: &Object, old: &Object, path: &Path<'_>, errors: &mut Errors) {
    let mut wrong = |detail: &str| errors.push(ErrorType::Invalid, path, None, detail);
    for (one, other, detail) in CONTRARY {
        if is_true(new, one) && is_true(new, other) {
            wrong(detail);
        }
    }
    for (last, first, detail) in PRECEDED {
        if is_true(new, last) && !is_true(new, first) {
            wrong(detail);
        }
    }
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is_true(old, kind) && !is_true(new, kind) {
            wrong(&format!("cannot disable the terminal {kind}=True condition"));
        }
    }
    if is_true(old, "SuccessCriteriaMet") && !is_true(new, "SuccessCriteriaMet") {
        wrong("cannot disable the SuccessCriteriaMet=True condition");
    }
}

fn check_times(new: &Object, old: &Object, path: &Path<'_>, errors: &mut Errors) {
    let (start, end) = (new.at("status.startTime"), new.at("status.completionTime"));
    let end_path = path.field("completionTime");
    match (end, is_true(new, "Complete")) {
        (Some(_), false) => {
            let detail = "cannot set completionTime when there is no Complete=True condition";
            errors.invalid(&end_path, shown(end), detail);
        }
        (None, true) => errors.required(&end_path, "completionTime is required for Complete jobs"),
        _ => {}
    }
    let moment = |node: Option<&Node>| node.and_then(Node::as_str).and_then(time::parse);
    if let (Some(start), Some(ended)) = (moment(start), moment(end))
        && ended < start
    {
        errors.invalid(&end_path, shown(end), "completionTime cannot be set before startTime");
    }
    if end.is_some() && old.at("status.completionTime").is_some_and(|before| Some(before) != end) {
        errors.invalid(&end_path, shown(end), "completionTime cannot be mutated");
    }
    let suspended = new.body.bool_at("spec.suspend") == Some(true);
    if !suspended && old.at("status.startTime").is_some_and(|before| Some(before) != start) {
        errors.required(&path.field("startTime"), "startTime cannot be removed for unsuspended job");
    }
}

/// Nothing of a job that has ended runs any longer.
fn check_finished(new: &Object, path: &Path<'_>, errors: &mut Errors) {
    let active = count(new, "active").unwrap_or(0);
    if is_true(new, "Complete") || is_true(new, "Failed") {
        for field in ["active", "terminating"] {
            if let Some(pods) = count(new, field).filter(|pods| *pods > 0) {
                errors.invalid(&path.field(field), pods, format!("{field}>0 is invalid for finished job"));
            }
        }
        if new.at("status.startTime").is_none() {
            errors.required(&path.field("startTime"), "startTime is required for finished job");
        }
        let uncounted = new.at("status.uncountedTerminatedPods");
        if uncounted.is_some_and(|pods| ["succeeded", "failed"].iter().any(|list| !pods.items_at(list).is_empty())) {
            let detail = "uncountedTerminatedPods needs to be empty for finished job";
            errors.invalid(&path.field("uncountedTerminatedPods"), shown(uncounted), detail);
        }
    }
    if let Some(ready) = count(new, "ready").filter(|ready| *ready > active) {
        errors.invalid(&path.field("ready"), ready, "cannot set more ready pods than active");
    }
}

fn check_indexes(new: &Object, path: &Path<'_>, errors: &mut Errors) {
    let (done, failed) = (new.str_at("status.completedIndexes"), new.str_at("status.failedIndexes"));
    if !done.is_empty() && new.str_at("spec.completionMode") != "Indexed" {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.invalid(&path.field("completedIndexes"), done, detail);
    }
    if new.at("status.failedIndexes").is_some() && new.at("spec.backoffLimitPerIndex").is_none() {
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.invalid(&path.field("failedIndexes"), failed, detail);
    }
    let Some(completions) = new.body.i64_at("spec.completions") else { return };
    for (field, text) in [("completedIndexes", done), ("failedIndexes", failed)] {
        if let Err(problem) = indexes::count(text, completions) {
            errors.invalid(&path.field(field), text, format!("error parsing {field}: {problem}"));
        }
    }
    if let Some(index) = indexes::overlap(done, failed, completions) {
        let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.invalid(&path.field("failedIndexes"), failed, detail);
    }
}
