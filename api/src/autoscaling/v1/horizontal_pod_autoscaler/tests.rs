use super::{BEHAVIOR, CONDITIONS, CURRENT_METRICS, KIND, METRICS, present};
use crate::kinds::testing::{created, defaulted, errors, now, update_errors, written};
use crate::object::Object;

const RICH: &str = "
spec:
  maxReplicas: 9
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  behavior: {scaleDown: {stabilizationWindowSeconds: 60, policies: [{type: Pods, value: 1, periodSeconds: 30}]}}
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}
  - {type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 64Mi}}}
  - {type: Pods, pods: {metric: {name: rate, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, averageValue: '5'}}}
  - {type: Object, object: {metric: {name: length}, describedObject: {kind: Service, name: queue}, target: {type: Value, value: 100m}}}
  - {type: External, external: {metric: {name: sales}, target: {type: Value, value: '7'}}}
  - {type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: Utilization, averageUtilization: 30}}}
status:
  currentReplicas: 2
  desiredReplicas: 3
  currentMetrics:
  - {type: Resource, resource: {name: cpu, current: {averageUtilization: 10, averageValue: 5m}}}
  conditions: [{type: AbleToScale, status: 'True', reason: Ready}]
";

fn stored() -> Object {
    let mut object = defaulted(&present::KIND, RICH);
    object.set_annotation("mine", "kept");
    object
}

#[test]
fn nothing_is_lost_between_the_versions() {
    let stored = stored();
    let served = KIND.from_stored(stored.clone());
    assert_eq!(&*served.api_version, "autoscaling/v1");
    assert_eq!(served.body.i64_at("spec.targetCPUUtilizationPercentage"), Some(60));
    assert_eq!(served.body.i64_at("status.currentCPUUtilizationPercentage"), Some(10));
    for name in [METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS, "mine"] {
        assert!(served.annotation(name).is_some(), "{name}");
    }
    let metrics: serde_json::Value = serde_json::from_str(served.annotation(METRICS).unwrap()).unwrap();
    assert_eq!(metrics[0]["resource"]["targetAverageValue"], "64Mi");
    assert_eq!(metrics[2]["object"]["target"]["name"], "queue");
    assert!(served.annotation(BEHAVIOR).unwrap().contains("\"StabilizationWindowSeconds\":60"));
    assert_eq!(KIND.to_stored(served.clone()).body, stored.body);
}

#[test]
fn an_autoscaler_of_version_1_is_one_of_version_2() {
    let served = created(
        &KIND,
        "spec: {maxReplicas: 3, targetCPUUtilizationPercentage: 50, scaleTargetRef: {kind: Deployment, name: web}}",
    );
    assert_eq!(served.body.i64_at("spec.minReplicas"), Some(1));
    let stored = KIND.to_stored(served.clone());
    assert_eq!(stored.body.i64_at("spec.metrics.0.resource.target.averageUtilization"), Some(50));
    assert!(present::KIND.validate(&stored).is_empty());
    let silent = KIND.to_stored(written(&KIND, "spec: {maxReplicas: 3}"));
    assert_eq!(silent.body.i64_at("spec.metrics.0.resource.target.averageUtilization"), Some(80));
    let broken = KIND.to_stored(written(&KIND, &format!("metadata: {{annotations: {{{METRICS}: '['}}}}")));
    assert_eq!((broken.body.items_at("spec.metrics").len(), broken.annotations()), (1, None));
}

#[test]
fn each_half_keeps_the_annotations_of_the_other() {
    let old = KIND.from_stored(stored());
    let mut new = written(&KIND, "spec: {maxReplicas: 4, scaleTargetRef: {kind: Deployment, name: web}}");
    KIND.prepare_for_update(&mut new, &old);
    assert_eq!(new.annotation(CONDITIONS), old.annotation(CONDITIONS), "a client does not write the status");
    assert_eq!(new.annotation(METRICS), None, "the client wishes for nothing but processors");
    let mut status = written(&KIND, "status: {currentReplicas: 5}");
    KIND.prepare_for_status_update(&mut status, &old);
    assert_eq!(status.annotation(BEHAVIOR), old.annotation(BEHAVIOR));
    assert_eq!(status.annotation(CONDITIONS), None, "whoever writes the status decides about the conditions");
    let fresh = created(&KIND, &format!("metadata: {{annotations: {{{CONDITIONS}: '[]'}}}}"));
    assert_eq!(fresh.annotations(), None);
}

#[test]
fn mistakes_are_told_as_version_2_tells_them() {
    assert_eq!(
        errors(
            &KIND,
            "spec: {targetCPUUtilizationPercentage: 0, maxReplicas: 1, scaleTargetRef: {kind: Deployment, name: web}}"
        ),
        ["spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"]
    );
    let good = "spec: {maxReplicas: 1, scaleTargetRef: {kind: Deployment, name: web}}";
    assert!(update_errors(&KIND, good, &good.replace("maxReplicas: 1", "maxReplicas: 2")).is_empty());
    let row = KIND.table_row(&KIND.from_stored(stored()), now()).cells;
    assert_eq!(row[2].to_string(), "cpu: 10%/60%, memory: <unknown>/64Mi + 4 more...");
}
