//! A controller of a user's own, as `kube` has its users write one: a kind by derivation, and a reconciler of it.

use std::{sync::Arc, time::Duration};

use chaos_tests::{Cluster, cluster::PATIENCE};
use futures_util::{StreamExt, future::join};
use k8s_openapi::{
    api::core::v1::ConfigMap, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, CustomResource, CustomResourceExt, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{
        Controller,
        controller::Action,
        events::{Event, EventType, Recorder, Reporter},
        finalizer::{self, finalizer},
        wait::{await_condition, conditions},
        watcher,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use testing::eventually;

use crate::{
    kube_rs::{client, refusal, soon},
    program,
};

const NAME: &str = "greetings.example.com";
const MANAGER: &str = "greeter";

/// What somebody wants to be said.
#[derive(CustomResource, Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "example.com",
    version = "v1",
    kind = "Greeting",
    namespaced,
    shortname = "hi",
    category = "all",
    status = "GreetingStatus",
    selectable = ".spec.language",
    printcolumn(name = "Language", type_ = "string", json_path = ".spec.language"),
    scale(spec_replicas_path = ".spec.times", status_replicas_path = ".status.said")
)]
pub(crate) struct GreetingSpec {
    /// Who is greeted.
    #[schemars(length(min = 1, max = 20))]
    name: String,
    /// How often.
    #[serde(default = "once")]
    #[schemars(range(min = 0, max = 9))]
    times: i32,
    /// In which words.
    #[serde(default)]
    language: Language,
    /// What nobody has to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) enum Language {
    #[default]
    English,
    Deutsch,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub(crate) struct GreetingStatus {
    said: i32,
}

fn once() -> i32 {
    1
}

fn greeting(name: &str, spec: serde_json::Value) -> serde_json::Value {
    json!({ "apiVersion": "example.com/v1", "kind": "Greeting", "metadata": { "name": name }, "spec": spec })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_and_its_controller_are_written_with_kube() {
    let cluster = Cluster::up(program(), &["--masters", "1", "--workers", "0"]);
    let client = client(&cluster).await;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let apply = PatchParams::apply(MANAGER);
    crds.patch(NAME, &apply, &Patch::Apply(Greeting::crd())).await.expect("the definition that kube derived");
    let established = await_condition(crds.clone(), NAME, conditions::is_crd_established());
    soon("an established kind", established).await.expect("a watch");

    let greetings: Api<Greeting> = Api::default_namespaced(client.clone());
    the_schema_holds(&greetings, &client).await;
    the_controller_reconciles(&greetings, &client).await;
    let kubectl = cluster.kubectl("kubectl");
    let table = kubectl.ok("get hi");
    assert!(table.contains("LANGUAGE") && table.contains("Deutsch"), "{table}");
    assert!(kubectl.ok("explain greeting.spec.times").contains("How often."));
    assert!(kubectl.ok("describe greeting world").contains("was said 2 times"));
    crds.delete(NAME, &DeleteParams::default()).await.expect("a deletion");
    // The controller is gone, and what it would have to clean up holds the kind: somebody else has to let go.
    let last = soon(
        "the deletion of the greeting",
        await_condition(greetings.clone(), "world", |found: Option<&Greeting>| {
            found.is_some_and(|greeting| greeting.metadata.deletion_timestamp.is_some())
        }),
    );
    assert_eq!(last.await.expect("a watch").expect("a greeting").finalizers(), ["example.com/greeter"]);
    let release = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    greetings.patch("world", &PatchParams::default(), &release).await.expect("a released greeting");
    eventually(PATIENCE, async || match greetings.list(&ListParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => Err(format!("the kind is still served: {other:?}")),
    })
    .await;
}

async fn the_schema_holds(greetings: &Api<Greeting>, client: &Client) {
    let params = PostParams::default();
    let spec = GreetingSpec { name: "typed".into(), times: 3, language: Language::Deutsch, note: None };
    let made = greetings.create(&params, &Greeting::new("typed", spec)).await;
    assert_eq!(made.expect("a greeting").metadata.generation, Some(1));
    let raw: Api<kube::api::DynamicObject> =
        Api::default_namespaced_with(client.clone(), &kube::api::ApiResource::erase::<Greeting>(&()));
    let post = async |name: &str, spec: serde_json::Value| {
        let draft = serde_json::from_value(greeting(name, spec)).expect("an object");
        raw.create(&PostParams::default(), &draft).await
    };
    let made = post("short", json!({ "name": "short", "unknown": 1 })).await.expect("a greeting");
    assert_eq!(
        made.data["spec"],
        json!({ "name": "short", "times": 1, "language": "English" }),
        "defaulted and pruned"
    );
    for (spec, field) in [
        (json!({}), "spec.name"),
        (json!({ "name": "" }), "spec.name"),
        (json!({ "name": "x", "times": 10 }), "spec.times"),
        (json!({ "name": "x", "language": "Klingon" }), "spec.language"),
    ] {
        let refused = refusal(post("bad", spec).await);
        let fields: Vec<_> =
            refused.details.iter().flat_map(|details| &details.causes).map(|cause| &cause.field).collect();
        assert!(refused.is_invalid() && fields == [field], "{refused:?}");
    }
    let german = greetings.list(&ListParams::default().fields("spec.language=Deutsch")).await.expect("a list");
    assert_eq!(german.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["typed"]);
    let params = PatchParams::default();
    greetings
        .patch_scale("short", &params, &Patch::Merge(json!({ "spec": { "replicas": 4 } })))
        .await
        .expect("a scale");
    let scaled = greetings.get("short").await.expect("a greeting");
    assert_eq!((scaled.spec.times, scaled.metadata.generation), (4, Some(2)));
    // The status is written apart: neither way changes the other's part.
    let both = Patch::Merge(json!({ "spec": { "times": 9 }, "status": { "said": 5 } }));
    let told = greetings.patch_status("short", &params, &both).await.expect("a status");
    assert_eq!((told.spec.times, told.status.map(|status| status.said)), (4, Some(5)));
    let told = greetings.patch("short", &params, &Patch::Merge(json!({ "status": { "said": 6 } }))).await;
    assert_eq!(told.expect("a greeting").status.map(|status| status.said), Some(5));
    for name in ["typed", "short"] {
        greetings.delete(name, &DeleteParams::default()).await.expect("a deletion");
    }
}

/// What the reconciler needs besides its object.
struct Context {
    client: Client,
    recorder: Recorder,
}

/// Keeps a ConfigMap with the words of each greeting, tells how often it was said, and cleans up in the end.
async fn reconcile(greeting: Arc<Greeting>, context: Arc<Context>) -> Result<Action, finalizer::Error<kube::Error>> {
    let namespace = greeting.namespace().unwrap_or_default();
    let greetings: Api<Greeting> = Api::namespaced(context.client.clone(), &namespace);
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    finalizer(&greetings, "example.com/greeter", greeting, async |event| match event {
        finalizer::Event::Apply(greeting) => say(&greeting, &greetings, &maps, &context).await,
        finalizer::Event::Cleanup(greeting) => {
            let note = format!("farewell-{}", greeting.name_any());
            let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": note } });
            maps.patch(&note, &PatchParams::apply(MANAGER), &Patch::Apply(map)).await?;
            Ok(Action::await_change())
        }
    })
    .await
}

async fn say(
    greeting: &Greeting,
    greetings: &Api<Greeting>,
    maps: &Api<ConfigMap>,
    context: &Context,
) -> Result<Action, kube::Error> {
    let name = greeting.name_any();
    let word = if greeting.spec.language == Language::Deutsch { "Hallo" } else { "Hello" };
    let words = format!("{word}, {}!\n", greeting.spec.name).repeat(usize::try_from(greeting.spec.times).unwrap_or(0));
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "ownerReferences": [greeting.controller_owner_ref(&())] },
        "data": { "words": words },
    });
    maps.patch(&name, &PatchParams::apply(MANAGER), &Patch::Apply(map)).await?;
    let said = greeting.spec.times;
    if greeting.status.as_ref().map(|status| status.said) != Some(said) {
        let event = Event {
            type_: EventType::Normal,
            reason: "Said".into(),
            note: Some(format!("It was said {said} times")),
            action: "Saying".into(),
            secondary: None,
        };
        context.recorder.publish(&event, &greeting.object_ref(&())).await?;
        let status = Patch::Merge(json!({ "status": GreetingStatus { said } }));
        greetings.patch_status(&name, &PatchParams::default(), &status).await?;
    }
    Ok(Action::await_change())
}

async fn the_controller_reconciles(greetings: &Api<Greeting>, client: &Client) {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let reporter = Reporter { controller: MANAGER.into(), instance: None };
    let context = Context { client: client.clone(), recorder: Recorder::new(client.clone(), reporter) };
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let controller = Controller::new(greetings.clone(), watcher::Config::default())
        .owns(maps.clone(), watcher::Config::default())
        .graceful_shutdown_on(async { ended.await.unwrap_or_default() })
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(100)), Arc::new(context))
        .for_each(async |_| ());
    let scenario = async {
        let spec = json!({ "name": "World", "times": 2, "language": "Deutsch" });
        let apply = PatchParams::apply("user");
        greetings.patch("world", &apply, &Patch::Apply(greeting("world", spec))).await.expect("a greeting");
        let words = async |wanted: &str| {
            eventually(PATIENCE, async || {
                let map = maps.get_opt("world").await.expect("an answer");
                let words = map.and_then(|map| map.data).and_then(|data| data.get("words").cloned());
                if words.as_deref() == Some(wanted) { Ok(()) } else { Err(format!("{words:?}")) }
            })
            .await;
        };
        words("Hallo, World!\nHallo, World!\n").await;
        maps.delete("world", &DeleteParams::default()).await.expect("a deletion");
        words("Hallo, World!\nHallo, World!\n").await;
        eventually(PATIENCE, async || {
            let status = greetings.get_status("world").await.expect("a status").status;
            if status == Some(GreetingStatus { said: 2 }) { Ok(()) } else { Err(format!("{status:?}")) }
        })
        .await;
        // A second one comes and goes: its deletion waits for the controller, and takes what it owned with it.
        greetings.patch("brief", &apply, &Patch::Apply(greeting("brief", json!({ "name": "B" })))).await.expect("one");
        eventually(PATIENCE, async || maps.get_metadata("brief").await).await;
        let uid = greetings.get("brief").await.expect("a greeting").uid().expect("a uid");
        greetings.delete("brief", &DeleteParams::foreground()).await.expect("a deletion");
        let deleted = await_condition(greetings.clone(), "brief", conditions::is_deleted(&uid));
        soon("the end of the greeting", deleted).await.expect("a watch");
        maps.get("farewell-brief").await.expect("what the finalizer left");
        assert!(maps.get_opt("brief").await.expect("an answer").is_none());
        drop(end);
    };
    soon("the story of a controller", join(controller, scenario)).await;
}
