//! The kinds around workloads: created as kubectl creates them, defaulted, shown as tables, their status written by
//! itself, and refused in Kubernetes' words.

use http::{Method, Request, header};
use serde_json::{Value, json};

use crate::harness::Fixture;

/// A kind and what is expected of it.
struct Case {
    api_version: &'static str,
    kind: &'static str,
    /// The path of the collection.
    path: &'static str,
    /// Everything but kind, apiVersion and name.
    body: Value,
    /// Where a default is expected, and which.
    default: (&'static str, Value),
    /// The headings of the Table.
    columns: &'static str,
    /// A status, as a part of the object.
    status: Option<Value>,
    /// A change that is refused, and a part of the refusal.
    mistake: (Value, &'static str),
}

fn pod(restart: &str) -> Value {
    json!({ "restartPolicy": restart, "containers": [{ "name": "c", "image": "web:1" }] })
}

fn set() -> Value {
    json!({
        "selector": { "matchLabels": { "app": "web" } },
        "template": { "metadata": { "labels": { "app": "web" } }, "spec": pod("Always") },
    })
}

type Mistake = (Value, &'static str);

fn core_kind(
    kind: &'static str,
    path: &'static str,
    body: Value,
    default: (&'static str, Value),
    columns: &'static str,
    status: Option<Value>,
    mistake: Mistake,
) -> Case {
    Case { api_version: "v1", kind, path, body, default, columns, status, mistake }
}

fn core() -> Vec<Case> {
    vec![
        core_kind(
            "LimitRange",
            "/api/v1/namespaces/default/limitranges",
            json!({ "spec": { "limits": [{ "type": "Container", "max": { "cpu": "2" } }] } }),
            ("/spec/limits/0/defaultRequest/cpu", json!("2")),
            "Name Created At",
            None,
            (json!({ "spec": { "limits": [{ "type": "Odd" }] } }), "must be a standard limit type or fully qualified"),
        ),
        core_kind(
            "ResourceQuota",
            "/api/v1/namespaces/default/resourcequotas",
            json!({ "spec": { "hard": { "pods": "10", "requests.cpu": "1000m" } } }),
            ("/spec/hard/requests.cpu", json!("1")),
            "Name Age Request Limit",
            Some(json!({ "status": { "used": { "pods": "3" } } })),
            (json!({ "spec": { "hard": { "florins": "1" } } }), "must be a standard resource for quota"),
        ),
        core_kind(
            "PodTemplate",
            "/api/v1/namespaces/default/podtemplates",
            json!({ "template": { "spec": pod("Always") } }),
            ("/template/spec/terminationGracePeriodSeconds", json!(30)),
            "Name Containers Images Pod Labels",
            None,
            (
                json!({ "template": { "spec": { "containers": [{ "name": "c" }] } } }),
                "template.spec.containers[0].image: Required value",
            ),
        ),
        core_kind(
            "ReplicationController",
            "/api/v1/namespaces/default/replicationcontrollers",
            json!({ "spec": { "template": set()["template"] } }),
            ("/spec/selector/app", json!("web")),
            "Name Desired Current Ready Age Containers Images Selector",
            Some(json!({ "status": { "replicas": 1 } })),
            (
                json!({ "spec": { "replicas": -1 } }),
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
        ),
    ]
}

fn volumes() -> Vec<Case> {
    let claim = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    vec![
        core_kind(
            "PersistentVolume",
            "/api/v1/persistentvolumes",
            json!({ "spec": { "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"], "hostPath": { "path": "/data" } } }),
            ("/spec/persistentVolumeReclaimPolicy", json!("Retain")),
            "Name Capacity Access Modes Reclaim Policy Status Claim StorageClass VolumeAttributesClass Reason Age VolumeMode",
            Some(json!({ "status": { "phase": "Available" } })),
            (
                json!({ "spec": { "hostPath": { "path": "/other" } } }),
                "spec.persistentvolumesource is immutable after creation",
            ),
        ),
        core_kind(
            "PersistentVolumeClaim",
            "/api/v1/namespaces/default/persistentvolumeclaims",
            json!({ "spec": claim }),
            ("/status/phase", json!("Pending")),
            "Name Status Volume Capacity Access Modes StorageClass VolumeAttributesClass Age VolumeMode",
            Some(json!({ "status": { "phase": "Lost" } })),
            (
                json!({ "spec": { "accessModes": ["ReadOnlyMany"] } }),
                "spec is immutable after creation except resources.requests",
            ),
        ),
    ]
}

fn apps() -> Vec<Case> {
    vec![
        Case {
            api_version: "apps/v1",
            kind: "StatefulSet",
            path: "/apis/apps/v1/namespaces/default/statefulsets",
            body: json!({ "spec": set() }),
            default: ("/spec/podManagementPolicy", json!("OrderedReady")),
            columns: "Name Ready Age Containers Images",
            status: Some(json!({ "status": { "replicas": 1 } })),
            mistake: (
                json!({ "spec": { "serviceName": "other" } }),
                "updates to statefulset spec for fields other than",
            ),
        },
        Case {
            api_version: "apps/v1",
            kind: "DaemonSet",
            path: "/apis/apps/v1/namespaces/default/daemonsets",
            body: json!({ "spec": set() }),
            default: ("/metadata/annotations/deprecated.daemonset.template.generation", json!("1")),
            columns: "Name Desired Current Ready Up-to-date Available Node Selector Age Containers Images Selector",
            status: Some(json!({ "status": { "numberReady": 1 } })),
            mistake: (json!({ "spec": { "selector": { "matchLabels": { "a": "b" } } } }), "field is immutable"),
        },
        Case {
            api_version: "apps/v1",
            kind: "ControllerRevision",
            path: "/apis/apps/v1/namespaces/default/controllerrevisions",
            body: json!({ "data": { "spec": {} }, "revision": 1 }),
            default: ("/revision", json!(1)),
            columns: "Name Controller Revision Age",
            status: None,
            mistake: (json!({ "revision": -1 }), "revision: Invalid value: -1: must be greater than or equal to 0"),
        },
    ]
}

fn batch_and_limits() -> Vec<Case> {
    let job = json!({ "template": { "spec": pod("Never") } });
    vec![
        Case {
            api_version: "batch/v1",
            kind: "Job",
            path: "/apis/batch/v1/namespaces/default/jobs",
            body: json!({ "spec": job }),
            default: ("/spec/template/metadata/labels/batch.kubernetes.io~1job-name", json!("web")),
            columns: "Name Status Completions Duration Age Containers Images Selector",
            status: Some(json!({ "status": { "active": 1 } })),
            mistake: (
                json!({ "spec": { "completions": 5 } }),
                "spec.completions: Invalid value: 5: field is immutable",
            ),
        },
        Case {
            api_version: "batch/v1",
            kind: "CronJob",
            path: "/apis/batch/v1/namespaces/default/cronjobs",
            body: json!({ "spec": { "schedule": "@hourly", "jobTemplate": { "spec": job } } }),
            default: ("/spec/concurrencyPolicy", json!("Allow")),
            columns: "Name Schedule Timezone Suspend Active Last Schedule Age Containers Images Selector",
            status: Some(json!({ "status": { "lastScheduleTime": "2026-01-02T03:04:05Z" } })),
            mistake: (json!({ "spec": { "schedule": "* * *" } }), "expected exactly 5 fields, found 3: [* * *]"),
        },
        Case {
            api_version: "policy/v1",
            kind: "PodDisruptionBudget",
            path: "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
            body: json!({ "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "web" } } } }),
            default: ("/metadata/generation", json!(1)),
            columns: "Name Min Available Max Unavailable Allowed Disruptions Age",
            status: Some(json!({ "status": { "disruptionsAllowed": 1 } })),
            mistake: (json!({ "spec": { "maxUnavailable": 1 } }), "minAvailable and maxUnavailable cannot be both set"),
        },
        Case {
            api_version: "autoscaling/v2",
            kind: "HorizontalPodAutoscaler",
            path: "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
            body: json!({ "spec": { "maxReplicas": 3, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" } } }),
            default: ("/spec/metrics/0/resource/target/averageUtilization", json!(80)),
            columns: "Name Reference Targets MinPods MaxPods Replicas Age",
            status: Some(json!({ "status": { "currentReplicas": 2 } })),
            mistake: (
                json!({ "spec": { "minReplicas": 0 } }),
                "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
            ),
        },
    ]
}

async fn table(api: &Fixture, path: &str) -> Value {
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let request = Request::get(path).header(header::ACCEPT, accept).extension(Fixture::admin());
    let response = api.open(request.body(axum::body::Body::empty()).unwrap()).await;
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// Whether everything that `part` says is in `whole`.
fn includes(whole: &Value, part: &Value) -> bool {
    match part {
        Value::Object(fields) => fields.iter().all(|(name, value)| includes(&whole[name], value)),
        value => whole == value,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_created_defaulted_shown_and_guarded() {
    let api = Fixture::start().await;
    for case in core().into_iter().chain(volumes()).chain(apps()).chain(batch_and_limits()) {
        let mut body = case.body;
        body["apiVersion"] = case.api_version.into();
        body["kind"] = case.kind.into();
        body["metadata"]["name"] = "web".into();
        if let Some(status) = &case.status {
            // A status that comes with a new object is not its own.
            body["status"] = status["status"].clone();
        }
        let strict = format!("{}?fieldValidation=Strict", case.path);
        let made = api.post(&strict, &body).await.expect(201);
        let (pointer, default) = &case.default;
        assert_eq!(made.pointer(pointer), Some(default), "{}: {made}", case.kind);

        let item = format!("{}/web", case.path);
        let shown = table(&api, case.path).await;
        let headings: Vec<&str> = shown["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(headings.join(" "), case.columns, "{}", case.kind);
        assert_eq!(shown["rows"][0]["cells"].as_array().unwrap().len(), headings.len(), "{}", case.kind);

        let (change, words) = &case.mistake;
        let message = api.merge(&item, change).await.refusal(422);
        assert!(message.contains(words), "{}: {message}", case.kind);

        if let Some(status) = &case.status {
            assert!(!includes(&made, status), "{}: a new object has a status of its own", case.kind);
            let same = api.merge(&item, status).await.expect(200);
            assert_eq!(same["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"], "{}", case.kind);
            let mut both = status.clone();
            both["spec"] = change["spec"].clone();
            let written = api.merge(&format!("{item}/status"), &both).await.expect(200);
            assert!(includes(&written, status), "{}: {written}", case.kind);
            assert_eq!(written["spec"], made["spec"], "{}: a status says nothing of the wish", case.kind);
        }
        api.delete(&item).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_scale_through_one_door() {
    let api = Fixture::start().await;
    for (path, body) in [
        ("/apis/apps/v1/namespaces/default/statefulsets", json!({ "spec": set() })),
        ("/api/v1/namespaces/default/replicationcontrollers", json!({ "spec": { "template": set()["template"] } })),
    ] {
        let mut body = body;
        body["metadata"]["name"] = "web".into();
        api.post(path, &body).await.expect(201);
        let scale = api.get(&format!("{path}/web/scale")).await.expect(200);
        assert_eq!((&scale["kind"], &scale["status"]["selector"]), (&json!("Scale"), &json!("app=web")));
        api.merge(&format!("{path}/web/scale"), &json!({ "spec": { "replicas": 4 } })).await.expect(200);
        let scaled = api.get(&format!("{path}/web")).await.expect(200);
        assert_eq!((&scaled["spec"]["replicas"], &scaled["metadata"]["generation"]), (&json!(4), &json!(2)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_an_autoscaler_are_one_object() {
    let api = Fixture::start().await;
    let (old, new) = ["v1", "v2"]
        .map(|version| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers"))
        .into();
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" });
    let body = json!({
        "metadata": { "name": "web" },
        "spec": { "maxReplicas": 3, "targetCPUUtilizationPercentage": 60, "scaleTargetRef": target },
    });
    api.post(&old, &body).await.expect(201);
    let present = api.get(&format!("{new}/web")).await.expect(200);
    assert_eq!(present["apiVersion"], "autoscaling/v2");
    assert_eq!(present["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 60);
    let memory = json!({ "type": "Resource", "resource": { "name": "memory", "target": { "type": "AverageValue", "averageValue": "1Gi" } } });
    let metrics = json!([present["spec"]["metrics"][0], memory]);
    api.merge(&format!("{new}/web"), &json!({ "spec": { "metrics": metrics } })).await.expect(200);
    let list = api.get(&old).await.expect(200);
    assert_eq!(list["items"][0]["spec"]["targetCPUUtilizationPercentage"], 60);
    let annotation = "autoscaling.alpha.kubernetes.io/metrics";
    assert!(list["items"][0]["metadata"]["annotations"][annotation].as_str().unwrap().contains("memory"));
    let mut events = api.watch(&format!("{old}?watch=1&resourceVersion=0")).await;
    assert_eq!(events.next().await.unwrap()["object"]["spec"]["targetCPUUtilizationPercentage"], 60);
    let changed = api.merge(&format!("{old}/web"), &json!({ "spec": { "maxReplicas": 5 } })).await.expect(200);
    assert_eq!(changed["apiVersion"], "autoscaling/v1");
    let present = api.get(&format!("{new}/web")).await.expect(200);
    assert_eq!((&present["spec"]["maxReplicas"], &present["spec"]["metrics"]), (&json!(5), &metrics));
    api.delete(&format!("{new}/web")).await.expect(200);
    api.get(&format!("{old}/web")).await.expect(404);
}

/// Old names of kinds, each with a default: group and version, resource and kind, where the default is and what.
fn old_manifests() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    vec![
        ("extensions/v1beta1", "DaemonSet", "/spec/updateStrategy/type", json!("OnDelete")),
        ("extensions/v1beta1", "Ingress", "/spec/defaultBackend/service/port/number", json!(80)),
        ("extensions/v1beta1", "ReplicaSet", "/metadata/labels/app", json!("web")),
        ("apps/v1beta1", "Deployment", "/spec/revisionHistoryLimit", json!(2)),
        ("apps/v1beta1", "StatefulSet", "/spec/updateStrategy/type", json!("OnDelete")),
        ("apps/v1beta2", "DaemonSet", "/spec/updateStrategy/type", json!("RollingUpdate")),
        ("apps/v1beta2", "Deployment", "/spec/revisionHistoryLimit", json!(10)),
        ("apps/v1beta2", "ReplicaSet", "/spec/replicas", json!(1)),
        ("apps/v1beta2", "StatefulSet", "/spec/updateStrategy/type", json!("RollingUpdate")),
        ("batch/v1beta1", "CronJob", "/spec/failedJobsHistoryLimit", json!(1)),
    ]
}

/// The least that a manifest of that time had to say.
fn old_spec(api_version: &str, kind: &str) -> Value {
    match (api_version, kind) {
        (_, "Ingress") => json!({ "backend": { "serviceName": "web", "servicePort": 80 } }),
        ("batch/v1beta1", _) => {
            json!({ "schedule": "@daily", "jobTemplate": { "spec": { "template": { "spec": pod("Never") } } } })
        }
        ("apps/v1beta2", _) => set(),
        _ => json!({ "template": set()["template"] }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_manifests_apply_with_their_old_defaults_and_a_warning() {
    let api = Fixture::start().await;
    for (api_version, kind, pointer, want) in old_manifests() {
        let spec = old_spec(api_version, kind);
        let (plural, group) = match kind {
            "Ingress" => ("ingresses".to_owned(), "networking.k8s.io"),
            "CronJob" => ("cronjobs".to_owned(), "batch"),
            _ => (format!("{}s", kind.to_lowercase()), "apps"),
        };
        let path = format!("/apis/{api_version}/namespaces/default/{plural}");
        let body = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "web" }, "spec": spec });
        let made = api.send(Method::POST, &path, "application/json", body).await;
        let warning = format!("{api_version} {kind} is deprecated");
        assert!(made.warnings.iter().any(|text| text.contains(&warning)), "{:?}", made.warnings);
        assert_eq!(made.expect(201)["apiVersion"], api_version);
        let present = format!("/apis/{group}/v1/namespaces/default/{plural}/web");
        let seen = api.get(&present).await;
        assert!(seen.warnings.is_empty(), "{:?}", seen.warnings);
        assert_eq!(seen.expect(200).pointer(pointer), Some(&want), "{api_version} {kind}");
        api.delete(&present).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disruption_budget_is_spent_once() {
    let api = Fixture::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({ "metadata": { "name": "web" }, "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "web" } } } });
    api.post("/api/v1/namespaces/default/serviceaccounts", &json!({ "metadata": { "name": "default" } })).await;
    for name in ["web-0", "web-1"] {
        let mut spec = pod("Always");
        spec["nodeName"] = "somewhere".into();
        let pod = json!({ "metadata": { "name": name, "labels": { "app": "web" } }, "spec": spec });
        api.post(pods, &pod).await.expect(201);
        let running =
            json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
        api.merge(&format!("{pods}/{name}/status"), &running).await.expect(200);
    }
    api.post(budgets, &budget).await.expect(201);
    let evict = async |name: &str| {
        let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
        api.post(&format!("{pods}/{name}/eviction"), &eviction).await
    };
    let unseen = evict("web-0").await.expect(429);
    assert_eq!(unseen["details"]["retryAfterSeconds"], 10);
    let status = json!({ "status": { "observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2 } });
    api.merge(&format!("{budgets}/web/status"), &status).await.expect(200);
    evict("web-0").await.expect(201);
    // The node ends the pod; until then it says why it goes.
    let going = api.get(&format!("{pods}/web-0")).await.expect(200);
    assert!(going["metadata"]["deletionTimestamp"].is_string(), "{going}");
    assert_eq!(going["status"]["conditions"][1]["reason"], "EvictionByEvictionAPI");
    let spent = api.get(&format!("{budgets}/web")).await.expect(200);
    assert_eq!(spent["status"]["disruptionsAllowed"], 0);
    assert!(spent["status"]["disruptedPods"]["web-0"].is_string(), "{spent}");
    let refused = evict("web-1").await.expect(429);
    assert_eq!(refused["message"], "Cannot evict pod as it would violate the pod's disruption budget.");
    let cause = &refused["details"]["causes"][0];
    assert_eq!(cause["reason"], "DisruptionBudget");
    assert_eq!(cause["message"], "The disruption budget web needs 1 healthy pods and has 2 currently");
    api.get(&format!("{pods}/web-1")).await.expect(200);
    let mut second = budget;
    second["metadata"]["name"] = "other".into();
    api.post(budgets, &second).await.expect(201);
    let message = evict("web-1").await.refusal(500);
    assert!(message.contains("more than one PodDisruptionBudget"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn components_are_as_healthy_as_the_server_sees_them() {
    let api = Fixture::start().await;
    let answer = api.get("/api/v1/componentstatuses").await;
    assert!(answer.warnings.iter().any(|text| text.contains("deprecated in v1.19+")), "{:?}", answer.warnings);
    let list = answer.expect(200);
    assert_eq!(list["kind"], "ComponentStatusList");
    let names: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]).collect();
    assert_eq!(names, ["controller-manager", "etcd-0", "scheduler"]);
    let shown = table(&api, "/api/v1/componentstatuses").await;
    assert_eq!(shown["rows"][1]["cells"], json!(["etcd-0", "Healthy", "ok", ""]));
    assert_eq!(api.get("/api/v1/componentstatuses/etcd-0").await.expect(200)["conditions"][0]["status"], "True");
    api.get("/api/v1/componentstatuses/none").await.expect(404);
    let refusal = api.post("/api/v1/componentstatuses", &json!({ "metadata": { "name": "x" } })).await;
    assert_eq!(refusal.code, 405);
}
