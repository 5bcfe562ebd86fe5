//! `PriorityClass`: a name for a priority of pods. The two above all others belong to the system.

use jiff::Timestamp;

use crate::core::v1::pod_spec::check_choice;
use crate::kind::{Generation, Kind, Scope};
use crate::meta::check_immutable;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Cell, Row, age_column, boolean, column, integer, name_column};
use crate::validation::{Errors, Path};

/// Names with this prefix are the system's.
const SYSTEM_PREFIX: &str = "system-";
/// The highest priority a user can define.
pub const USER_MAX: i64 = 1_000_000_000;
/// The classes of the system with their priorities: both are there from the beginning, and stay.
pub const SYSTEM: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// The kind.
pub static KIND: Kind = Kind {
    group: "scheduling.k8s.io",
    plural: "priorityclasses",
    singular: "priorityclass",
    kind: "PriorityClass",
    short_names: &["pc"],
    scope: Scope::Cluster,
    ty: &types::SCHEDULING_V1_PRIORITY_CLASS,
    columns: &[
        name_column(),
        integer("Value", "The priority of pods of the class."),
        boolean("Global-Default", "Whether pods that name no class are of this one."),
        age_column(),
        column("PreemptionPolicy", "Whether pods of the class drive away others of lower priority."),
    ],
    row,
    generation: Generation::Constant,
    undeletable: |name| {
        let system = SYSTEM.iter().any(|(known, _)| *known == name);
        system.then_some("this is a system priority class and cannot be deleted")
    },
    defaults: |class| {
        class.set_default("preemptionPolicy", "PreemptLowerPriority");
    },
    check,
    check_update,
    ..Kind::BASE
};

fn value(class: &Object) -> i64 {
    class.body.i64_at("value").unwrap_or(0)
}

fn is_default(class: &Object) -> bool {
    class.body.bool_at("globalDefault") == Some(true)
}

fn row(class: &Object, now: Timestamp) -> Row {
    Row::of([
        class.name().into(),
        value(class).into(),
        Cell::Bool(is_default(class)),
        Row::age(class, now),
        class.str_at("preemptionPolicy").into(),
    ])
}

/// Why a class with the system's prefix is none of the system's.
fn system_problem(class: &Object) -> Option<String> {
    let name = class.name();
    let Some((_, priority)) = SYSTEM.iter().find(|(known, _)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if value(class) != *priority {
        return Some(format!("value of {name} PriorityClass must be {priority}"));
    }
    is_default(class).then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

fn check(class: &Object, errors: &mut Errors) {
    let root = Path::Root;
    if class.name().starts_with(SYSTEM_PREFIX) {
        if let Some(problem) = system_problem(class) {
            let detail = format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {problem}"
            );
            errors.forbidden(&root.field("metadata").field("name"), detail);
        }
    } else if value(class) > USER_MAX {
        let detail = format!("maximum allowed value of a user defined priority is {USER_MAX}");
        errors.forbidden(&root.field("value"), detail);
    }
    let policy = class.str_at("preemptionPolicy");
    check_choice(policy, &["Never", "PreemptLowerPriority"], &root.field("preemptionPolicy"), errors);
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let root = Path::Root;
    if value(new) != value(old) {
        errors.forbidden(&root.field("value"), "may not be changed in an update.");
    }
    let policy = "preemptionPolicy";
    check_immutable(new.at(policy), old.at(policy), &root.field(policy), errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, row, update_errors};

    #[test]
    fn priorities_above_a_billion_are_the_systems() {
        check_all(&[
            (&KIND, "value: 1000000000", &[]),
            (
                &KIND,
                "value: 1000000001",
                &["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
            ),
            (&KIND, "metadata: {name: system-node-critical}\nvalue: 2000001000", &[]),
            (
                &KIND,
                "metadata: {name: system-node-critical}\nvalue: 7",
                &[
                    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: value of system-node-critical PriorityClass must be 2000001000",
                ],
            ),
            (
                &KIND,
                "metadata: {name: system-mine}\nvalue: 7",
                &[
                    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class",
                ],
            ),
            (
                &KIND,
                "{value: 7, preemptionPolicy: Sometimes}",
                &[
                    "preemptionPolicy: Unsupported value: \"Sometimes\": supported values: \"Never\", \"PreemptLowerPriority\"",
                ],
            ),
        ]);
        assert!((KIND.undeletable)("system-cluster-critical").is_some() && (KIND.undeletable)("mine").is_none());
    }

    #[test]
    fn a_class_keeps_its_priority() {
        assert_eq!(
            update_errors(&KIND, "value: 1", "{value: 2, preemptionPolicy: Never, globalDefault: true}"),
            [
                "value: Forbidden: may not be changed in an update.",
                "preemptionPolicy: Invalid value: \"Never\": field is immutable"
            ]
        );
        let class = created(&KIND, "value: 1");
        assert_eq!(class.generation(), 1);
        assert_eq!(row(&KIND, "{value: 1, preemptionPolicy: Never}"), "web | 1 | false | <unknown> | Never");
    }
}
