//! The kinds of the cluster's own groups: created, defaulted, shown, refused with Kubernetes' words; and all of them
//! served.

use http::Method;
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};

use crate::harness::{Authority, Fixture, SOON};
use apiserver::UserInfo;

mod admissionregistration;
mod certificates;
mod flowcontrol;
mod networking;
mod others;
mod resource;
mod storage;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// One kind.
struct Case {
    /// The collection, below `/apis/`.
    path: &'static str,
    /// A good object, as YAML; its name is `one` unless it says otherwise.
    object: &'static str,
    /// What the server fills in: where, and what, as JSON.
    filled: &'static [(&'static str, &'static str)],
    /// The columns of the Table.
    columns: &'static str,
    /// The status, as YAML; or empty if there is none.
    status: &'static str,
    /// A bad object, as YAML, and what is said of it.
    bad: (&'static str, &'static str),
}

/// The kinds, by group.
const CASES: &[&[Case]] = &[
    admissionregistration::CASES,
    certificates::CASES,
    flowcontrol::CASES,
    networking::CASES,
    others::CASES,
    resource::CASES,
    storage::CASES,
];

fn yaml(text: &str) -> Value {
    serde_json::from_slice(&api::yaml::to_json(text).unwrap()).unwrap()
}

fn named(text: &str, name: &str) -> Value {
    let mut object = yaml(text);
    if object["metadata"]["name"].is_null() {
        object["metadata"] = json!({ "name": name });
    }
    object
}

async fn live(api: &Fixture, case: &Case) {
    let collection = format!("/apis/{}", case.path);
    let mut wanted = named(case.object, "one");
    if !case.status.is_empty() {
        wanted["status"] = yaml(case.status);
    }
    let made = api.post(&collection, &wanted).await.expect(201);
    for (place, want) in case.filled {
        let want: Value = serde_json::from_str(want).unwrap();
        assert_eq!(made.pointer(place), Some(&want), "{} {place}", case.path);
    }
    let object = format!("{collection}/{}", made["metadata"]["name"].as_str().unwrap());
    if !case.status.is_empty() {
        let status = yaml(case.status);
        let holds =
            |object: &Value| status.as_object().unwrap().iter().all(|(key, value)| object["status"][key] == *value);
        assert!(!holds(&made), "{}: a status is not created", case.path);
        let mut stated = made.clone();
        stated["status"] = status.clone();
        let stated = api.put(&format!("{object}/status"), &stated).await.expect(200);
        assert!(holds(&stated), "{}: {stated}", case.path);
        let mut emptied = stated.clone();
        emptied["status"] = json!({});
        assert!(
            holds(&api.put(&object, &emptied).await.expect(200)),
            "{}: the object's writers leave the status",
            case.path
        );
    }
    let request = http::Request::get(&collection).header("accept", TABLE).extension(Fixture::admin());
    let table = api.open(request.body(axum::body::Body::empty()).unwrap()).await;
    let table = axum::body::to_bytes(table.into_body(), usize::MAX).await.unwrap();
    let table: Value = serde_json::from_slice(&table).unwrap();
    let columns: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(columns.join(" "), case.columns, "{}", case.path);
    let (bad, message) = case.bad;
    let told = api.post(&collection, &named(bad, "bad")).await.refusal(422);
    assert!(told.contains(message), "{}: {told}", case.path);
    api.delete(&object).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_created_filled_in_shown_and_refused() {
    let api = Fixture::start().await;
    for case in CASES.iter().copied().flatten() {
        live(&api, case).await;
    }
}

/// Every resource that Kubernetes serves by default, with its subresources. One line a version: the path, then the resources, `!` before those of the cluster.
const SERVED: &str = "
/api/v1 bindings !componentstatuses configmaps endpoints events limitranges !namespaces/finalize !namespaces/status !nodes/proxy !nodes/status persistentvolumeclaims/status !persistentvolumes/status pods/attach pods/binding pods/ephemeralcontainers pods/eviction pods/exec pods/log pods/portforward pods/proxy pods/resize pods/status podtemplates replicationcontrollers/scale replicationcontrollers/status resourcequotas/status secrets serviceaccounts/token services/proxy services/status
/apis/admissionregistration.k8s.io/v1 !mutatingadmissionpolicies !mutatingadmissionpolicybindings !mutatingwebhookconfigurations !validatingadmissionpolicies/status !validatingadmissionpolicybindings !validatingwebhookconfigurations
/apis/apiregistration.k8s.io/v1 !apiservices/status
/apis/apiextensions.k8s.io/v1 !customresourcedefinitions/status
/apis/apps/v1 controllerrevisions daemonsets/status deployments/scale deployments/status replicasets/scale replicasets/status statefulsets/scale statefulsets/status
/apis/authentication.k8s.io/v1 !selfsubjectreviews !tokenreviews
/apis/authorization.k8s.io/v1 localsubjectaccessreviews !selfsubjectaccessreviews !selfsubjectrulesreviews !subjectaccessreviews
/apis/autoscaling/v1 horizontalpodautoscalers/status
/apis/autoscaling/v2 horizontalpodautoscalers/status
/apis/batch/v1 cronjobs/status jobs/status
/apis/certificates.k8s.io/v1 !certificatesigningrequests/approval !certificatesigningrequests/status !clustertrustbundles podcertificaterequests/status
/apis/coordination.k8s.io/v1 leases
/apis/discovery.k8s.io/v1 endpointslices
/apis/events.k8s.io/v1 events
/apis/flowcontrol.apiserver.k8s.io/v1 !flowschemas/status !prioritylevelconfigurations/status
/apis/networking.k8s.io/v1 !ingressclasses ingresses/status !ipaddresses networkpolicies !servicecidrs/status
/apis/node.k8s.io/v1 !runtimeclasses
/apis/policy/v1 poddisruptionbudgets/status
/apis/rbac.authorization.k8s.io/v1 !clusterrolebindings !clusterroles rolebindings roles
/apis/resource.k8s.io/v1 !deviceclasses !devicetaintrules/status resourceclaims/status resourceclaimtemplates !resourceslices
/apis/scheduling.k8s.io/v1 !priorityclasses
/apis/storage.k8s.io/v1 !csidrivers !csinodes csistoragecapacities !storageclasses !volumeattachments/status !volumeattributesclasses
/apis/storagemigration.k8s.io/v1 !storageversionmigrations/status
";

#[tokio::test(flavor = "multi_thread")]
async fn every_resource_of_the_list_is_served() {
    let api = Fixture::start().await;
    for line in SERVED.lines().filter(|line| !line.is_empty()) {
        let (path, wanted) = line.split_once(' ').unwrap();
        let list = api.get(path).await.expect(200);
        let served = list["resources"].as_array().unwrap();
        let scope = |name: &str| served.iter().find(|own| own["name"] == *name).map(|own| own["namespaced"] == true);
        for name in wanted.split(' ') {
            let (name, namespaced) = (name.trim_start_matches('!'), !name.starts_with('!'));
            assert_eq!(scope(name), Some(namespaced), "{path} {name}");
            let resource = name.split('/').next().unwrap();
            assert_eq!(scope(resource), Some(namespaced), "{path} {resource}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cluster_begins_with_is_there() {
    let api = Fixture::start().await;
    let there = |path: &'static str, place: &'static str, want: Value| {
        let api = &api;
        async move {
            testing::eventually(SOON, async || {
                let object = api.get(path).await;
                let found = if object.code == 200 { object.json().pointer(place).cloned() } else { None };
                if found.as_ref() == Some(&want) { Ok(()) } else { Err(object.text()) }
            })
            .await;
        }
    };
    for (path, place, want) in [
        ("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical", "/value", json!(2_000_001_000)),
        ("/apis/scheduling.k8s.io/v1/priorityclasses/system-cluster-critical", "/value", json!(2_000_000_000)),
        ("/apis/networking.k8s.io/v1/servicecidrs/kubernetes", "/spec/cidrs/0", json!("10.96.0.0/24")),
        ("/apis/networking.k8s.io/v1/servicecidrs/kubernetes", "/status/conditions/0/status", json!("True")),
        ("/apis/apiregistration.k8s.io/v1/apiservices/v1.", "/status/conditions/0/reason", json!("Local")),
        ("/apis/apiregistration.k8s.io/v1/apiservices/v1.apps", "/spec/groupPriorityMinimum", json!(17800)),
        ("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/catch-all", "/spec/matchingPrecedence", json!(10000)),
        ("/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations/exempt", "/spec/type", json!("Exempt")),
    ] {
        there(path, place, want).await;
    }
    let told = api.delete("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical").await.refusal(403);
    assert_eq!(
        told,
        "priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class and cannot be deleted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_which_requests_are_never_held_up() {
    let api = Fixture::start().await;
    let group = "/apis/flowcontrol.apiserver.k8s.io/v1";
    for (path, change) in [
        ("flowschemas/exempt", json!({ "matchingPrecedence": 2 })),
        ("flowschemas/catch-all", json!({ "matchingPrecedence": 9999 })),
        ("prioritylevelconfigurations/catch-all", json!({ "limited": { "nominalConcurrencyShares": 6 } })),
    ] {
        let path = format!("{group}/{path}");
        testing::eventually(SOON, async || match api.get(&path).await {
            answer if answer.code == 200 => Ok(()),
            answer => Err(answer.text()),
        })
        .await;
        let told = api.merge(&path, &json!({ "spec": change })).await.refusal(422);
        assert!(told.contains("must equal the fixed value"), "{told}");
        api.merge(&path, &json!({ "metadata": { "annotations": { "a": "b" } } })).await.expect(200);
    }
    let lends = json!({ "spec": { "exempt": { "lendablePercent": 50 } } });
    api.merge(&format!("{group}/prioritylevelconfigurations/exempt"), &lends).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_taint_says_since_when() {
    let api = Fixture::start().await;
    let rules = "/apis/resource.k8s.io/v1/devicetaintrules";
    let rule = json!({ "metadata": { "name": "one" }, "spec": { "taint": { "key": "a", "effect": "NoExecute" } } });
    let made = api.post(rules, &rule).await.expect(201);
    let since = made["spec"]["taint"]["timeAdded"].as_str().unwrap();
    assert!(since.parse::<jiff::Timestamp>().is_ok(), "{since}");
    let changed = json!({ "spec": { "taint": { "value": "v" } } });
    let changed = api.merge(&format!("{rules}/one"), &changed).await.expect(200);
    assert_eq!(changed["spec"]["taint"]["timeAdded"], since);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_one_thing_in_two_groups() {
    const OLD: &str = "/api/v1/namespaces/default/events";
    const NEW: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
    let api = Fixture::start().await;
    let event = json!({
        "metadata": { "name": "new" }, "eventTime": "2026-01-01T00:00:00.000001Z", "type": "Normal", "reason": "Made",
        "action": "Make", "note": "done", "reportingController": "test", "reportingInstance": "test-1",
        "regarding": { "kind": "Pod", "namespace": "default", "name": "web" },
    });
    let mut watch = api.watch(&format!("{NEW}?watch=true&fieldSelector=regarding.name=web")).await;
    let made = api.post(NEW, &event).await.expect(201);
    assert_eq!((&made["apiVersion"], &made["note"]), (&json!("events.k8s.io/v1"), &json!("done")));
    let old = api.get(&format!("{OLD}/new")).await.expect(200);
    assert_eq!(
        (&old["apiVersion"], &old["message"], &old["involvedObject"]["name"]),
        (&json!("v1"), &json!("done"), &json!("web"))
    );
    assert_eq!(old["metadata"]["uid"], made["metadata"]["uid"]);
    let told = watch.next().await.unwrap();
    assert_eq!((&told["type"], &told["object"]["note"]), (&json!("ADDED"), &json!("done")));
    // An update that changes nothing is none.
    assert_eq!(
        api.put(&format!("{NEW}/new"), &made).await.expect(200)["metadata"]["resourceVersion"],
        made["metadata"]["resourceVersion"]
    );
    let core = json!({
        "metadata": { "name": "old" }, "type": "Warning", "reason": "Failed", "message": "why", "count": 3,
        "source": { "component": "kubelet" }, "firstTimestamp": "2026-01-01T00:00:00Z",
        "involvedObject": { "kind": "Pod", "namespace": "default", "name": "db" },
    });
    api.post(OLD, &core).await.expect(201);
    let list = api.get(&format!("{NEW}?fieldSelector=regarding.name=db,type=Warning")).await.expect(200);
    let item = &list["items"][0];
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("EventList"), 1));
    assert_eq!(
        (&item["note"], &item["deprecatedCount"], &item["deprecatedSource"]["component"]),
        (&json!("why"), &json!(3), &json!("kubelet"))
    );
    let bare = json!({ "metadata": { "name": "bad" }, "regarding": { "namespace": "default" }, "type": "Normal" });
    let told = api.post(NEW, &bare).await.refusal(422);
    assert_eq!(told, "Event.events.k8s.io \"bad\" is invalid: eventTime: Required value");
}

/// A request for a certificate.
pub(crate) fn signing_request(organization: &str, signer: &str) -> Value {
    use base64::Engine;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let request = base64::engine::general_purpose::STANDARD.encode(pem);
    json!({
        "metadata": { "name": "one" },
        "spec": { "request": request, "signerName": signer, "usages": ["client auth"], "username": "somebody else" },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_asked_for_approved_and_signed_by_whom_it_concerns() {
    const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1";
    const JSON: &str = "application/json";
    let api = Fixture::start().await;
    let role = json!({
        "metadata": { "name": "signers" },
        "rules": [{
            "apiGroups": ["certificates.k8s.io"], "verbs": ["get", "update"],
            "resources": ["certificatesigningrequests/approval", "certificatesigningrequests/status"],
        }],
    });
    api.post(&format!("{ROLES}/clusterroles"), &role).await.expect(201);
    let binding = json!({
        "metadata": { "name": "signers" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "signers" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "clerk" }],
    });
    api.post(&format!("{ROLES}/clusterrolebindings"), &binding).await.expect(201);
    let made = api.post(REQUESTS, &signing_request("team", "example.com/client")).await.expect(201);
    assert_eq!((&made["spec"]["username"], &made["spec"]["groups"][0]), (&json!("admin"), &json!("system:masters")));
    let clerk = || Some(UserInfo::new("clerk", Vec::<String>::new()));
    let mut approved = made.clone();
    approved["status"] = json!({ "conditions": [{ "type": "Approved", "status": "True", "reason": "Fine" }] });
    let approval = format!("{REQUESTS}/one/approval");
    let put = |path: String, body: Value| {
        let api = &api;
        async move { api.send_as(clerk(), Method::PUT, &path, JSON, body).await }
    };
    let told = testing::eventually(SOON, async || {
        let answer = put(approval.clone(), approved.clone()).await;
        let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
        if message.contains("not permitted") { Ok(message) } else { Err(message) }
    })
    .await;
    assert_eq!(
        told,
        "certificatesigningrequests.certificates.k8s.io \"one\" is forbidden: user not permitted to approve requests with signerName \"example.com/client\""
    );
    let mut granted = role.clone();
    granted["rules"].as_array_mut().unwrap().push(json!({
        "apiGroups": ["certificates.k8s.io"], "verbs": ["approve"], "resources": ["signers"], "resourceNames": ["example.com/*"],
    }));
    api.put(&format!("{ROLES}/clusterroles/signers"), &granted).await.expect(200);
    let done = testing::eventually(SOON, async || {
        let answer = put(approval.clone(), approved.clone()).await;
        if answer.code == 200 { Ok(answer.json()) } else { Err(answer.text()) }
    })
    .await;
    assert!(done["status"]["conditions"][0]["lastUpdateTime"].is_string(), "{done}");
    let mut signed = done.clone();
    signed["status"]["certificate"] = json!("QQ==");
    let status = format!("{REQUESTS}/one/status");
    let told = put(status.clone(), signed.clone()).await.expect(422)["message"].to_string();
    assert!(told.contains("must contain at least one CERTIFICATE PEM block"), "{told}");
    signed["status"]["certificate"] = {
        use base64::Engine;
        json!(base64::engine::general_purpose::STANDARD.encode(Authority::new("a").pem))
    };
    assert!(put(status.clone(), signed.clone()).await.refusal(403).contains("not permitted to sign requests with"));
    api.put(&status, &signed).await.expect(200);
    assert!(api.put(&status, &done).await.code == 409 || api.put(&status, &done).await.code == 422);
    let masters = signing_request("system:masters", "kubernetes.io/kube-apiserver-client");
    let told =
        api.post(REQUESTS, &json!({ "metadata": { "name": "two" }, "spec": masters["spec"] })).await.refusal(403);
    assert!(
        told.ends_with("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trust_bundle_holds_authorities() {
    const BUNDLES: &str = "/apis/certificates.k8s.io/v1/clustertrustbundles";
    let api = Fixture::start().await;
    let authority = Authority::new("roots");
    let bundle = |name: &str, pem: &str| json!({ "metadata": { "name": name }, "spec": { "trustBundle": pem } });
    api.post(BUNDLES, &bundle("roots", &authority.pem)).await.expect(201);
    let (leaf, _) = authority.issue("leaf", &[], &[]);
    let told = api.post(BUNDLES, &bundle("leaf", &leaf)).await.refusal(422);
    assert!(
        told.contains("spec.trustBundle: Invalid value: \"<value omitted>\": entry 0 does not have the CA bit set"),
        "{told}"
    );
    let put = api.put(&format!("{BUNDLES}/roots"), &bundle("roots", &authority.pem)).await.refusal(422);
    assert!(put.contains("must be specified for an update"), "{put}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_explain_the_kinds() {
    let api = Fixture::start().await;
    let document = api.get("/openapi/v3/apis/networking.k8s.io/v1").await.expect(200);
    let schemas = &document["components"]["schemas"];
    let class = &schemas["io.k8s.api.networking.v1.IngressSpec"]["properties"]["ingressClassName"];
    assert!(class["description"].as_str().is_some_and(|text| text.contains("IngressClass")), "{class}");
    let document = api.get("/openapi/v3/apis/events.k8s.io/v1").await.expect(200);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(
        schemas.contains_key("io.k8s.api.events.v1.Event") && schemas.contains_key("io.k8s.api.events.v1.EventList")
    );
}
