//! A foreign client in Rust: `kube`, typed and dynamic, with the kubeconfig that a user gets.

use std::{collections::BTreeMap, future::Future};

use chaos_tests::{Cluster, cluster::PATIENCE};
use futures_util::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::{
    apps::v1::Deployment,
    authentication::v1::TokenRequest,
    authorization::v1::SelfSubjectAccessReview,
    core::v1::{ConfigMap, Node, Pod, ServiceAccount},
};
use kube::{
    Api, Client, Config, Discovery, Error, ResourceExt,
    api::{
        AttachParams, DeleteParams, DynamicObject, EvictParams, GetParams, ListParams, LogParams, Patch, PatchParams,
        PostParams, Preconditions,
    },
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
    core::{GroupVersionKind, PartialObjectMeta, Status},
    discovery::{Scope, verbs},
    runtime::{
        WatchStreamExt, predicates, reflector,
        wait::{await_condition, conditions},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testing::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::streaming;

/// The client of the written kubeconfig: its credential plug-in, its proxy, its authority.
pub(crate) async fn client(cluster: &Cluster) -> Client {
    Client::try_from(config(cluster).await).expect("a client")
}

/// The same, straight to one master, and asking once: what is refused is not tried again.
pub(crate) async fn client_of(cluster: &Cluster, master: &str) -> Client {
    let options = KubeConfigOptions { context: Some(format!("kontiki-{master}")), ..KubeConfigOptions::default() };
    let mut config = config_with(cluster, &options).await;
    config.default_retry = false;
    Client::try_from(config).expect("a client")
}

async fn config(cluster: &Cluster) -> Config {
    config_with(cluster, &KubeConfigOptions::default()).await
}

async fn config_with(cluster: &Cluster, options: &KubeConfigOptions) -> Config {
    let written = Kubeconfig::read_from(cluster.dir().join("kubeconfig")).expect("kube reads the kubeconfig");
    Config::from_custom_kubeconfig(written, options).await.expect("kube takes the kubeconfig")
}

/// An object of a type, from its JSON.
pub(crate) fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("the object has its type")
}

/// The Status of a refused call.
pub(crate) fn refusal<T: std::fmt::Debug>(result: kube::Result<T>) -> Status {
    match result {
        Err(Error::Api(status)) => *status,
        other => panic!("expected a Status: {other:?}"),
    }
}

/// What a future gives, if it does in time.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    object(json!({ "metadata": { "name": name, "labels": { "value": value } }, "data": { "a": value } }))
}

fn value_of(map: &ConfigMap) -> &str {
    map.data.as_ref().and_then(|data| data.get("a")).map_or("", String::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_is_served_like_kubectl() {
    let (cluster, kubectl) = streaming::cluster(&["--masters", "1", "--workers", "1"]);
    let client = client(&cluster).await;
    assert!(client.apiserver_version().await.expect("a version").git_version.starts_with("v1.37."));
    kubectl.ok("create namespace kube-rs");
    reads_and_writes(Api::namespaced(client.clone(), "kube-rs")).await;
    refusals_are_status_objects(Api::namespaced(client.clone(), "kube-rs")).await;
    pages_and_selects(Api::namespaced(client.clone(), "kube-rs")).await;
    owns_fields(Api::namespaced(client.clone(), "kube-rs")).await;
    discovers(&client).await;
    watches(&client).await;
    uses_subresources(&client).await;
    talks_to_pods(&client).await;
    acts_as_a_service_account(&cluster, &client).await;
}

async fn reads_and_writes(maps: Api<ConfigMap>) {
    let create = PostParams { field_manager: Some("kube-test".into()), ..PostParams::default() };
    let dry = PostParams { dry_run: true, ..create.clone() };
    maps.create(&dry, &config_map("one", "1")).await.expect("a dry run");
    assert!(maps.get_opt("one").await.expect("an answer").is_none(), "a dry run writes nothing");
    let made = maps.create(&create, &config_map("one", "1")).await.expect("a ConfigMap");
    assert!(made.uid().is_some() && made.managed_fields()[0].manager.as_deref() == Some("kube-test"));

    let mut changed = made.clone();
    changed.data = Some(BTreeMap::from([("a".into(), "2".into())]));
    let replaced = maps.replace("one", &create, &changed).await.expect("a replaced ConfigMap");
    assert!(value_of(&replaced) == "2" && replaced.resource_version() != made.resource_version());
    let stale = refusal(maps.replace("one", &create, &changed).await);
    assert!(stale.is_conflict() && stale.message.contains("the object has been modified"), "{stale:?}");

    let params = PatchParams::default();
    let merged = maps.patch("one", &params, &Patch::Merge(json!({ "data": { "a": null, "b": "3" } }))).await;
    assert_eq!(merged.expect("a merged ConfigMap").data, Some(BTreeMap::from([("b".into(), "3".into())])));
    let strategic = Patch::Strategic(json!({ "metadata": { "labels": { "more": "yes" } } }));
    assert_eq!(maps.patch("one", &params, &strategic).await.expect("a patched ConfigMap").labels()["more"], "yes");
    let steps = json!([{ "op": "test", "path": "/data/b", "value": "3" }, { "op": "move", "from": "/data/b", "path": "/data/a" }]);
    let stepped = maps.patch("one", &params, &Patch::Json::<()>(object(steps.clone()))).await;
    assert_eq!(value_of(&stepped.expect("a patched ConfigMap")), "3");
    assert!(refusal(maps.patch("one", &params, &Patch::Json::<()>(object(steps))).await).is_invalid());

    let mut entry = maps.entry("two").await.expect("an entry").or_insert(|| config_map("two", "1"));
    entry.commit(&create).await.expect("a committed entry");
    entry.get_mut().data = Some(BTreeMap::from([("a".into(), "4".into())]));
    entry.commit(&create).await.expect("an entry committed again");
    assert_eq!(value_of(&maps.get_with("two", &GetParams::any()).await.expect("a ConfigMap")), "4");
    assert_eq!(maps.get_metadata("two").await.expect("its metadata").name_any(), "two");

    let wrong = Preconditions { uid: Some("another".into()), resource_version: None };
    let refused = refusal(maps.delete("two", &DeleteParams::default().preconditions(wrong)).await);
    assert!(refused.is_conflict(), "{refused:?}");
    let right = Preconditions { uid: made.uid(), resource_version: None };
    let deleted = maps.delete("one", &DeleteParams::background().preconditions(right)).await.expect("a deletion");
    assert!(deleted.right().expect("a Status").is_success());
    let gone = maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("value=1")).await;
    gone.expect("a deletion of many");
    assert!(maps.get_opt("two").await.expect("an answer").is_none());
}

async fn refusals_are_status_objects(maps: Api<ConfigMap>) {
    let params = PostParams::default();
    let absent = refusal(maps.get("absent").await);
    assert!(absent.is_not_found() && absent.code == 404 && absent.message == "configmaps \"absent\" not found");
    let details = absent.details.expect("details");
    assert_eq!((details.name.as_str(), details.kind.as_str()), ("absent", "configmaps"));
    maps.create(&params, &config_map("taken", "1")).await.expect("a ConfigMap");
    assert!(refusal(maps.create(&params, &config_map("taken", "1")).await).is_already_exists());
    let invalid = refusal(maps.create(&params, &config_map("Not_A_Name", "1")).await);
    assert!(invalid.is_invalid() && invalid.code == 422, "{invalid:?}");
    let causes = invalid.details.expect("details").causes;
    assert_eq!((causes[0].reason.as_str(), causes[0].field.as_str()), ("FieldValueInvalid", "metadata.name"));
    let unknown = Patch::Merge(json!({ "unknown": 1 }));
    let strict = refusal(maps.patch("taken", &PatchParams::default().validation_strict(), &unknown).await);
    assert!(strict.message.contains("unknown field \"unknown\""), "{strict:?}");
    maps.patch("taken", &PatchParams::default().validation_ignore(), &unknown).await.expect("an ignored field");
    maps.delete("taken", &DeleteParams::default()).await.expect("a deletion");
}

async fn pages_and_selects(maps: Api<ConfigMap>) {
    for number in 0..7 {
        let value = if number % 2 == 0 { "even" } else { "odd" };
        let map = config_map(&format!("page-{number}"), value);
        maps.create(&PostParams::default(), &map).await.expect("a ConfigMap");
    }
    let ours = ListParams::default().labels("value in (even, odd)").limit(3);
    let (mut names, mut token, mut left) = (Vec::new(), None::<String>, Vec::new());
    loop {
        let params = token.as_ref().map_or_else(|| ours.clone(), |token| ours.clone().continue_token(token));
        let page = maps.list(&params).await.expect("a page");
        left.push(page.metadata.remaining_item_count);
        token = page.metadata.continue_.clone().filter(|token| !token.is_empty());
        names.extend(page.items.iter().map(ResourceExt::name_any));
        if token.is_none() {
            break;
        }
    }
    assert_eq!(names, (0..7).map(|number| format!("page-{number}")).collect::<Vec<_>>());
    assert_eq!(left, [None; 3], "a list by labels does not count what is left");
    let even = maps.list_metadata(&ListParams::default().labels("value=even")).await.expect("a list of metadata");
    assert_eq!(even.items.len(), 4);
    let one = maps.list(&ListParams::default().fields("metadata.name=page-3")).await.expect("a list");
    assert_eq!(one.items.iter().map(value_of).collect::<Vec<_>>(), ["odd"]);
    let refused = refusal(maps.list(&ListParams::default().fields("data.a=odd")).await);
    assert_eq!((refused.code, refused.message.as_str()), (400, "field label not supported: data.a"));
}

async fn owns_fields(maps: Api<ConfigMap>) {
    let applied = |value: &str| {
        Patch::Apply(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "owned" }, "data": { "a": value },
        }))
    };
    let first = PatchParams::apply("first");
    maps.patch("owned", &first, &applied("1")).await.expect("an applied ConfigMap");
    let conflict = refusal(maps.patch("owned", &PatchParams::apply("second"), &applied("2")).await);
    assert!(conflict.is_conflict(), "{conflict:?}");
    let cause = &conflict.details.expect("details").causes[0];
    assert_eq!((cause.reason.as_str(), cause.field.as_str()), ("FieldManagerConflict", ".data.a"));
    let taken = maps.patch("owned", &PatchParams::apply("second").force(), &applied("2")).await.expect("by force");
    assert_eq!(value_of(&taken), "2");
    let owners: Vec<_> = taken.managed_fields().iter().filter_map(|entry| entry.manager.clone()).collect();
    assert_eq!(owners, ["second"], "who owns nothing any more is no longer named");
    let empty = Patch::Apply(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "owned" } }));
    let left = maps.patch("owned", &PatchParams::apply("second"), &empty).await.expect("an applied ConfigMap");
    assert_eq!(value_of(&left), "", "what its only owner no longer applies is gone");
}

async fn discovers(client: &Client) {
    let plain = Discovery::new(client.clone()).run().await.expect("discovery");
    let aggregated = Discovery::new(client.clone()).run_aggregated().await.expect("aggregated discovery");
    let kinds = |discovery: &Discovery| -> Vec<String> {
        let groups = discovery.groups_alphabetical().into_iter();
        let resources = groups.flat_map(|group| group.recommended_resources());
        resources.map(|(resource, _)| format!("{}/{}", resource.api_version, resource.plural)).collect()
    };
    assert_eq!(kinds(&plain), kinds(&aggregated), "both forms of discovery say the same");

    let kind = GroupVersionKind::gvk("apps", "v1", "Deployment");
    let (resource, capabilities) = aggregated.resolve_gvk(&kind).expect("Deployments are known");
    assert!(capabilities.scope == Scope::Namespaced && capabilities.supports_operation(verbs::WATCH));
    assert!(capabilities.subresources.iter().any(|(subresource, _)| subresource.plural == "scale"));
    let dynamic: Api<DynamicObject> = Api::namespaced_with(client.clone(), "kube-rs", &resource);
    let draft = DynamicObject::new("dynamic", &resource).within("kube-rs").data(json!({ "spec": {
        "replicas": 0, "selector": { "matchLabels": { "app": "dynamic" } },
        "template": {
            "metadata": { "labels": { "app": "dynamic" } },
            "spec": { "containers": [{ "name": "c", "image": "kontiki.io/demo:1" }] },
        },
    } }));
    let made = dynamic.create(&PostParams::default(), &draft).await.expect("a Deployment");
    assert_eq!(made.types.as_ref().expect("its type").kind, "Deployment");
    assert_eq!(made.data["spec"]["strategy"]["type"], "RollingUpdate", "what the server filled in comes back");
    let typed: Deployment = made.try_parse().expect("the dynamic object is a Deployment");
    assert_eq!(typed.name_any(), "dynamic");
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    assert!(all.list(&ListParams::default()).await.expect("a list").iter().any(|found| found.name_any() == "dynamic"));
}

async fn watches(client: &Client) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "kube-rs");
    let ours = watcher::Config::default().labels("watched=yes");
    for config in [ours.clone(), ours.clone().page_size(1), ours.clone().any_semantic(), ours.streaming_lists()] {
        let name = "watched";
        let draft = |value: &str| {
            object::<ConfigMap>(json!({
                "metadata": { "name": name, "labels": { "watched": "yes" } }, "data": { "a": value },
            }))
        };
        maps.create(&PostParams::default(), &draft("1")).await.expect("a ConfigMap");
        let (store, writer) = reflector::store::<ConfigMap>();
        let mut events = reflector(writer, watcher(maps.clone(), config)).default_backoff().boxed();
        let mut next = async || soon("an event", events.try_next()).await.expect("a watch").expect("more events");
        let mut listed = Vec::new();
        loop {
            match next().await {
                watcher::Event::Init => {}
                watcher::Event::InitApply(map) => listed.push(map.name_any()),
                watcher::Event::InitDone => break,
                other => panic!("before the list is over: {other:?}"),
            }
        }
        assert_eq!(listed, [name]);
        maps.patch(name, &PatchParams::default(), &Patch::Merge(json!({ "data": { "a": "2" } })))
            .await
            .expect("a patch");
        let changed = next().await;
        assert!(matches!(&changed, watcher::Event::Apply(map) if value_of(map) == "2"), "{changed:?}");
        assert_eq!(store.state().iter().map(|map| value_of(map)).collect::<Vec<_>>(), ["2"]);
        maps.delete(name, &DeleteParams::default()).await.expect("a deletion");
        let deleted = next().await;
        assert!(matches!(&deleted, watcher::Event::Delete(map) if map.name_any() == name), "{deleted:?}");
        assert!(store.is_empty());
    }
    // The stream of one object, which begins with its absence.
    let waits = await_condition(maps.clone(), "late", conditions::is_created());
    let makes = async { maps.create(&PostParams::default(), &config_map("late", "1")).await };
    let (seen, made) = soon("the object", async { tokio::join!(waits, makes) }).await;
    let uid = made.expect("a ConfigMap").uid().expect("a uid");
    assert_eq!(seen.expect("a watch").expect("an object").uid(), Some(uid.clone()));
    let waits = await_condition(maps.clone(), "late", conditions::is_deleted(&uid));
    let deletes = async { maps.delete("late", &DeleteParams::default()).await };
    let (seen, _) = soon("the end of the object", async { tokio::join!(waits, deletes) }).await;
    assert!(seen.expect("a watch").is_none());
    // A stream of metadata only, with the predicates of the runtime.
    let nodes: Api<PartialObjectMeta<Node>> = Api::all(client.clone());
    let nodes = watcher(nodes, watcher::Config::default());
    let mut nodes = nodes.applied_objects().predicate_filter(predicates::labels, Default::default()).boxed();
    let first = soon("a node", nodes.try_next()).await.expect("a watch").expect("a node");
    assert_eq!(first.labels()["kubernetes.io/hostname"], first.name_any());
}

async fn uses_subresources(client: &Client) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "kube-rs");
    let scale = deployments.get_scale("dynamic").await.expect("a scale");
    assert_eq!(scale.spec.and_then(|spec| spec.replicas), None, "none is not said, as in Kubernetes");
    let params = PatchParams::default();
    let patch = Patch::Merge(json!({ "spec": { "replicas": 1 } }));
    deployments.patch_scale("dynamic", &params, &patch).await.expect("a scaled Deployment");
    let ready =
        |found: Option<&Deployment>| found.and_then(|deployment| deployment.status.as_ref()?.ready_replicas) == Some(1);
    soon("a ready replica", await_condition(deployments.clone(), "dynamic", ready)).await.expect("a watch");
    let complete = await_condition(deployments.clone(), "dynamic", conditions::is_deployment_completed());
    soon("the rollout", complete).await.expect("a watch");
    let status = deployments.get_status("dynamic").await.expect("a status").status.expect("it is there");
    assert_eq!(status.available_replicas, Some(1));
    deployments.restart("dynamic").await.expect("a restart");
    let changed = deployments.get("dynamic").await.expect("a Deployment");
    assert!(changed.metadata.generation > Some(2), "{changed:?}");

    let nodes: Api<Node> = Api::all(client.clone());
    nodes.cordon("w1").await.expect("a cordoned node");
    let cordoned = nodes.get("w1").await.expect("a node").spec.expect("a spec");
    assert_eq!(cordoned.unschedulable, Some(true));
    nodes.uncordon("w1").await.expect("a node");
}

async fn talks_to_pods(client: &Client) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    soon("a running pod", await_condition(pods.clone(), "web", conditions::is_pod_running())).await.expect("a watch");
    let logs = pods.logs("web", &LogParams { tail_lines: Some(1), ..LogParams::default() }).await.expect("logs");
    assert!(logs.contains("listens on port"), "{logs}");
    let followed = LogParams { follow: true, timestamps: true, ..LogParams::default() };
    let mut lines = pods.log_stream("web", &followed).await.expect("logs").lines();
    let line = soon("a line", lines.try_next()).await.expect("a stream").expect("a line");
    assert!(line.starts_with("20") && line.contains("listens on port"), "{line}");

    let mut cat = pods.exec("tools", ["cat"], &AttachParams::default().stdin(true)).await.expect("a program");
    let (mut input, mut output) = (cat.stdin().expect("its input"), cat.stdout().expect("its output"));
    input.write_all(b"there and back").await.expect("it reads");
    input.shutdown().await.expect("its input ends");
    drop(input);
    let mut text = String::new();
    soon("its output", output.read_to_string(&mut text)).await.expect("it writes");
    assert_eq!(text, "there and back");
    let status = soon("its end", cat.take_status().expect("a status")).await.expect("a status");
    assert_eq!(status.status.as_deref(), Some("Success"));
    let mut fails = pods.exec("tools", ["sh", "-c", "exit 3"], &AttachParams::default()).await.expect("a program");
    let status = soon("its end", fails.take_status().expect("a status")).await.expect("a status");
    assert!(status.reason.as_deref() == Some("NonZeroExitCode"), "{status:?}");

    let mut forwards = pods.portforward("web", &[8080]).await.expect("a forwarded port");
    let mut stream = forwards.take_stream(8080).expect("its stream");
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n").await.expect("a request");
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("/hello"), "{answer}");

    let evicted = pods.evict("web", &EvictParams::default()).await.expect("an eviction");
    assert!(evicted.is_success(), "{evicted:?}");
    eventually(PATIENCE, async || match pods.get_opt("web").await.expect("an answer") {
        None => Ok(()),
        Some(pod) => Err(format!("{:?}", pod.status)),
    })
    .await;
}

async fn acts_as_a_service_account(cluster: &Cluster, client: &Client) {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "kube-rs");
    let account = object(json!({ "metadata": { "name": "bot" } }));
    accounts.create(&PostParams::default(), &account).await.expect("a service account");
    let request: TokenRequest =
        object(json!({ "metadata": {}, "spec": { "audiences": [], "expirationSeconds": 600 } }));
    let token = accounts.create_token_request("bot", &PostParams::default(), &request).await.expect("a token");
    let token = token.status.expect("a status").token.unwrap_or_default();

    let mut bot = config(cluster).await;
    bot.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
    let bot = Client::try_from(bot).expect("a client");
    let maps: Api<ConfigMap> = Api::namespaced(bot.clone(), "kube-rs");
    let refused = refusal(maps.list(&ListParams::default()).await);
    let said = "configmaps is forbidden: User \"system:serviceaccount:kube-rs:bot\" cannot list resource \
                \"configmaps\" in API group \"\" in the namespace \"kube-rs\"";
    assert!(refused.is_forbidden() && refused.message == said, "{refused:?}");
    let may = async |client: &Client| {
        let review = object(json!({ "metadata": {}, "spec": { "resourceAttributes": {
            "verb": "list", "resource": "configmaps", "namespace": "kube-rs",
        } } }));
        let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        reviews.create(&PostParams::default(), &review).await.expect("a review").status.expect("a status").allowed
    };
    assert!(may(client).await && !may(&bot).await);
    let kubectl = cluster.kubectl("kubectl");
    kubectl.ok("create rolebinding -n kube-rs bot --clusterrole=view --serviceaccount=kube-rs:bot");
    assert!(may(&bot).await);
    maps.list(&ListParams::default()).await.expect("what is now allowed");
    assert!(refusal(maps.delete("page-1", &DeleteParams::default()).await).is_forbidden());
}
