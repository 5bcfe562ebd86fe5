//! The group flowcontrol.apiserver.k8s.io.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        path: "flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations",
        object: "spec: {type: Limited, limited: {limitResponse: {type: Queue}}}",
        filled: &[
            ("/spec/limited/nominalConcurrencyShares", "30"),
            ("/spec/limited/limitResponse/queuing/queues", "64"),
        ],
        columns: "Name Type NominalConcurrencyShares Queues HandSize QueueLengthLimit Age",
        status: "{conditions: [{type: A, status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z'}]}",
        bad: (
            "spec: {type: Exempt}",
            "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io \"bad\" is invalid: spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
        ),
    },
    Case {
        path: "flowcontrol.apiserver.k8s.io/v1/flowschemas",
        object: "spec: {priorityLevelConfiguration: {name: one}}",
        filled: &[("/spec/matchingPrecedence", "1000")],
        columns: "Name PriorityLevel MatchingPrecedence DistinguisherMethod Age MissingPL",
        status: "{conditions: [{type: Dangling, status: 'False', lastTransitionTime: '2026-01-01T00:00:00Z'}]}",
        bad: (
            "spec: {}",
            "FlowSchema.flowcontrol.apiserver.k8s.io \"bad\" is invalid: spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        ),
    },
];
