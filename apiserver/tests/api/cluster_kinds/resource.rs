//! The group resource.k8s.io.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        path: "resource.k8s.io/v1/deviceclasses",
        object: "spec: {selectors: [{cel: {expression: 'true'}}]}",
        filled: &[("/metadata/generation", "1")],
        columns: "Name Age",
        status: "",
        bad: (
            "spec: {selectors: [{}]}",
            "DeviceClass.resource.k8s.io \"bad\" is invalid: spec.selectors[0].cel: Required value",
        ),
    },
    Case {
        path: "resource.k8s.io/v1/devicetaintrules",
        object: "spec: {taint: {key: a, effect: NoExecute}}",
        filled: &[],
        columns: "Name Age",
        status: "{conditions: [{type: Done, status: 'True', reason: All, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}",
        bad: (
            "spec: {taint: {key: a, effect: Odd}}",
            "DeviceTaintRule.resource.k8s.io \"bad\" is invalid: spec.taint.effect: Unsupported value: \"Odd\": supported values: \"NoExecute\", \"NoSchedule\", \"None\"",
        ),
    },
    Case {
        path: "resource.k8s.io/v1/namespaces/default/resourceclaims",
        object: "spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpus}}]}}",
        filled: &[("/spec/devices/requests/0/exactly/allocationMode", "\"ExactCount\"")],
        columns: "Name State Age",
        status: "{allocation: {devices: {results: [{request: gpu, driver: example.com, pool: p, device: d}]}}}",
        bad: (
            "spec: {devices: {requests: [{name: gpu}]}}",
            "ResourceClaim.resource.k8s.io \"bad\" is invalid: spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
        ),
    },
    Case {
        path: "resource.k8s.io/v1/namespaces/default/resourceclaimtemplates",
        object: "spec: {spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpus}}]}}}",
        filled: &[("/spec/spec/devices/requests/0/exactly/count", "1")],
        columns: "Name Age",
        status: "",
        bad: (
            "spec: {spec: {devices: {requests: [{name: gpu, exactly: {}}]}}}",
            "ResourceClaimTemplate.resource.k8s.io \"bad\" is invalid: spec.spec.devices.requests[0].exactly.deviceClassName: Required value",
        ),
    },
    Case {
        path: "resource.k8s.io/v1/resourceslices",
        object: "spec: {driver: example.com, nodeName: a, pool: {name: p, generation: 1, resourceSliceCount: 1}}",
        filled: &[("/metadata/generation", "1")],
        columns: "Name Node Driver Pool Age",
        status: "",
        bad: (
            "spec: {driver: example.com, pool: {name: p, generation: 1, resourceSliceCount: 1}}",
            "ResourceSlice.resource.k8s.io \"bad\" is invalid: spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
        ),
    },
];
