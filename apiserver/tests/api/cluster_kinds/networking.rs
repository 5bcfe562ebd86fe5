//! The group networking.k8s.io.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        path: "networking.k8s.io/v1/ingressclasses",
        object: "spec: {controller: example.com/ingress, parameters: {kind: K, name: k}}",
        filled: &[("/spec/parameters/scope", "\"Cluster\""), ("/metadata/generation", "1")],
        columns: "Name Controller Parameters Age",
        status: "",
        bad: ("spec: {}", "IngressClass.networking.k8s.io \"bad\" is invalid: spec.controller: Required value"),
    },
    Case {
        path: "networking.k8s.io/v1/namespaces/default/ingresses",
        object: "spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}",
        filled: &[("/metadata/generation", "1")],
        columns: "Name Class Hosts Address Ports Age",
        status: "{loadBalancer: {ingress: [{ip: 10.0.0.1}]}}",
        bad: (
            "spec: {}",
            "Ingress.networking.k8s.io \"bad\" is invalid: spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
        ),
    },
    Case {
        path: "networking.k8s.io/v1/namespaces/default/networkpolicies",
        object: "spec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}",
        filled: &[("/spec/policyTypes", "[\"Ingress\"]"), ("/spec/ingress/0/ports/0/protocol", "\"TCP\"")],
        columns: "Name Pod-Selector Age",
        status: "",
        bad: (
            "spec: {podSelector: {}, ingress: [{from: [{}]}]}",
            "NetworkPolicy.networking.k8s.io \"bad\" is invalid: spec.ingress[0].from[0]: Required value: must specify a peer",
        ),
    },
    Case {
        path: "networking.k8s.io/v1/ipaddresses",
        object: "{metadata: {name: 10.1.2.3}, spec: {parentRef: {resource: services, namespace: default, name: web}}}",
        filled: &[],
        columns: "Name ParentRef",
        status: "",
        bad: (
            "{metadata: {name: 10.1.2.4}, spec: {}}",
            "IPAddress.networking.k8s.io \"10.1.2.4\" is invalid: spec.parentRef: Required value",
        ),
    },
    Case {
        path: "networking.k8s.io/v1/servicecidrs",
        object: "spec: {cidrs: [10.97.0.0/24]}",
        filled: &[],
        columns: "Name CIDRs Age",
        status: "{conditions: [{type: Ready, status: 'True', reason: Made, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}",
        bad: (
            "spec: {cidrs: []}",
            "ServiceCIDR.networking.k8s.io \"bad\" is invalid: spec.cidrs: Required value: at least one CIDR required",
        ),
    },
];
