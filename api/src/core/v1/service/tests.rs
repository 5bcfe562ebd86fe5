use super::KIND;
use crate::kinds::testing::{created, defaulted, errors, row, update_errors};

#[test]
fn defaults_depend_on_the_type() {
    let plain = defaulted(&KIND, "spec: {ports: [{port: 80}]}");
    assert_eq!(plain.str_at("spec.type"), "ClusterIP");
    assert_eq!(plain.str_at("spec.sessionAffinity"), "None");
    assert_eq!(plain.str_at("spec.internalTrafficPolicy"), "Cluster");
    assert_eq!(plain.str_at("spec.externalTrafficPolicy"), "");
    assert_eq!(plain.body.i64_at("spec.ports.0.targetPort"), Some(80));
    assert_eq!(plain.str_at("spec.ports.0.protocol"), "TCP");
    let open = defaulted(
        &KIND,
        "spec: {type: LoadBalancer, sessionAffinity: ClientIP, ports: [{port: 80, targetPort: http}]}",
    );
    assert_eq!(open.str_at("spec.externalTrafficPolicy"), "Cluster");
    assert_eq!(open.body.i64_at("spec.sessionAffinityConfig.clientIP.timeoutSeconds"), Some(10800));
    assert_eq!(open.str_at("spec.ports.0.targetPort"), "http");
    let family = created(&KIND, "spec: {ports: [{port: 80}], clusterIP: 'fd00::1'}");
    assert_eq!(family.str_at("spec.ipFamilies.0"), "IPv6");
    assert_eq!(family.str_at("spec.clusterIPs.0"), "fd00::1");
}

#[test]
fn mistakes_are_told() {
    for (spec, want) in [
        ("{ports: []}", vec!["spec.ports: Required value"]),
        (
            "{ports: [{port: 80}, {port: 81}]}",
            vec!["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        ("{ports: [{port: 80, name: a}, {port: 80, name: b}]}", vec!["spec.ports[1]: Duplicate value: \"80/TCP\""]),
        (
            "{ports: [{port: 80, nodePort: 30000}]}",
            vec!["spec.ports[0].nodePort: Forbidden: may not be used when `type` is \"ClusterIP\""],
        ),
        ("{type: ExternalName}", vec!["spec.externalName: Required value"]),
        (
            "{type: Wrong, ports: [{port: 80}]}",
            vec![
                "spec.type: Unsupported value: \"Wrong\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ],
        ),
        (
            "{type: NodePort, clusterIP: None, ports: [{port: 80}]}",
            vec!["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        ("{clusterIP: None}", vec![]),
        (
            "{clusterIP: 10.96.0.300, ports: [{port: 80}]}",
            vec![
                "spec.clusterIPs[0]: Invalid value: \"10.96.0.300\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ],
        ),
    ] {
        assert_eq!(errors(&KIND, &format!("spec: {spec}")), want, "{spec}");
    }
}

#[test]
fn a_given_address_stays() {
    let old = "spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}";
    assert_eq!(update_errors(&KIND, old, "spec: {ports: [{port: 80}]}"), [""; 0]);
    assert_eq!(
        update_errors(&KIND, old, "spec: {clusterIP: 10.96.0.9, ports: [{port: 80}]}"),
        ["spec.clusterIPs[0]: Invalid value: [\"10.96.0.9\"]: may not change once set"]
    );
    assert_eq!(update_errors(&KIND, old, "spec: {type: ExternalName, externalName: example.com}"), [""; 0]);
}

#[test]
fn rows() {
    let time = "metadata: {name: web, creationTimestamp: '2026-11-23T11:59:00Z'}\n";
    for (spec, want) in [
        (
            "spec: {type: ClusterIP, clusterIP: 10.96.0.1, selector: {b: '2', a: '1'}, ports: [{port: 80, protocol: TCP}, {port: 53, protocol: UDP}]}",
            "web | ClusterIP | 10.96.0.1 | <none> | 80/TCP,53/UDP | 60s | a=1,b=2",
        ),
        (
            "spec: {type: LoadBalancer, clusterIP: 10.96.0.1, ports: [{port: 80, nodePort: 30080, protocol: TCP}]}",
            "web | LoadBalancer | 10.96.0.1 | <pending> | 80:30080/TCP | 60s | <none>",
        ),
        ("spec: {type: ExternalName, externalName: a.b}", "web | ExternalName | <none> | a.b | <none> | 60s | <none>"),
    ] {
        assert_eq!(row(&KIND, &format!("{time}{spec}")), want);
    }
}
