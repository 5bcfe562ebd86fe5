//! The group admissionregistration.k8s.io.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        path: "admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        object: "webhooks: [{name: a.b.c, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {url: 'https://a'}}]",
        filled: &[("/webhooks/0/failurePolicy", "\"Fail\""), ("/webhooks/0/timeoutSeconds", "10")],
        columns: "Name Webhooks Age",
        status: "",
        bad: (
            "webhooks: [{name: a.b.c, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {}}]",
            "ValidatingWebhookConfiguration.admissionregistration.k8s.io \"bad\" is invalid: webhooks[0].clientConfig: Required value: exactly one of url or service is required",
        ),
    },
    Case {
        path: "admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        object: "webhooks: [{name: a.b.c, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {url: 'https://a'}}]",
        filled: &[("/webhooks/0/reinvocationPolicy", "\"Never\""), ("/webhooks/0/namespaceSelector", "{}")],
        columns: "Name Webhooks Age",
        status: "",
        bad: (
            "webhooks: [{name: a.b.c, sideEffects: Some, admissionReviewVersions: [v1], clientConfig: {url: 'https://a'}}]",
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
        ),
    },
    Case {
        path: "admissionregistration.k8s.io/v1/validatingadmissionpolicies",
        object: "spec: {matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]}, validations: [{expression: 'true'}]}",
        filled: &[("/spec/failurePolicy", "\"Fail\""), ("/spec/matchConstraints/matchPolicy", "\"Equivalent\"")],
        columns: "Name Validations ParamKind Age",
        status: "{observedGeneration: 1}",
        bad: (
            "spec: {validations: [{expression: 'true'}]}",
            "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"bad\" is invalid: spec.matchConstraints: Required value",
        ),
    },
    Case {
        path: "admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
        object: "spec: {policyName: one, validationActions: [Deny]}",
        filled: &[],
        columns: "Name PolicyName ParamRef Age",
        status: "",
        bad: (
            "spec: {policyName: one}",
            "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io \"bad\" is invalid: spec.validationActions: Required value: at least one validation action is required",
        ),
    },
    Case {
        path: "admissionregistration.k8s.io/v1/mutatingadmissionpolicies",
        object: "spec: {reinvocationPolicy: Never, matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]}, mutations: [{patchType: JSONPatch, jsonPatch: {expression: '[]'}}]}",
        filled: &[("/spec/failurePolicy", "\"Fail\"")],
        columns: "Name Mutations ParamKind Age",
        status: "",
        bad: (
            "spec: {reinvocationPolicy: Never, matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]}}",
            "MutatingAdmissionPolicy.admissionregistration.k8s.io \"bad\" is invalid: spec.mutations: Required value: mutations must contain at least one item",
        ),
    },
    Case {
        path: "admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings",
        object: "spec: {policyName: one}",
        filled: &[],
        columns: "Name PolicyName ParamRef Age",
        status: "",
        bad: (
            "spec: {}",
            "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io \"bad\" is invalid: spec.policyName: Required value",
        ),
    },
];
