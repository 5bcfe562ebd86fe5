//! `--runtime-config`: betas that are switched on, and what is switched off.

use serde_json::{Value, json};

use crate::harness::{Fixture, config_map};

const BETA: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Every beta that is off by default: where its objects are, one of them, and where the stable version has them.
fn betas() -> Vec<(&'static str, Value, Option<&'static str>)> {
    let named = |spec: Value| json!({ "metadata": { "name": "one" }, "spec": spec });
    let request = |exactly: Value| json!({ "devices": { "requests": [exactly] } });
    let flat = json!({ "name": "gpu", "deviceClassName": "gpus" });
    let deep = json!({ "name": "gpu", "exactly": { "deviceClassName": "gpus" } });
    let slice = |device: Value| json!({ "driver": "a.b", "nodeName": "n", "pool": { "name": "p", "resourceSliceCount": 1 }, "devices": [device] });
    let policy = json!({
        "matchConstraints": { "resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"],
        }] },
        "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": "[]" } }],
        "reinvocationPolicy": "Never",
    });
    let taint = json!({ "deviceSelector": { "driver": "a.b" }, "taint": { "key": "k", "effect": "NoExecute" } });
    let class = json!({ "metadata": { "name": "one" }, "driverName": "a.b", "parameters": { "iops": "5" } });
    let candidate = json!({ "leaseName": "l", "binaryVersion": "1.37.0", "emulationVersion": "1.37.0", "strategy": "OldestEmulationVersion" });
    let group = json!({ "schedulingPolicy": { "gang": { "minCount": 2 } } });
    let workload = json!({ "podGroupTemplates": [{ "name": "a", "schedulingPolicy": { "basic": {} } }] });
    let migration = json!({ "resource": { "group": "apps", "resource": "deployments" } });
    let binding = json!({ "policyName": "one" });
    let spec = |spec: Value| json!({ "spec": spec });
    vec![
        ("admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies", named(policy), Some("v1")),
        ("admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicybindings", named(binding), Some("v1")),
        ("certificates.k8s.io/v1beta1/clustertrustbundles", named(json!({ "trustBundle": bundle() })), Some("v1")),
        ("coordination.k8s.io/v1beta1/namespaces/default/leasecandidates", named(candidate), None),
        ("resource.k8s.io/v1beta1/deviceclasses", named(json!({})), Some("v1")),
        ("resource.k8s.io/v1beta1/namespaces/default/resourceclaims", named(request(flat.clone())), Some("v1")),
        ("resource.k8s.io/v1beta1/namespaces/default/resourceclaimtemplates", named(spec(request(flat))), Some("v1")),
        ("resource.k8s.io/v1beta1/resourceslices", named(slice(json!({ "name": "d", "basic": {} }))), Some("v1")),
        ("resource.k8s.io/v1beta2/deviceclasses", named(json!({})), Some("v1")),
        ("resource.k8s.io/v1beta2/devicetaintrules", named(taint), Some("v1")),
        ("resource.k8s.io/v1beta2/namespaces/default/resourceclaims", named(request(deep.clone())), Some("v1")),
        ("resource.k8s.io/v1beta2/namespaces/default/resourceclaimtemplates", named(spec(request(deep))), Some("v1")),
        ("resource.k8s.io/v1beta2/resourceslices", named(slice(json!({ "name": "d" }))), Some("v1")),
        ("scheduling.k8s.io/v1beta1/namespaces/default/podgroups", named(group), None),
        ("scheduling.k8s.io/v1beta1/namespaces/default/workloads", named(workload), None),
        ("storage.k8s.io/v1beta1/volumeattributesclasses", class, Some("v1")),
        ("storagemigration.k8s.io/v1beta1/storageversionmigrations", named(migration), Some("v1")),
    ]
}

/// A certificate of an authority.
fn bundle() -> String {
    crate::harness::Authority::new("trusted").pem
}

/// The versions of the groups, and the resources of each, as discovery tells them.
async fn discovered(api: &Fixture) -> Vec<String> {
    let mut found = Vec::new();
    for path in ["/api", "/apis"] {
        let document = api.get_with(path, &[("accept", BETA)]).await.expect(200);
        for group in document["items"].as_array().unwrap() {
            let name = group["metadata"]["name"].as_str().unwrap_or_default();
            for version in group["versions"].as_array().unwrap() {
                for resource in version["resources"].as_array().unwrap() {
                    let (version, resource) = (&version["version"], &resource["resource"]);
                    found.push(format!("{name}/{}/{}", version.as_str().unwrap(), resource.as_str().unwrap()));
                }
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn betas_are_there_when_they_are_switched_on() {
    let (off, on) = (Fixture::start().await, Fixture::serving(&["api/beta=true"]).await);
    let (told_off, told_on) = (discovered(&off).await, discovered(&on).await);
    for (place, object, stable) in betas() {
        let path = format!("/apis/{place}");
        let (version, plural) = place.rsplit_once('/').unwrap();
        let version = version.strip_suffix("/namespaces/default").unwrap_or(version);
        let resource = format!("{version}/{plural}");
        assert!(!told_off.contains(&resource) && told_on.contains(&resource), "{resource}");
        assert_eq!(off.post(&path, &object).await.code, 404, "{place}");
        assert_eq!(off.get(&format!("/openapi/v3/apis/{version}")).await.code, 404, "{version}");
        on.get(&format!("/openapi/v3/apis/{version}")).await.expect(200);

        let made = on.post(&path, &object).await;
        assert_eq!(made.warnings.iter().any(|text| text.contains("is deprecated")), stable.is_some(), "{place}");
        let made = made.expect(201);
        assert_eq!(made["apiVersion"], version, "{place}");
        let same = on.put(&format!("{path}/one"), &made).await.expect(200);
        assert_eq!(same, made, "{place}: an update that changes nothing is one");
        if let Some(stable) = stable {
            let (group, rest) = place.split_once('/').unwrap();
            let (_, rest) = rest.split_once('/').unwrap();
            let present = on.get(&format!("/apis/{group}/{stable}/{rest}/one")).await.expect(200);
            assert_eq!(present["metadata"]["uid"], made["metadata"]["uid"], "{place}");
            assert_eq!(present["apiVersion"], format!("{group}/{stable}"), "{place}");
        }
        on.delete(&format!("{path}/one")).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_the_first_beta_is_one_of_the_present_version() {
    let api = Fixture::serving(&["resource.k8s.io/v1beta1=true"]).await;
    let (beta, stable) = (
        "/apis/resource.k8s.io/v1beta1/namespaces/default/resourceclaims",
        "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims",
    );
    let wish =
        json!({ "devices": { "requests": [{ "name": "gpu", "exactly": { "deviceClassName": "gpus", "count": 2 } }] } });
    api.post(stable, &json!({ "metadata": { "name": "c" }, "spec": wish })).await.expect(201);
    let seen = api.get(&format!("{beta}/c")).await.expect(200);
    let request = json!({ "name": "gpu", "deviceClassName": "gpus", "allocationMode": "ExactCount", "count": 2 });
    assert_eq!(seen["spec"]["devices"]["requests"], json!([request]));
    let mut events = api.watch(&format!("{beta}?watch=1")).await;
    assert_eq!(events.next().await.unwrap()["object"]["spec"]["devices"]["requests"], json!([request]));
    let asked = api.get("/apis/resource.k8s.io/v1beta2").await;
    assert_eq!(asked.code, 404, "the other beta stays off");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_is_nowhere() {
    let api = Fixture::serving(&["batch/v1=false", "apps/v1/daemonsets=false", "api/legacy=false"]).await;
    let told = discovered(&api).await;
    let cases = [
        ("batch/v1/jobs", "/apis/batch/v1/namespaces/default/jobs", 404),
        ("batch/v1beta1/cronjobs", "/apis/batch/v1beta1/namespaces/default/cronjobs", 200),
        ("apps/v1/daemonsets", "/apis/apps/v1/namespaces/default/daemonsets", 404),
        ("apps/v1/deployments", "/apis/apps/v1/namespaces/default/deployments", 200),
        ("/v1/pods", "/api/v1/pods", 404),
    ];
    for (resource, path, code) in cases {
        assert_eq!(api.get(path).await.code.as_u16(), code, "{path}");
        assert_eq!(told.iter().any(|known| known == resource), code == 200, "{resource}");
    }
    assert_eq!(api.get("/apis/batch/v1").await.code, 404);
    let document = api.get("/openapi/v3/apis/apps/v1").await.text();
    assert!(document.contains("/apis/apps/v1/deployments") && !document.contains("/apis/apps/v1/daemonsets"));
    let index = api.get("/openapi/v3").await.expect(200);
    assert!(index["paths"].get("apis/batch/v1").is_none() && index["paths"].get("apis/batch/v1beta1").is_some());
    let services = api.get("/apis/apiregistration.k8s.io/v1/apiservices").await.expect(200);
    let names: Vec<&str> =
        services["items"].as_array().unwrap().iter().filter_map(|one| one["metadata"]["name"].as_str()).collect();
    assert!(!names.contains(&"v1.batch"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_goes_on_with_what_is_switched_off_for_others() {
    let api = Fixture::serving(&["v1/configmaps=false"]).await;
    let path = "/api/v1/namespaces/default/configmaps";
    assert_eq!(api.post(path, &config_map("a", "1")).await.code, 404);
    let term = api.store.leadership().borrow().term;
    api.post_fenced(term, path, &config_map("a", "1")).await.expect(201);
    let source = api.server.local_source("", "v1", "configmaps").unwrap();
    let mut source = std::pin::pin!(source);
    let first = futures_util::StreamExt::next(&mut source).await.unwrap();
    let apiserver::SourceEvent::Reset(objects, _) = first else { panic!("a source begins with all there is") };
    assert!(objects.iter().any(|object| &*object.header().name == "a"));
}
