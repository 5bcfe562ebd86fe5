//! The groups of one kind each.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        path: "scheduling.k8s.io/v1/priorityclasses",
        object: "value: 7",
        filled: &[("/preemptionPolicy", "\"PreemptLowerPriority\""), ("/metadata/generation", "1")],
        columns: "Name Value Global-Default Age PreemptionPolicy",
        status: "",
        bad: (
            "value: 2000000000",
            "PriorityClass.scheduling.k8s.io \"bad\" is invalid: value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
    },
    Case {
        path: "node.k8s.io/v1/runtimeclasses",
        object: "handler: runc",
        filled: &[],
        columns: "Name Handler Age",
        status: "",
        bad: ("handler: 'A'", "handler: Invalid value: \"A\": a lowercase RFC 1123 label must consist of"),
    },
    Case {
        path: "apiregistration.k8s.io/v1/apiservices",
        object: "{metadata: {name: v1.example.com}, spec: {group: example.com, version: v1, groupPriorityMinimum: 100, versionPriority: 10, service: {namespace: default, name: s}}}",
        filled: &[("/spec/service/port", "443")],
        columns: "Name Service Available Age",
        status: "{conditions: [{type: Available, status: 'False', reason: MissingEndpoints, lastTransitionTime: '2026-01-01T00:00:00Z'}]}",
        bad: (
            "{metadata: {name: bad}, spec: {group: example.com, version: v1, groupPriorityMinimum: 100, versionPriority: 10}}",
            "APIService.apiregistration.k8s.io \"bad\" is invalid: metadata.name: Invalid value: \"bad\": must be `spec.version+\".\"+spec.group`: \"v1.example.com\"",
        ),
    },
    Case {
        path: "storagemigration.k8s.io/v1/storageversionmigrations",
        object: "spec: {resource: {group: apps, resource: deployments}}",
        filled: &[],
        columns: "Name Age",
        status: "{resourceVersion: '7'}",
        bad: (
            "spec: {resource: {group: apps, resource: ''}}",
            "StorageVersionMigration.storagemigration.k8s.io \"bad\" is invalid: spec.resource.resource: Required value",
        ),
    },
];
