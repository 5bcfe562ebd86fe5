//! Cases of `policy/v1` and `autoscaling/v2`.

use super::super::testing::{check_all, created};
use super::{check_defaults, check_rows, status_errors};
use crate::autoscaling::v2::horizontal_pod_autoscaler;
use crate::policy::v1::pod_disruption_budget;

#[test]
fn disruption_budgets_have_upstreams_rules() {
    let kind = &pod_disruption_budget::KIND;
    check_all(&[
        (kind, "spec: {minAvailable: 50%, selector: {matchLabels: {app: web}}}", &[]),
        (
            kind,
            "spec: {minAvailable: 1, maxUnavailable: 101%, unhealthyPodEvictionPolicy: Never}",
            &[
                "spec: Invalid value: {\"minAvailable\":1,\"maxUnavailable\":\"101%\",\"unhealthyPodEvictionPolicy\":\"Never\"}: minAvailable and maxUnavailable cannot be both set",
                "spec.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
                "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Never\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\"",
            ],
        ),
    ]);
    let status = status_errors(kind, &created(kind, "spec: {minAvailable: 1}"), |budget| {
        budget.set("status.disruptionsAllowed", -1_i64);
    });
    assert_eq!(status, ["status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0"]);
    check_rows(&[(
        kind,
        "spec: {maxUnavailable: 25%}\nstatus: {disruptionsAllowed: 2}",
        "web | N/A | 25% | 2 | <unknown>",
    )]);
}

fn autoscaler(part: &str) -> String {
    format!("spec: {{maxReplicas: 5, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}, {part}}}")
}

#[test]
fn autoscalers_have_upstreams_defaults_and_rules() {
    let kind = &horizontal_pod_autoscaler::KIND;
    let fast = autoscaler("behavior: {scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 60}]}}");
    check_defaults(&[
        (kind, &autoscaler(""), "spec.minReplicas", "1"),
        (kind, &autoscaler(""), "spec.metrics.0.resource.name", "cpu"),
        (kind, &autoscaler(""), "spec.metrics.0.resource.target.averageUtilization", "80"),
        (kind, &autoscaler(""), "spec.behavior", "nothing"),
        (kind, &fast, "spec.behavior.scaleUp.stabilizationWindowSeconds", "0"),
        (kind, &fast, "spec.behavior.scaleUp.policies.0.type", "Pods"),
        (kind, &fast, "spec.behavior.scaleUp.policies.1", "nothing"),
        (kind, &fast, "spec.behavior.scaleDown.policies.0.value", "100"),
        (kind, &fast, "spec.behavior.scaleDown.stabilizationWindowSeconds", "nothing"),
    ]);
    check_all(&[
        (kind, &fast, &[]),
        (
            kind,
            "spec: {minReplicas: 0, scaleTargetRef: {name: a/b}}",
            &[
                "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                "spec.scaleTargetRef.kind: Required value",
                "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
            ],
        ),
        (
            kind,
            &autoscaler(
                "metrics: [{type: Pods, pods: {metric: {name: m}, target: {type: Value, value: 0}}}, {type: Resource, object: {metric: {name: m}, describedObject: {kind: Pod, name: a}, target: {type: Value, value: 1}}}, {type: Odd}]",
            ),
            &[
                "spec.metrics[0].pods.target.value: Invalid value: \"0\": must be positive",
                "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue",
                "spec.metrics[1].resource: Required value: must populate information for the given metric source",
                "spec.metrics[2].type: Unsupported value: \"Odd\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"",
            ],
        ),
        (
            kind,
            &autoscaler(
                "behavior: {scaleDown: {stabilizationWindowSeconds: 7200, selectPolicy: Some, policies: [{type: All, value: 0, periodSeconds: 3600}]}}",
            ),
            &[
                "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 7200: must be less than or equal to 3600",
                "spec.behavior.scaleDown.selectPolicy: Unsupported value: \"Some\": supported values: \"Disabled\", \"Max\", \"Min\"",
                "spec.behavior.scaleDown.policies[0].type: Unsupported value: \"All\": supported values: \"Percent\", \"Pods\"",
                "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
                "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 3600: must be less than or equal to 1800",
            ],
        ),
    ]);
    check_rows(&[
        (
            kind,
            &format!(
                "{}\nstatus: {{currentReplicas: 2, currentMetrics: [{{type: Resource, resource: {{name: cpu, current: {{averageUtilization: 10}}}}}}]}}",
                autoscaler(
                    "minReplicas: 2, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}, {type: Pods, pods: {target: {averageValue: 5}}}, {type: External, external: {target: {value: 1}}}]"
                )
            ),
            "web | Deployment/web | cpu: 10%/50%, <unknown>/5 + 1 more... | 2 | 5 | 2 | <unknown>",
        ),
        (kind, "spec: {maxReplicas: 1}", "web | / | <none> | <unset> | 1 | 0 | <unknown>"),
    ]);
}
