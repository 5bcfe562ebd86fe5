//! `PriorityLevelConfiguration`: how many requests of a level run at a time, and what happens to the others.

use jiff::Timestamp;

use super::{conditions, fixed};
use crate::kind::{Generation, Kind, READ_AND_CHANGE, Scope, Subresource};
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

const EXEMPT: &str = "exempt";
const QUEUES_MAX: i64 = 10_000_000;
/// Bits of a hash that queues are dealt from.
const HASH_BITS_MAX: u32 = 60;

/// The kind.
pub static KIND: Kind = Kind {
    group: "flowcontrol.apiserver.k8s.io",
    plural: "prioritylevelconfigurations",
    singular: "prioritylevelconfiguration",
    kind: "PriorityLevelConfiguration",
    scope: Scope::Cluster,
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "PriorityLevelConfiguration",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::FLOWCONTROL_V1_PRIORITY_LEVEL_CONFIGURATION,
    columns: &[
        name_column(),
        column("Type", "Whether the level is limited."),
        column("NominalConcurrencyShares", "The level's part of all requests that run at a time."),
        column("Queues", "How many queues there are."),
        column("HandSize", "Between how many queues a flow chooses."),
        column("QueueLengthLimit", "How many requests can wait in a queue."),
        age_column(),
    ],
    row,
    generation: Generation::Spec,
    defaults,
    check,
    check_status_update: |new, _, errors| conditions::check(new, errors),
    ..Kind::BASE
};

fn defaults(level: &mut Struct) {
    let spec = level.struct_at("spec");
    match spec.str_at("type") {
        "Exempt" => {
            spec.set_default("exempt.nominalConcurrencyShares", 0_i64);
            spec.set_default("exempt.lendablePercent", 0_i64);
        }
        "Limited" => {
            spec.set_default("limited.nominalConcurrencyShares", 30_i64);
            spec.set_default("limited.lendablePercent", 0_i64);
            if spec.str_at("limited.limitResponse.type") == "Queue" {
                let queuing = spec.struct_at("limited.limitResponse.queuing");
                for (field, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                    queuing.set_default(field, value);
                }
            }
        }
        _ => {}
    }
}

fn row(level: &Object, now: Timestamp) -> Row {
    let number = |path: &str| level.body.i64_at(path).map_or_else(|| "<none>".to_owned(), |number| number.to_string());
    let queuing = |field: &str| number(&format!("spec.limited.limitResponse.queuing.{field}")).into();
    Row::of([
        level.name().into(),
        level.str_at("spec.type").into(),
        number("spec.limited.nominalConcurrencyShares").into(),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        Row::age(level, now),
    ])
}

fn check(level: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let kind = level.str_at("spec.type");
    if (level.name() == EXEMPT) != (kind == "Exempt") {
        let detail = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.invalid(&path.field("type"), kind, detail);
    }
    match (kind, level.at("spec.limited")) {
        ("Exempt", Some(_)) => {
            errors.forbidden(&path.field("limited"), "must be nil if the type is not Limited");
        }
        ("Limited", None) => errors.required(&path.field("limited"), "must not be empty when type is Limited"),
        ("Limited", Some(limited)) => check_limited(limited, &path.field("limited"), errors),
        ("Exempt", None) => {}
        _ => errors.not_supported(&path.field("type"), kind, &["Exempt", "Limited"]),
    }
    match (kind, level.at("spec.exempt")) {
        ("Limited", Some(_)) => errors.forbidden(&path.field("exempt"), "must be nil if the type is Limited"),
        (_, Some(exempt)) => check_shares(exempt, &path.field("exempt"), errors),
        (_, None) => {}
    }
    conditions::check(level, errors);
    fixed::check(level, &fixed::LEVELS, errors);
}

fn check_shares(shares: &Node, path: &Path<'_>, errors: &mut Errors) {
    if let Some(nominal) = shares.i64_at("nominalConcurrencyShares").filter(|nominal| *nominal < 0) {
        errors.invalid(&path.field("nominalConcurrencyShares"), nominal, "must be a non-negative integer");
    }
    if let Some(percent) = shares.i64_at("lendablePercent").filter(|percent| !(0..=100).contains(percent)) {
        errors.invalid(&path.field("lendablePercent"), percent, "must be between 0 and 100, inclusive");
    }
}

fn check_limited(limited: &Node, path: &Path<'_>, errors: &mut Errors) {
    check_shares(limited, path, errors);
    if let Some(percent) = limited.i64_at("borrowingLimitPercent").filter(|percent| *percent < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.invalid(&path.field("borrowingLimitPercent"), percent, detail);
    }
    let path = path.field("limitResponse");
    let queuing_path = path.field("queuing");
    match (limited.str_at("limitResponse.type"), limited.at("limitResponse.queuing")) {
        ("Reject", Some(_)) => {
            errors.forbidden(&queuing_path, "must be nil if limited.limitResponse.type is not Limited");
        }
        ("Queue", None) => {
            errors.required(&queuing_path, "must not be empty if limited.limitResponse.type is Limited");
        }
        ("Queue", Some(queuing)) => check_queuing(queuing, &queuing_path, errors),
        ("Reject", None) => {}
        (other, _) => errors.not_supported(&path.field("type"), other, &["Queue", "Reject"]),
    }
}

fn check_queuing(queuing: &Node, path: &Path<'_>, errors: &mut Errors) {
    let number = |field: &str| queuing.i64_at(field).unwrap_or(0);
    let (limit, queues, hand) = (number("queueLengthLimit"), number("queues"), number("handSize"));
    if limit <= 0 {
        errors.invalid(&path.field("queueLengthLimit"), limit, "must be positive");
    }
    if queues <= 0 {
        errors.invalid(&path.field("queues"), queues, "must be positive");
    } else if queues > QUEUES_MAX {
        errors.invalid(&path.field("queues"), queues, format!("must not be greater than {QUEUES_MAX}"));
    }
    if hand <= 0 {
        errors.invalid(&path.field("handSize"), hand, "must be positive");
    } else if hand > queues {
        let detail = format!("should not be greater than queues ({queues})");
        errors.invalid(&path.field("handSize"), hand, detail);
    } else if entropy_bits(queues, hand) > HASH_BITS_MAX {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS_MAX}"
        );
        errors.invalid(&path.field("handSize"), hand, detail);
    }
}

/// Bits that it takes to deal a hand of so many queues.
fn entropy_bits(queues: i64, hand: i64) -> u32 {
    let mut hands: u128 = 1;
    for dealt in 0..hand {
        hands = hands.saturating_mul(u128::try_from(queues - dealt).unwrap_or(1));
        if hands == u128::MAX {
            break;
        }
    }
    // The number of bits in which every hand can be told from the others.
    u128::BITS - hands.saturating_sub(1).leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, row};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        let queue = |queuing: &str| {
            format!("spec: {{type: Limited, limited: {{limitResponse: {{type: Queue, queuing: {{{queuing}}}}}}}}}")
        };
        check_all(&[
            (&KIND, "metadata: {name: exempt}\nspec: {type: Exempt}", &[]),
            (&KIND, &queue(""), &[]),
            (
                &KIND,
                "spec: {type: Exempt, limited: {}}",
                &[
                    "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
                    "spec.limited: Forbidden: must be nil if the type is not Limited",
                ],
            ),
            (
                &KIND,
                "spec: {type: Limited, limited: {lendablePercent: 101, borrowingLimitPercent: -1, limitResponse: {type: Wait}}}",
                &[
                    "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
                    "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
                    "spec.limited.limitResponse.type: Unsupported value: \"Wait\": supported values: \"Queue\", \"Reject\"",
                ],
            ),
            (
                &KIND,
                &queue("queues: 4, handSize: 5, queueLengthLimit: -1"),
                &[
                    "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive",
                    "spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)",
                ],
            ),
            (
                &KIND,
                &queue("queues: 1024, handSize: 7"),
                &[
                    "spec.limited.limitResponse.queuing.handSize: Invalid value: 7: required entropy bits of deckSize 1024 and handSize 7 should not be greater than 60",
                ],
            ),
        ]);
        assert_eq!((entropy_bits(128, 6), entropy_bits(64, 8)), (42, 48));
    }

    #[test]
    fn what_a_level_leaves_out_is_known() {
        let made = created(&KIND, "spec: {type: Limited, limited: {limitResponse: {type: Queue}}}");
        assert_eq!(made.body.i64_at("spec.limited.nominalConcurrencyShares"), Some(30));
        assert_eq!(made.body.i64_at("spec.limited.limitResponse.queuing.queues"), Some(64));
        let yaml = "spec: {type: Limited, limited: {nominalConcurrencyShares: 5, limitResponse: {type: Reject}}}";
        assert_eq!(row(&KIND, yaml), "web | Limited | 5 | <none> | <none> | <none> | <unknown>");
    }
}
