//! `ServiceCIDR`: a range of addresses for Services. A second one of the other family can be added, nothing else changes.

use jiff::Timestamp;

use super::cidr;
use crate::kind::{Kind, READ_AND_CHANGE, Scope, Subresource};
use crate::meta::{check_immutable, shown};
use crate::node::Node;
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path, quoted};

/// The kind.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    plural: "servicecidrs",
    singular: "servicecidr",
    kind: "ServiceCIDR",
    scope: Scope::Cluster,
    subresources: &[Subresource {
        name: "status",
        group: "",
        version: "",
        kind: "ServiceCIDR",
        verbs: READ_AND_CHANGE,
    }],
    ty: &types::NETWORKING_V1_SERVICE_CIDR,
    columns: &[name_column(), column("CIDRs", "The ranges, at most one of each family."), age_column()],
    row,
    check_create: check,
    check_update,
    ..Kind::BASE
};

fn cidrs(range: &Object) -> &[Node] {
    range.body.items_at("spec.cidrs")
}

fn row(range: &Object, now: Timestamp) -> Row {
    let all: Vec<&str> = cidrs(range).iter().filter_map(Node::as_str).collect();
    Row::of([range.name().into(), all.join(",").into(), Row::age(range, now)])
}

fn check(range: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let path = path.field("cidrs");
    let given = cidrs(range);
    if given.is_empty() {
        errors.required(&path, "at least one CIDR required");
        return;
    }
    if given.len() > 2 {
        errors.invalid(&path, shown(range.at("spec")), "may only hold up to 2 values");
        return;
    }
    let mut read = Vec::new();
    for (index, text) in given.iter().filter_map(Node::as_str).enumerate() {
        let path = path.index(index);
        let Some(cidr) = cidr::check(text, &path, errors) else { continue };
        if cidr != cidr.network() {
            errors.invalid(&path, text, "must not have bits set beyond the prefix length");
        } else if cidr.to_string() != text {
            errors.invalid(&path, text, format!("must be in canonical form ({})", quoted(&cidr.to_string())));
        }
        read.push(cidr);
    }
    if let [one, other] = read.as_slice()
        && one.is_ipv4() == other.is_ipv4()
    {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.invalid(&path, shown(range.at("spec.cidrs")), detail);
    }
}

fn check_update(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let path = path.field("cidrs");
    let (now, before) = (cidrs(new), cidrs(old));
    match (before.len(), now.len()) {
        (before_len, now_len) if before_len == now_len || (before_len, now_len) == (1, 2) => {
            for (index, (now, before)) in now.iter().zip(before).enumerate() {
                check_immutable(Some(now), Some(before), &path.index(index), errors);
            }
            if now_len > before_len {
                check(new, errors);
            }
        }
        _ => check_immutable(new.at("spec.cidrs"), old.at("spec.cidrs"), &path, errors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, row, update_errors};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, "spec: {cidrs: [10.96.0.0/16, 'fd00::/108']}", &[]),
            (&KIND, "spec: {}", &["spec.cidrs: Required value: at least one CIDR required"]),
            (
                &KIND,
                "spec: {cidrs: [10.96.0.1/16]}",
                &["spec.cidrs[0]: Invalid value: \"10.96.0.1/16\": must not have bits set beyond the prefix length"],
            ),
            (
                &KIND,
                "spec: {cidrs: ['fd00:0::/108']}",
                &["spec.cidrs[0]: Invalid value: \"fd00:0::/108\": must be in canonical form (\"fd00::/108\")"],
            ),
            (
                &KIND,
                "spec: {cidrs: [10.0.0.0/8, 11.0.0.0/8]}",
                &[
                    "spec.cidrs: Invalid value: [\"10.0.0.0/8\",\"11.0.0.0/8\"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
                ],
            ),
        ]);
        assert_eq!(row(&KIND, "spec: {cidrs: [10.0.0.0/8, 'fd00::/108']}"), "web | 10.0.0.0/8,fd00::/108 | <unknown>");
    }

    #[test]
    fn a_second_family_can_be_added_and_nothing_else_changes() {
        let of = |cidrs: &str| format!("spec: {{cidrs: [{cidrs}]}}");
        for (before, now, want) in [
            ("10.0.0.0/8", "10.0.0.0/8", None),
            ("10.0.0.0/8", "10.0.0.0/8, 'fd00::/108'", None),
            ("10.0.0.0/8", "11.0.0.0/8", Some("spec.cidrs[0]: Invalid value: \"11.0.0.0/8\": field is immutable")),
            (
                "10.0.0.0/8, 'fd00::/108'",
                "10.0.0.0/8",
                Some("spec.cidrs: Invalid value: [\"10.0.0.0/8\"]: field is immutable"),
            ),
        ] {
            let told = update_errors(&KIND, &of(before), &of(now));
            assert_eq!(told.first().map(String::as_str), want, "{before} -> {now}");
        }
    }
}
