//! What plans act upon.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use api::surroundings::Surroundings;
use client::source::wire::stored_object;
use client::{Key, Resource, SourceEvent};
use controllers::caches::Caches;
use controllers::caches::resources::{DEPLOYMENTS, PODS, REPLICA_SETS};
use controllers::plan::{Action, Plan};
use controllers::runtime::{Context, Item};
use controllers::{Controller, Settings, deployment, replica_set};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

/// More rounds than any story needs: one that does not come to rest is a bug.
const ROUNDS_MAX: usize = 50;

type Id = (Resource, Key);

pub(crate) struct World {
    caches: Caches,
    objects: BTreeMap<Id, Value>,
    revision: i64,
    now: Timestamp,
}

impl World {
    pub(crate) fn new() -> Self {
        let caches = Caches::new();
        for (_, cache) in caches.all() {
            cache.apply(SourceEvent::Reset(Vec::new(), 1));
        }
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        Self { caches, objects: BTreeMap::new(), revision: 1, now }
    }

    /// Runs a line of a script.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["deployment", name, settings @ ..] => self.deployment(name, settings),
            ["step"] => self.step().0,
            ["settle"] => self.settle(),
            ["kubelet"] => self.kubelet(true),
            ["kubelet", "without-readiness"] => self.kubelet(false),
            ["wait", seconds] => {
                self.now += Duration::from_secs(seconds.parse().unwrap());
                String::new()
            }
            ["show"] => self.show(),
            _ => panic!("no such command: {line}"),
        }
    }

    /// Creates or changes a deployment: `replicas=4 image=a`, `surge=1`, `unavailable=0`, `paused=true`, ...
    fn deployment(&mut self, name: &str, settings: &[&str]) -> String {
        let id = (DEPLOYMENTS, Key::new("default", name));
        let mut spec = json!({});
        for setting in settings {
            let (field, value) = setting.split_once('=').unwrap();
            let parsed: Value = serde_json::from_str(value).unwrap_or(value.into());
            match field {
                "image" => spec["template"]["spec"]["containers"] = json!([{"name": "c", "image": parsed}]),
                "surge" => spec["strategy"]["rollingUpdate"]["maxSurge"] = parsed,
                "unavailable" => spec["strategy"]["rollingUpdate"]["maxUnavailable"] = parsed,
                "strategy" => spec["strategy"]["type"] = parsed,
                "deadline" => spec["progressDeadlineSeconds"] = parsed,
                "history" => spec["revisionHistoryLimit"] = parsed,
                "replicas" | "paused" | "minReadySeconds" => spec[field] = parsed,
                _ => panic!("no such setting: {field}"),
            }
        }
        if self.objects.contains_key(&id) {
            self.patch(&id, &json!({"spec": spec}));
        } else {
            spec["selector"]["matchLabels"]["app"] = name.into();
            spec["template"]["metadata"]["labels"]["app"] = name.into();
            let metadata = json!({"namespace": "default", "name": name});
            self.create(
                &DEPLOYMENTS,
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}),
            );
        }
        String::new()
    }

    /// Every deployment and replica set is reconciled once. True: something was done.
    fn step(&mut self) -> (String, bool) {
        let mut text = String::new();
        let mut acted = false;
        for (controller, resource) in [(&deployment::CONTROLLER, DEPLOYMENTS), (&replica_set::CONTROLLER, REPLICA_SETS)]
        {
            let keys: Vec<Key> = self.objects.keys().filter(|id| id.0 == resource).map(|id| id.1.clone()).collect();
            for key in keys {
                let plan = self.reconcile(controller, &Item::new(resource.clone(), key));
                acted |= !plan.steps.is_empty();
                for line in plan.to_string().lines().filter(|line| is_telling(line)) {
                    writeln!(text, "{line}").unwrap();
                }
                self.apply(plan);
            }
        }
        (text, acted)
    }

    /// Steps until nothing is left to do.
    fn settle(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..ROUNDS_MAX {
            let (step, acted) = self.step();
            text.push_str(&step);
            if !acted {
                return text + &self.show();
            }
        }
        panic!("it does not come to rest:\n{text}\n{}", self.plans());
    }

    /// What would be done next, in full.
    fn plans(&self) -> String {
        let of = |id: &Id| {
            let controller = if id.0 == DEPLOYMENTS { &deployment::CONTROLLER } else { &replica_set::CONTROLLER };
            (id.0 != PODS).then(|| self.reconcile(controller, &Item::new(id.0.clone(), id.1.clone())).to_string())
        };
        self.objects.keys().filter_map(of).collect()
    }

    fn reconcile(&self, controller: &Controller, item: &Item) -> Plan {
        let context = Context {
            caches: &self.caches,
            surroundings: &Surroundings::real(),
            settings: &Settings::default(),
            now: self.now,
            instant: Instant::now(),
            watching_since: Instant::now(),
            seed: u64::try_from(self.revision).unwrap(),
            last_failure: None,
        };
        (controller.reconcile)(&context, item)
    }

    fn apply(&mut self, plan: Plan) {
        for act in plan.steps.into_iter().flat_map(|step| step.acts) {
            match act.action {
                Action::Create { resource, body } => self.create(&resource, body),
                Action::Patch { resource, key, mut patch, .. } => {
                    if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
                        metadata.remove("resourceVersion");
                    }
                    self.patch(&(resource, key), &patch);
                }
                Action::Delete { resource, key, .. } if resource == PODS => {
                    let time = self.now.to_string();
                    self.patch(&(resource, key), &json!({"metadata": {"deletionTimestamp": time}}));
                }
                Action::Delete { resource, key, .. } => self.remove(&(resource, key)),
                other => panic!("not in these stories: {other}"),
            }
        }
    }

    fn create(&mut self, resource: &Resource, mut body: Value) {
        let metadata = &mut body["metadata"];
        metadata["uid"] = format!("uid-{}", self.revision).into();
        metadata["creationTimestamp"] = self.now.to_string().into();
        metadata["generation"] = 1.into();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let key = Key::new(text(&metadata["namespace"]), text(&metadata["name"]));
        self.write((resource.clone(), key), body);
    }

    fn patch(&mut self, id: &Id, patch: &Value) {
        let Some(before) = self.objects.get(id).cloned() else { return };
        let mut after = before.clone();
        merge(&mut after, patch);
        if after["spec"] != before["spec"] {
            let generation = before["metadata"]["generation"].as_i64().unwrap();
            after["metadata"]["generation"] = (generation + 1).into();
        }
        if after != before {
            self.write(id.clone(), after);
        }
    }

    fn write(&mut self, id: Id, mut object: Value) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let stored = Arc::new(stored_object(&object.to_string()).unwrap());
        self.caches.of(&id.0).apply(SourceEvent::Applied(stored));
        self.objects.insert(id, object);
    }

    fn remove(&mut self, id: &Id) {
        let Some(mut object) = self.objects.remove(id) else { return };
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let stored = Arc::new(stored_object(&object.to_string()).unwrap());
        self.caches.of(&id.0).apply(SourceEvent::Deleted(stored, self.revision));
    }

    /// Pods that were asked to end are gone, all others run; a second later.
    fn kubelet(&mut self, get_ready: bool) -> String {
        self.now += Duration::from_secs(1);
        let pods: Vec<Id> = self.objects.keys().filter(|id| id.0 == PODS).cloned().collect();
        let (mut started, mut ended) = (0, 0);
        for id in pods {
            let pod = &self.objects[&id];
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                self.remove(&id);
                ended += 1;
            } else if pod["status"].is_null() {
                let ready = if get_ready { "True" } else { "False" };
                let time = self.now.to_string();
                let condition = json!({"type": "Ready", "status": ready, "lastTransitionTime": time});
                let status = json!({"phase": "Running", "conditions": [condition]});
                self.patch(&id, &json!({"spec": {"nodeName": "n"}, "status": status}));
                started += 1;
            }
        }
        format!("{started} pods started, {ended} ended\n")
    }

    /// Deployments and their replica sets in one line each.
    fn show(&self) -> String {
        let mut text = String::new();
        for ((resource, key), object) in &self.objects {
            let status = |name: &str| object["status"][name].as_i64().unwrap_or_default();
            if *resource == DEPLOYMENTS {
                let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"].map(status);
                write!(
                    text,
                    "deployment {}: {} pods, {} new, {} ready, {} available;",
                    key.name, counts[0], counts[1], counts[2], counts[3]
                )
                .unwrap();
                for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
                    let part = |name: &str| condition[name].as_str().unwrap_or_default();
                    write!(text, " {} {} {};", part("type"), part("status"), part("reason")).unwrap();
                }
                text.push('\n');
            } else if *resource == REPLICA_SETS {
                let revision = object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
                let (asked, image) =
                    (&object["spec"]["replicas"], &object["spec"]["template"]["spec"]["containers"][0]["image"]);
                writeln!(
                    text,
                    "  {} revision {} image {image}: asks for {asked}, {} available",
                    key.name,
                    revision.unwrap_or("?"),
                    status("availableReplicas")
                )
                .unwrap();
            }
        }
        text
    }
}

/// Status patches are shown by their result, single pods by their count.
fn is_telling(line: &str) -> bool {
    let details = ["/status ", "Created pod", "Deleted pod"];
    line != "nothing to do" && !line.starts_with("wake after") && !details.iter().any(|detail| line.contains(detail))
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}
