//! Kinds that users define are served like those that are built in.

use apiserver::UserInfo;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Fixture, SOON};
use crate::kubectl::Cluster;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/crontabs.stable.example.com";
const CRON_TABS: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";
const CRON_TAB: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs/a";
const MERGE: &str = "application/merge-patch+json";

const DEFINITION_TEXT: &str = r#"{
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": { "name": "crontabs.stable.example.com" },
    "spec": {
        "group": "stable.example.com", "scope": "Namespaced",
        "names": { "plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"] },
        "versions": [
            {
                "name": "v1", "served": true, "storage": true,
                "subresources": {
                    "status": {},
                    "scale": { "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector" }
                },
                "selectableFields": [{ "jsonPath": ".spec.image" }],
                "additionalPrinterColumns": [
                    { "name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec", "description": "When it runs." },
                    { "name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas" },
                    { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" }
                ],
                "schema": { "openAPIV3Schema": {
                    "type": "object", "description": "CronTab runs something from time to time.",
                    "properties": {
                        "spec": {
                            "type": "object", "required": ["cronSpec"],
                            "properties": {
                                "cronSpec": { "type": "string", "description": "When it runs, in the form of cron.", "pattern": "^\\S+( \\S+){4}$" },
                                "image": { "type": "string" },
                                "replicas": { "type": "integer", "minimum": 1, "maximum": 10 },
                                "hosts": {
                                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                                    "items": { "type": "object", "required": ["name"], "properties": { "name": { "type": "string" }, "port": { "type": "integer" } } }
                                }
                            }
                        },
                        "status": { "type": "object", "properties": { "replicas": { "type": "integer" }, "selector": { "type": "string" } } }
                    }
                } }
            },
            {
                "name": "v1beta1", "served": true, "storage": false, "deprecated": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } }
            }
        ]
    }
}"#;

fn definition() -> Value {
    serde_json::from_str(DEFINITION_TEXT).unwrap()
}

fn cron_tab(name: &str) -> Value {
    json!({
        "apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": { "name": name },
        "spec": { "cronSpec": "* * * * */5", "image": "one" },
    })
}

fn condition(definition: &Value, ty: &str) -> String {
    let conditions = definition["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == ty);
    found.map_or_else(String::new, |found| {
        format!("{} {}", found["status"].as_str().unwrap_or_default(), found["reason"].as_str().unwrap_or_default())
    })
}

/// Waits until a path is answered with a code.
async fn until(api: &Fixture, path: &str, code: u16) -> Answer {
    testing::eventually(SOON, async || {
        let answer = api.get(path).await;
        if answer.code.as_u16() == code {
            Ok(answer)
        } else {
            Err(format!("{path}: {} {}", answer.code, answer.text()))
        }
    })
    .await
}

async fn defined() -> Fixture {
    let api = Fixture::start().await;
    api.post(DEFINITIONS, &definition()).await.expect(201);
    until(&api, CRON_TABS, 200).await;
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_gets_its_names_and_is_told_in_every_document() {
    let api = defined().await;
    let stored = api.get(DEFINITION).await.expect(200);
    assert_eq!(condition(&stored, "NamesAccepted"), "True NoConflicts");
    assert_eq!(condition(&stored, "Established"), "True InitialNamesAccepted");
    assert_eq!(stored["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(stored["status"]["acceptedNames"]["listKind"], "CronTabList");
    assert_eq!(stored["metadata"]["generation"], 1);

    let group = api.get("/apis/stable.example.com").await.expect(200);
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let resources = api.get("/apis/stable.example.com/v1").await.expect(200);
    let names: Vec<&str> =
        resources["resources"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["crontabs", "crontabs/scale", "crontabs/status"]);
    assert_eq!(resources["resources"][0]["shortNames"], json!(["ct"]));
    let groups = api.get("/apis").await.expect(200);
    assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == "stable.example.com"));

    let index = api.get("/openapi/v3").await.expect(200);
    let url = index["paths"]["apis/stable.example.com/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let document = api.get(&url).await.expect(200);
    let schema = &document["components"]["schemas"]["com.example.stable.v1.CronTab"];
    assert_eq!(schema["description"], "CronTab runs something from time to time.");
    assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "CronTab");
    assert_eq!(schema["properties"]["spec"]["properties"]["hosts"]["x-kubernetes-list-map-keys"], json!(["name"]));
    assert!(
        document["paths"].get("/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}/scale").is_some()
    );
    let old = api.get("/openapi/v2").await.expect(200);
    assert!(old["definitions"].get("com.example.stable.v1beta1.CronTab").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_pruned_defaulted_and_validated() {
    let api = defined().await;
    let mut tab = cron_tab("a");
    tab["spec"]["foo"] = 1.into();
    let strict = api.send(Method::POST, &format!("{CRON_TABS}?fieldValidation=Strict"), "application/json", &tab).await;
    assert_eq!(
        strict.refusal(400),
        "CronTab in version \"v1\" cannot be handled as a CronTab: strict decoding error: unknown field \"spec.foo\""
    );
    let warned = api.post(CRON_TABS, &tab).await;
    assert_eq!(warned.warnings, ["299 - \"unknown field \\\"spec.foo\\\"\""]);
    let stored = warned.expect(201);
    assert!(stored["spec"].get("foo").is_none());
    assert_eq!(stored["metadata"]["generation"], 1);
    tab = cron_tab("b");
    tab["spec"]["replicas"] = 11.into();
    tab["spec"]["cronSpec"] = "x".into();
    let refused = api.post(CRON_TABS, &tab).await.expect(422);
    assert_eq!(refused["reason"], "Invalid");
    let fields: Vec<&str> =
        refused["details"]["causes"].as_array().unwrap().iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["spec.cronSpec", "spec.replicas"]);
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with("CronTab.stable.example.com \"b\" is invalid: [spec.cronSpec: Invalid value: \"x\": spec.cronSpec in body should match"), "{message}");

    // A default that comes later is promised to what was written before.
    let mut definition = api.get(DEFINITION).await.expect(200);
    let spec = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    spec["properties"]["replicas"]["default"] = 3.into();
    api.put(DEFINITION, &definition).await.expect(200);
    testing::eventually(SOON, async || {
        let tab = api.get(CRON_TAB).await.expect(200);
        if tab["spec"]["replicas"] == 3 { Ok(()) } else { Err(tab.to_string()) }
    })
    .await;
    let list = api.get(CRON_TABS).await.expect(200);
    assert_eq!((list["kind"].as_str(), list["items"][0]["kind"].as_str()), (Some("CronTabList"), Some("CronTab")));
    assert_eq!(list["items"][0]["spec"]["replicas"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_scale_are_parts_of_their_own() {
    let api = defined().await;
    let mut tab = cron_tab("a");
    tab["status"] = json!({ "replicas": 7 });
    assert!(api.post(CRON_TABS, &tab).await.expect(201).get("status").is_none());
    let status = json!({ "metadata": { "labels": { "x": "y" } }, "spec": { "image": "two" }, "status": { "replicas": 2, "selector": "a=b" } });
    let written = api.merge(&format!("{CRON_TAB}/status"), &status).await.expect(200);
    assert_eq!((&written["spec"]["image"], &written["status"]["replicas"]), (&json!("one"), &json!(2)));
    assert!(written["metadata"].get("labels").is_none());
    assert_eq!(written["metadata"]["generation"], 1);
    let written =
        api.merge(CRON_TAB, &json!({ "spec": { "image": "two" }, "status": { "replicas": 9 } })).await.expect(200);
    assert_eq!((&written["metadata"]["generation"], &written["status"]["replicas"]), (&json!(2), &json!(2)));

    let scale = api.merge(&format!("{CRON_TAB}/scale"), &json!({ "spec": { "replicas": 4 } })).await.expect(200);
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(4)));
    assert_eq!(scale["status"], json!({ "replicas": 2, "selector": "a=b" }));
    assert_eq!(api.get(CRON_TAB).await.expect(200)["spec"]["replicas"], 4);
    let no_revision = api.put(CRON_TAB, &cron_tab("a")).await.refusal(422);
    assert!(
        no_revision.contains("metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"),
        "{no_revision}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_versions_show_the_same_object() {
    let api = defined().await;
    api.post(CRON_TABS, &cron_tab("a")).await.expect(201);
    let old = CRON_TAB.replace("/v1/", "/v1beta1/");
    let answer = api.get(&old).await;
    assert_eq!(answer.warnings, ["299 - \"stable.example.com/v1beta1 CronTab is deprecated\""]);
    let mut tab = answer.expect(200);
    assert_eq!((&tab["apiVersion"], &tab["spec"]["image"]), (&json!("stable.example.com/v1beta1"), &json!("one")));
    // The older version keeps what it does not name; the newer one does not show it.
    tab["extra"] = json!({ "a": [1, null] });
    tab["spec"]["image"] = "two".into();
    let written = api.put(&old, &tab).await.expect(200);
    assert_eq!(written["extra"], json!({ "a": [1, null] }));
    let present = api.get(CRON_TAB).await.expect(200);
    assert_eq!((&present["apiVersion"], &present["spec"]["image"]), (&json!("stable.example.com/v1"), &json!("two")));
    assert!(present.get("extra").is_none());
    let one = api.get(&format!("{CRON_TABS}?fieldSelector=spec.image%3Dtwo")).await.expect(200);
    assert_eq!(one["items"].as_array().unwrap().len(), 1);
    let none = api.get(&format!("{CRON_TABS}?fieldSelector=spec.image%3Done")).await.expect(200);
    assert_eq!(none["items"].as_array().unwrap().len(), 0);
    let unknown = api.get(&format!("{CRON_TABS}?fieldSelector=spec.cronSpec%3Da")).await.refusal(400);
    assert_eq!(unknown, "field label not supported: spec.cronSpec");
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_and_applies_work_but_for_the_strategic_one() {
    let api = defined().await;
    let apply = |manager: &str, force: bool, body: Value| {
        let path = format!("{CRON_TAB}?fieldManager={manager}&force={force}");
        let api = &api;
        async move { api.send(Method::PATCH, &path, "application/apply-patch+yaml", body).await }
    };
    let mut tab = cron_tab("a");
    tab["spec"]["hosts"] = json!([{ "name": "h", "port": 1 }]);
    let created = apply("one", false, tab.clone()).await.expect(201);
    assert_eq!(created["metadata"]["managedFields"][0]["operation"], "Apply");
    let same = apply("one", false, tab.clone()).await.expect(200);
    assert_eq!(same["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
    tab["spec"] = json!({ "image": "two" });
    let conflict = apply("two", false, tab.clone()).await.refusal(409);
    assert_eq!(conflict, "Apply failed with 1 conflict: conflict with \"one\": .spec.image");
    tab["spec"]["hosts"] = json!([{ "name": "i" }]);
    let forced = apply("two", true, tab).await.expect(200);
    assert_eq!(forced["spec"]["hosts"], json!([{ "name": "h", "port": 1 }, { "name": "i" }]));

    let json_patch = r#"[{"op":"test","path":"/spec/image","value":"two"},{"op":"remove","path":"/spec/hosts/0"}]"#;
    let patched = api.send(Method::PATCH, CRON_TAB, "application/json-patch+json", json_patch).await.expect(200);
    assert_eq!(patched["spec"]["hosts"], json!([{ "name": "i" }]));
    let strategic = api.send(Method::PATCH, CRON_TAB, "application/strategic-merge-patch+json", "{}").await;
    assert_eq!(
        strategic.refusal(415),
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    );
    let wrong = api.send(Method::PATCH, CRON_TAB, MERGE, r#"{"spec":{"replicas":"many"}}"#).await.expect(422);
    assert_eq!(wrong["details"]["causes"][0]["reason"], "FieldValueTypeInvalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_tell_of_objects_and_end_with_their_definition() {
    let api = defined().await;
    api.post(CRON_TABS, &cron_tab("a")).await.expect(201);
    let options = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut events = api.watch(&format!("{CRON_TABS}?{options}")).await;
    assert!(events.summary().await.starts_with("ADDED a"));
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(bookmark["object"]["kind"], "CronTab");
    let mut old = api.watch(&format!("{}?watch=1", CRON_TABS.replace("/v1/", "/v1beta1/"))).await;
    assert_eq!(old.next().await.unwrap()["object"]["apiVersion"], "stable.example.com/v1beta1");
    api.merge(CRON_TAB, &json!({ "spec": { "image": "two" } })).await.expect(200);
    assert_eq!(events.next().await.unwrap()["object"]["spec"]["image"], "two");
    assert_eq!(old.next().await.unwrap()["type"], "MODIFIED");
    api.delete(DEFINITION).await.expect(200);
    while let Some(event) = events.next().await {
        assert!(event["type"] == "DELETED" || event["type"] == "MODIFIED", "{event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_not_given_twice() {
    let api = defined().await;
    let mut second = definition();
    second["metadata"]["name"] = "tables.stable.example.com".into();
    second["spec"]["names"] = json!({ "plural": "tables", "kind": "Table", "shortNames": ["ct"] });
    api.post(DEFINITIONS, &second).await.expect(201);
    let path = format!("{DEFINITIONS}/tables.stable.example.com");
    testing::eventually(SOON, async || {
        let stored = api.get(&path).await.expect(200);
        let found = (condition(&stored, "NamesAccepted"), condition(&stored, "Established"));
        let want = ("False ShortNamesConflict".to_owned(), "False NotAccepted".to_owned());
        if found == want { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    assert_eq!(api.get("/apis/stable.example.com/v1/tables").await.code, StatusCode::NOT_FOUND);
    api.delete(DEFINITION).await.expect(200);
    until(&api, "/apis/stable.example.com/v1/tables", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_want_a_name_at_once_one_gets_it() {
    let api = Fixture::start().await;
    let names: Vec<String> = (0..6).map(|n| format!("tabs{n}")).collect();
    let definitions = names.iter().map(|plural| {
        let mut definition = definition();
        definition["metadata"]["name"] = format!("{plural}.stable.example.com").into();
        definition["spec"]["names"] = json!({ "plural": plural, "singular": plural, "kind": "Tab" });
        definition
    });
    let sent = definitions.map(|definition| {
        let api = &api;
        async move { api.post(DEFINITIONS, &definition).await.expect(201) }
    });
    futures_util::future::join_all(sent).await;
    testing::eventually(SOON, async || {
        let list = api.get(DEFINITIONS).await.expect(200);
        let found: Vec<String> =
            list["items"].as_array().unwrap().iter().map(|definition| condition(definition, "NamesAccepted")).collect();
        let count = |want: &str| found.iter().filter(|found| *found == want).count();
        if (count("True NoConflicts"), count("False KindConflict")) == (1, 5) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_go_before_their_definition() {
    let api = defined().await;
    let mut held = cron_tab("a");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post(CRON_TABS, &held).await.expect(201);
    api.post(CRON_TABS, &cron_tab("b")).await.expect(201);
    let going = api.delete(DEFINITION).await.expect(200);
    assert_eq!(going["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    until(&api, &format!("{CRON_TABS}/b"), 404).await;
    let waiting = api.get(DEFINITION).await.expect(200);
    assert_eq!(condition(&waiting, "Terminating"), "True InstanceDeletionInProgress");
    assert_eq!(api.post(CRON_TABS, &cron_tab("c")).await.code, StatusCode::METHOD_NOT_ALLOWED);
    assert!(api.get(CRON_TAB).await.expect(200)["metadata"]["deletionTimestamp"].is_string());
    api.merge(CRON_TAB, &json!({ "metadata": { "finalizers": null } })).await;
    until(&api, DEFINITION, 404).await;
    until(&api, CRON_TABS, 404).await;
    assert!(!api.get("/apis").await.text().contains("stable.example.com"));
    // The same name again is another definition, and has no objects.
    api.post(DEFINITIONS, &definition()).await.expect(201);
    let list = until(&api, CRON_TABS, 200).await.expect(200);
    assert_eq!(list["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_name_custom_resources_by_plural_and_group() {
    let api = defined().await;
    let eve = || Some(UserInfo::new("eve", ["system:authenticated"]));
    let get = async || api.send_as(eve(), Method::GET, CRON_TABS, "application/json", "").await;
    assert!(get().await.refusal(403).contains("cannot list resource \"crontabs\" in API group \"stable.example.com\""));
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({ "metadata": { "name": "r" }, "rules": [{ "apiGroups": ["stable.example.com"], "resources": ["crontabs"], "verbs": ["list"] }] });
    api.post(&format!("{rbac}/roles"), &role).await.expect(201);
    let binding = json!({
        "metadata": { "name": "b" }, "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve" }],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r" },
    });
    api.post(&format!("{rbac}/rolebindings"), &binding).await.expect(201);
    testing::eventually(SOON, async || {
        let answer = get().await;
        if answer.code == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_is_refused_with_its_mistakes_and_warned_of_rules() {
    let api = Fixture::start().await;
    let mut bad = definition();
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["type"] = "".into();
    bad["spec"]["conversion"] = json!({ "strategy": "Webhook" });
    let message = api.post(DEFINITIONS, &bad).await.refusal(422);
    for part in [
        "CustomResourceDefinition.apiextensions.k8s.io \"crontabs.stable.example.com\" is invalid: [",
        "spec.conversion.strategy: Invalid value: \"Webhook\": conversion webhooks are not supported yet",
        "spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let mut with_rules = definition();
    let schema = &mut with_rules["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["x-kubernetes-validations"] = json!([{ "rule": "self.spec.replicas > 0" }]);
    let accepted = api.post(DEFINITIONS, &with_rules).await;
    assert!(accepted.warnings[0].contains("its rules are not evaluated yet"), "{:?}", accepted.warnings);
    let stored = accepted.expect(201);
    let kept = &stored["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"];
    assert_eq!(kept[0]["rule"], "self.spec.replicas > 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_made_at_one_server_is_served_by_another() {
    let api = Fixture::start().await;
    let other = api.another().await;
    api.post(DEFINITIONS, &definition()).await.expect(201);
    until(&other, CRON_TABS, 200).await;
    until(&other, "/apis/stable.example.com/v1beta1", 200).await;
    let document = other.get("/openapi/v3").await.text();
    assert!(document.contains("apis/stable.example.com/v1"));
    other.post(CRON_TABS, &cron_tab("a")).await.expect(201);
    api.get(CRON_TAB).await.expect(200);
    api.delete(DEFINITION).await.expect(200);
    until(&other, CRON_TABS, 404).await;
}

const MANIFEST: &str = "
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: one}
spec: {cronSpec: '* * * * */5', image: first, replicas: 2}
";

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_works_with_custom_resources() {
    let cluster = Cluster::start().await;
    let created = cluster.run(&definition().to_string(), "create -f -").await.unwrap();
    assert!(
        created.contains("customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com created"),
        "{created}"
    );
    cluster.ok("wait --for=condition=Established crd/crontabs.stable.example.com --timeout=20s").await;
    assert!(cluster.ok("get crd").await.contains("CREATED AT"));
    let created = cluster.run(MANIFEST, "create -f -").await.unwrap();
    assert!(created.contains("crontab.stable.example.com/one created"), "{created}");
    let table = cluster.ok("get ct").await;
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["NAME", "SPEC", "REPLICAS", "AGE"]);
    assert_eq!(words[1][..7], ["one", "*", "*", "*", "*", "*/5", "2"]);
    assert!(cluster.ok("explain crontab.spec.cronSpec").await.contains("When it runs, in the form of cron."));
    assert!(cluster.ok("describe crontab one").await.contains("Cron Spec:"));
    assert!(cluster.ok("api-resources").await.contains("crontabs"));

    let applied = cluster.run(&MANIFEST.replace("first", "second"), "apply -f -").await.unwrap();
    assert!(applied.contains("crontab.stable.example.com/one configured"), "{applied}");
    let again = cluster.run(&MANIFEST.replace("first", "second"), "apply -f -").await.unwrap();
    assert!(again.contains("crontab.stable.example.com/one unchanged"), "{again}");
    let taken = cluster
        .run(&MANIFEST.replace("first", "third"), "apply --server-side --field-manager=me -f -")
        .await
        .unwrap_err();
    assert!(taken.contains("Apply failed with 1 conflict"), "{taken}");
    cluster.run(&MANIFEST.replace("first", "third"), "apply --server-side --force-conflicts -f -").await.unwrap();
    cluster.ok("scale crontab one --replicas=5").await;
    assert_eq!(cluster.ok("get ct one -o jsonpath={.spec.replicas}{.spec.image}").await, "5third");
    let strict = cluster.run(&MANIFEST.replace("image: first", "imag: first"), "apply -f -").await.unwrap_err();
    assert!(strict.contains("unknown field \"spec.imag\""), "{strict}");
    assert!(cluster.ok("get all").await.contains("crontab.stable.example.com/one"));
    cluster.ok("delete crontab one").await;
    cluster.ok("delete crd crontabs.stable.example.com").await;
    let gone = cluster.run("", "get crontabs").await.unwrap_err();
    assert!(gone.contains("crontabs") && !gone.contains("No resources found"), "{gone}");
    cluster.shutdown.cancel();
}
