//! What the objects say that every cluster has: they say it always, so that some requests are never held up and no request
//! is without a level.

use crate::json::{self, Options};
use crate::object::Object;
use crate::validation::{Errors, Path};

/// Everything that anybody may ask for.
macro_rules! everything {
    () => {
        r#""resourceRules": [{
            "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true
        }], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]"#
    };
}

/// The name of an object, and what it says.
type Fixed = (&'static str, &'static str);

/// The schemas.
pub(super) const SCHEMAS: [Fixed; 2] = [
    (
        "catch-all",
        concat!(
            r#"{"spec": {"priorityLevelConfiguration": {"name": "catch-all"}, "matchingPrecedence": 10000,
                "distinguisherMethod": {"type": "ByUser"}, "rules": [{"subjects": [
                {"kind": "Group", "group": {"name": "system:unauthenticated"}},
                {"kind": "Group", "group": {"name": "system:authenticated"}}], "#,
            everything!(),
            "}]}}"
        ),
    ),
    (
        "exempt",
        concat!(
            r#"{"spec": {"priorityLevelConfiguration": {"name": "exempt"}, "matchingPrecedence": 1,
                "rules": [{"subjects": [{"kind": "Group", "group": {"name": "system:masters"}}], "#,
            everything!(),
            "}]}}"
        ),
    ),
];

/// The levels. What `exempt` lends may be changed.
pub(super) const LEVELS: [Fixed; 1] = [(
    "catch-all",
    r#"{"spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}
    }}}"#,
)];

/// Refuses an object with one of these names that says something else.
pub(super) fn check(object: &Object, fixed: &[Fixed], errors: &mut Errors) {
    let Some((name, body)) = fixed.iter().find(|(name, _)| *name == object.name()) else { return };
    let decoded = json::decode(object.body.ty(), body.as_bytes(), Options::CHECKED);
    if decoded.is_ok_and(|decoded| decoded.object.at("spec") == object.at("spec")) {
        return;
    }
    let shown = crate::meta::shown(object.at("spec"));
    errors.invalid(&Path::Root.field("spec"), shown, format!("spec of '{name}' must equal the fixed value"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flowcontrol::v1::{flow_schema, priority_level_configuration};
    use crate::kind::Kind;
    use crate::kinds::testing::errors;

    #[test]
    fn nobody_can_be_shut_out_by_a_changed_default() {
        let kinds: [(&Kind, &[Fixed], &str); 2] = [
            (&flow_schema::KIND, &SCHEMAS, r#""name": "system:"#),
            (&priority_level_configuration::KIND, &LEVELS, r#""nominalConcurrencyShares": 5"#),
        ];
        for (kind, fixed, part) in kinds {
            for (name, body) in fixed {
                let named = body.replacen('{', &format!(r#"{{"metadata": {{"name": "{name}"}}, "#), 1);
                assert_eq!(errors(kind, &named), Vec::<String>::new(), "{kind:?} {name}");
                let other = named.replace(part, &format!("{part}9"));
                assert_ne!(other, named);
                let found = errors(kind, &other);
                let said = format!("spec of '{name}' must equal the fixed value");
                assert!(found.iter().any(|found| found.ends_with(&said)), "{kind:?} {name}: {found:?}");
                let elsewhere = other.replacen(&format!(r#""name": "{name}""#), r#""name": "mine""#, 1);
                assert!(!errors(kind, &elsewhere).iter().any(|found| found.ends_with(&said)), "{kind:?} {name}");
            }
        }
    }
}
