//! Whether a definition gets its names, and with that, whether it is served: `NamesAccepted` and `Established`.
//!
//! Who has a name keeps it. A definition without one of its names is not served until it has once had all of them.

use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;

/// The fields of the names, and what is said when they are taken.
const NAMES: [(&str, &str); 4] = [
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
];

/// Names that somebody else in the group has.
struct Taken<'a> {
    resources: Vec<&'a str>,
    kinds: Vec<&'a str>,
}

/// The definition with its status as it should be, given the other definitions and the kinds that are built in.
pub fn settle<'a>(
    definition: &Object,
    others: impl Iterator<Item = &'a Object>,
    built_in: impl Iterator<Item = &'static crate::kind::Kind>,
    now: &str,
) -> Object {
    let mut settled = definition.clone();
    let taken = taken(definition, others, built_in);
    let mut conflict: Option<(&str, String)> = None;
    let mut accepted = Struct::new(&types::APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_NAMES);
    for (field, reason) in NAMES {
        let wanted = definition.str_at(&format!("spec.names.{field}"));
        let mine = definition.str_at(&format!("status.acceptedNames.{field}"));
        let others = if field.ends_with("ind") { &taken.kinds } else { &taken.resources };
        if others.contains(&wanted) {
            conflict.get_or_insert_with(|| (reason, in_use(wanted)));
            accepted.set(field, mine);
        } else {
            accepted.set(field, wanted);
        }
    }
    let short = short_names(definition, "spec.names");
    if let Some(name) = short.iter().find(|name| taken.resources.contains(name)) {
        conflict.get_or_insert_with(|| ("ShortNamesConflict", in_use(name)));
        set_list(&mut accepted, "shortNames", &short_names(definition, "status.acceptedNames"));
    } else {
        set_list(&mut accepted, "shortNames", &short);
    }
    if let Some(categories) = definition.at("spec.names.categories") {
        accepted.set("categories", categories.clone());
    }
    settled.set("status.acceptedNames", Node::Struct(accepted));
    let (reason, message) = conflict.clone().unwrap_or_else(|| ("NoConflicts", "no conflicts found".to_owned()));
    set_condition(&mut settled, ("NamesAccepted", conflict.is_none(), reason, &message), now);
    if !super::conditions_true(&settled, "Established") {
        let text = "the initial names have been accepted";
        match conflict {
            None => set_condition(&mut settled, ("Established", true, "InitialNamesAccepted", text), now),
            Some(_) => {
                set_condition(&mut settled, ("Established", false, "NotAccepted", "not all names are accepted"), now);
            }
        }
    }
    if definition.is_deleting() {
        let text = "CustomResource deletion is in progress";
        set_condition(&mut settled, ("Terminating", true, "InstanceDeletionInProgress", text), now);
    }
    // As decoding does, so that a status that did not change compares equal.
    settled.body.drop_zeros();
    settled
}

/// Whether a condition of a definition is true.
pub fn conditions_true(definition: &Object, ty: &str) -> bool {
    crate::custom::Definition::new(definition).condition(ty)
}

fn in_use(name: &str) -> String {
    format!("\"{name}\" is already in use")
}

fn short_names<'o>(definition: &'o Object, names: &str) -> Vec<&'o str> {
    definition.body.items_at(&format!("{names}.shortNames")).iter().filter_map(Node::as_str).collect()
}

fn set_list(names: &mut Struct, field: &str, values: &[&str]) {
    if !values.is_empty() {
        names.set(field, values.to_vec());
    }
}

fn taken<'a>(
    definition: &Object,
    others: impl Iterator<Item = &'a Object>,
    built_in: impl Iterator<Item = &'static crate::kind::Kind>,
) -> Taken<'a> {
    let group = definition.str_at("spec.group");
    let mut taken = Taken { resources: vec![], kinds: vec![] };
    for other in others.filter(|other| other.str_at("spec.group") == group && other.name() != definition.name()) {
        let name = |field: &str| other.str_at(&format!("status.acceptedNames.{field}"));
        taken.resources.extend([name("plural"), name("singular")]);
        taken.resources.extend(short_names(other, "status.acceptedNames"));
        taken.kinds.extend([name("kind"), name("listKind")]);
    }
    for kind in built_in.filter(|kind| kind.group == group) {
        taken.resources.extend([kind.plural, kind.singular]);
        taken.resources.extend(kind.short_names);
        taken.kinds.push(kind.kind);
    }
    taken.resources.retain(|name| !name.is_empty());
    taken.kinds.retain(|name| !name.is_empty());
    taken
}

/// Sets a condition: type, whether it holds, reason, message. Its time is that of its last change.
fn set_condition(definition: &mut Object, (ty, holds, reason, message): (&str, bool, &str, &str), now: &str) {
    let conditions = definition.body.list_at("status.conditions");
    let status = if holds { "True" } else { "False" };
    let present = conditions.iter().position(|condition| condition.str_at("type") == ty);
    let mut condition = Struct::new(&types::APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_CONDITION);
    let since = present
        .map(|index| &conditions[index])
        .filter(|old| old.str_at("status") == status)
        .map_or(now, |old| old.str_at("lastTransitionTime"))
        .to_owned();
    condition.set("type", ty);
    condition.set("status", status);
    condition.set("lastTransitionTime", since);
    condition.set("reason", reason);
    condition.set("message", message);
    match present {
        Some(index) => conditions[index] = condition.into(),
        None => conditions.push(condition.into()),
    }
}
