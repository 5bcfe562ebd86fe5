//! Tables of cases for the kinds around workloads: what they mean, refuse, keep and show.

use super::testing::{defaulted, row, update_errors};
use crate::kind::Kind;
use crate::object::Object;

mod apps;
mod batch;
mod core;
mod limits_on_pods;

const TEMPLATE: &str = "{metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: 'web:1'}]}}";

/// Each row: a kind, an object, a path, the text or number that is there after the defaults.
type Default<'a> = (&'a Kind, &'a str, &'a str, &'a str);

fn check_defaults(table: &[Default<'_>]) {
    for (kind, yaml, path, want) in table {
        let object = defaulted(kind, yaml);
        let found = match object.at(path) {
            Some(node) => crate::meta::shown(Some(node)).to_string().trim_matches('"').to_owned(),
            None => "nothing".to_owned(),
        };
        assert_eq!(found, *want, "{kind:?} {path}\n{yaml}");
    }
}

/// Each row: a kind, an object, what it becomes, what is wrong with that.
type Change<'a> = (&'a Kind, &'a str, &'a str, &'a [&'a str]);

fn check_changes(table: &[Change<'_>]) {
    for (kind, old, new, want) in table {
        assert_eq!(update_errors(kind, old, new), *want, "{kind:?}\n{old}\n->\n{new}");
    }
}

/// Each row: a kind, an object, its row.
type Shown<'a> = (&'a Kind, &'a str, &'a str);

fn check_rows(table: &[Shown<'_>]) {
    for (kind, yaml, want) in table {
        assert_eq!(row(kind, yaml), *want, "{kind:?}\n{yaml}");
    }
}

/// What is wrong with a status that is written.
fn status_errors(kind: &Kind, old: &Object, change: impl Fn(&mut Object)) -> Vec<String> {
    let mut new = old.clone();
    change(&mut new);
    kind.prepare_for_status_update(&mut new, old);
    kind.validate_status_update(&new, old).iter().map(ToString::to_string).collect()
}
