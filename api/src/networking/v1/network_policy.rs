//! `NetworkPolicy`: who may talk to the pods it selects, and to whom they may talk.

use jiff::Timestamp;

use super::cidr;
use crate::kind::{Generation, Kind};
use crate::meta::shown;
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::selector::{self, LabelSelector};
use crate::table::{Row, age_column, column, name_column, or_none};
use crate::validation::{Errors, Path};

const TYPES: [&str; 2] = ["Ingress", "Egress"];
/// Each direction: the list of rules, and the peers of a rule.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

/// The kind.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    plural: "networkpolicies",
    singular: "networkpolicy",
    kind: "NetworkPolicy",
    short_names: &["netpol"],
    ty: &types::NETWORKING_V1_NETWORK_POLICY,
    columns: &[name_column(), column("Pod-Selector", "Labels of the pods the policy is for."), age_column()],
    row,
    generation: Generation::Spec,
    defaults,
    check,
    ..Kind::BASE
};

fn defaults(policy: &mut Struct) {
    let spec = policy.struct_at("spec");
    for (direction, _) in DIRECTIONS {
        let rules = spec.get_mut(direction).and_then(Node::as_list_mut).into_iter().flatten();
        for port in rules.filter_map(|rule| rule.get_mut("ports")?.as_list_mut()).flatten() {
            if let Some(port) = port.as_struct_mut() {
                port.set_default("protocol", "TCP");
            }
        }
    }
    if spec.items_at("policyTypes").is_empty() {
        let both = !spec.items_at("egress").is_empty();
        spec.set("policyTypes", if both { TYPES.to_vec() } else { vec![TYPES[0]] });
    }
}

fn row(policy: &Object, now: Timestamp) -> Row {
    let selector = policy.at("spec.podSelector").and_then(LabelSelector::from_object);
    let selector = selector.map(|selector| selector.to_string()).unwrap_or_default();
    Row::of([policy.name().into(), or_none(&selector), Row::age(policy, now)])
}

fn check(policy: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    selector::check_object(policy.at("spec.podSelector"), &path.field("podSelector"), errors);
    for (direction, peers) in DIRECTIONS {
        let path = path.field(direction);
        let rules = policy.at("spec").map_or(&[][..], |spec| spec.items_at(direction));
        for (index, rule) in rules.iter().enumerate() {
            let path = path.index(index);
            for (index, port) in rule.items_at("ports").iter().enumerate() {
                check_port(port, &path.field("ports").index(index), errors);
            }
            for (index, peer) in rule.items_at(peers).iter().enumerate() {
                check_peer(peer, &path.field(peers).index(index), errors);
            }
        }
    }
    let (path, given) = (path.field("policyTypes"), policy.body.items_at("spec.policyTypes"));
    if given.len() > TYPES.len() {
        errors.invalid(&path, shown(policy.at("spec.policyTypes")), "may not specify more than two policyTypes");
        return;
    }
    for (index, kind) in given.iter().filter_map(Node::as_str).enumerate() {
        if !TYPES.contains(&kind) {
            errors.not_supported(&path.index(index), kind, &TYPES);
        }
    }
}

fn check_port(port: &Node, path: &Path<'_>, errors: &mut Errors) {
    let protocol = port.get("protocol").and_then(Node::as_str);
    if let Some(protocol) = protocol.filter(|protocol| !matches!(*protocol, "TCP" | "UDP" | "SCTP")) {
        errors.not_supported(&path.field("protocol"), protocol, &["TCP", "UDP", "SCTP"]);
    }
    let (end, end_path) = (port.i64_at("endPort"), path.field("endPort"));
    match (port.get("port"), end) {
        (Some(Node::Int(first)), end) => {
            for problem in names::port_number(*first) {
                errors.invalid(&path.field("port"), *first, problem);
            }
            let Some(end) = end else { return };
            if end < *first {
                errors.invalid(&end_path, end, "must be greater than or equal to `port`");
            }
            for problem in names::port_number(end) {
                errors.invalid(&end_path, end, problem);
            }
        }
        (Some(name), end) => {
            if let Some(end) = end {
                errors.invalid(&end_path, end, "may not be specified when `port` is non-numeric");
            }
            let name = name.as_str().unwrap_or("");
            errors.invalid_each(&path.field("port"), name, names::port_name(name));
        }
        (None, Some(end)) => errors.invalid(&end_path, end, "may not be specified when `port` is not specified"),
        (None, None) => {}
    }
}

fn check_peer(peer: &Node, path: &Path<'_>, errors: &mut Errors) {
    let selectors = ["podSelector", "namespaceSelector"];
    for field in selectors {
        selector::check_object(peer.get(field), &path.field(field), errors);
    }
    let selects = selectors.iter().any(|field| peer.get(field).is_some());
    match peer.get("ipBlock") {
        Some(block) => {
            check_block(block, &path.field("ipBlock"), errors);
            if selects {
                errors.forbidden(path, "may not specify both ipBlock and another peer");
            }
        }
        None if !selects => errors.required(path, "must specify a peer"),
        None => {}
    }
}

fn check_block(block: &Node, path: &Path<'_>, errors: &mut Errors) {
    let range = block.str_at("cidr");
    if range.is_empty() {
        errors.required(&path.field("cidr"), "");
        return;
    }
    let Some(range) = cidr::check(range, &path.field("cidr"), errors) else { return };
    for (index, text) in block.items_at("except").iter().filter_map(Node::as_str).enumerate() {
        let path = path.field("except");
        let path = path.index(index);
        if let Some(except) = cidr::check(text, &path, errors)
            && !range.strictly_contains(except)
        {
            errors.invalid(&path, text, "must be a strict subset of `cidr`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, created, row};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        check_all(&[
            (&KIND, "spec: {}", &[]),
            (
                &KIND,
                "spec: {ingress: [{}], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}",
                &[],
            ),
            (
                &KIND,
                "spec: {ingress: [{from: [{}]}]}",
                &["spec.ingress[0].from[0]: Required value: must specify a peer"],
            ),
            (
                &KIND,
                "spec: {egress: [{to: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}",
                &[
                    "spec.egress[0].to[0].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
                    "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer",
                ],
            ),
            (
                &KIND,
                "spec: {ingress: [{from: [{ipBlock: {cidr: '10'}}]}]}",
                &[
                    "spec.ingress[0].from[0].ipBlock.cidr: Invalid value: \"10\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
                ],
            ),
            (
                &KIND,
                "spec: {ingress: [{ports: [{protocol: ICMP, port: 80, endPort: 70}, {port: http, endPort: 1}, {endPort: 1}]}]}",
                &[
                    "spec.ingress[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"TCP\", \"UDP\", \"SCTP\"",
                    "spec.ingress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`",
                    "spec.ingress[0].ports[1].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
                    "spec.ingress[0].ports[2].endPort: Invalid value: 1: may not be specified when `port` is not specified",
                ],
            ),
            (
                &KIND,
                "spec: {policyTypes: [Sideways]}",
                &["spec.policyTypes[0]: Unsupported value: \"Sideways\": supported values: \"Ingress\", \"Egress\""],
            ),
        ]);
    }

    #[test]
    fn the_types_follow_from_the_rules() {
        let types = |yaml| shown(created(&KIND, yaml).at("spec.policyTypes")).to_string();
        assert_eq!(types("spec: {}"), r#"["Ingress"]"#);
        assert_eq!(types("spec: {egress: [{}]}"), r#"["Ingress","Egress"]"#);
        let ports = created(&KIND, "spec: {ingress: [{ports: [{port: 80}]}]}");
        assert_eq!(ports.str_at("spec.ingress.0.ports.0.protocol"), "TCP");
        assert_eq!(row(&KIND, "spec: {podSelector: {matchLabels: {app: web}}}"), "web | app=web | <unknown>");
        assert_eq!(row(&KIND, "spec: {podSelector: {}}"), "web | <none> | <unknown>");
    }
}
