//! The group certificates.k8s.io.

use super::Case;

pub(super) const CASES: &[Case] = &[Case {
    path: "certificates.k8s.io/v1/namespaces/default/podcertificaterequests",
    object: "spec: {signerName: example.com/serving, podName: p, podUID: u, serviceAccountName: s, serviceAccountUID: u, nodeName: a, nodeUID: u, stubPKCS10Request: MAA=}",
    filled: &[("/spec/maxExpirationSeconds", "86400")],
    columns: "Name PodName ServiceAccountName NodeName SignerName State Age",
    status: "{conditions: [{type: Denied, status: 'True', reason: Refused, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}",
    bad: (
        "spec: {signerName: example.com/serving, podName: p, podUID: u, serviceAccountName: s, serviceAccountUID: u, nodeName: a, nodeUID: u}",
        "PodCertificateRequest.certificates.k8s.io \"bad\" is invalid: spec.stubPKCS10Request: Required value: must not be empty",
    ),
}];
