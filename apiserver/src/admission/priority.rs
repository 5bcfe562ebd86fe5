//! Priority: a pod's priority is that of its class; at most one class is everybody's.

use api::{
    Object,
    status::{Grouped, Status},
};
use serde_json::Value;

use super::{Change, Operation};
use crate::error::{Error, Result};

const GROUP: &str = "scheduling.k8s.io";
const CLASSES: &str = "priorityclasses";
const PREEMPTS: &str = "PreemptLowerPriority";

pub(super) async fn admit(change: &Change<'_>, object: &mut Object) -> Result<()> {
    if change.is("", "pods") && change.storage.resources().get(GROUP, CLASSES).is_some() {
        return match (change.operation, change.old) {
            (Operation::Create, _) => create(change, object).await,
            (_, Some(old)) => {
                // Who writes a pod without its priority means the one it has.
                for field in ["spec.priority", "spec.preemptionPolicy"] {
                    if let (None, Some(before)) = (object.at(field), old.at(field)) {
                        object.set(field, before.clone());
                    }
                }
                Ok(())
            }
            (_, None) => Ok(()),
        };
    }
    Ok(())
}

/// What a pod gets from its class.
struct Class {
    name: String,
    value: i64,
    preemption: String,
}

impl Class {
    fn read(json: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let preemption = json["preemptionPolicy"].as_str().unwrap_or(PREEMPTS).to_owned();
        Self { name: text(&json["metadata"]["name"]), value: json["value"].as_i64().unwrap_or_default(), preemption }
    }
}

async fn create(change: &Change<'_>, pod: &mut Object) -> Result<()> {
    let asked = pod.str_at("spec.priorityClassName").to_owned();
    let class = if asked.is_empty() {
        let nobodys = || Class { name: String::new(), value: 0, preemption: PREEMPTS.to_owned() };
        everybodys(change).as_ref().map_or_else(nobodys, Class::read)
    } else {
        let json = change.find(GROUP, CLASSES, "", &asked).await?;
        Class::read(&json.ok_or_else(|| refuse(change, pod, &format!("no PriorityClass with name {asked} was found")))?)
    };
    let computed = "priority admission controller computed";
    if let Some(own) = pod.body.i64_at("spec.priority").filter(|own| *own != class.value) {
        let value = class.value;
        let why = format!(
            "the integer value of priority ({own}) must not be provided in pod spec; {computed} {value} from the given PriorityClass name"
        );
        return Err(refuse(change, pod, &why));
    }
    let own = pod.str_at("spec.preemptionPolicy");
    if !own.is_empty() && own != class.preemption {
        let policy = &class.preemption;
        let why = format!(
            "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; {computed} {policy} from the given PriorityClass name"
        );
        return Err(refuse(change, pod, &why));
    }
    if !class.name.is_empty() {
        pod.set("spec.priorityClassName", class.name);
    }
    pod.set("spec.priority", class.value);
    pod.set("spec.preemptionPolicy", class.preemption);
    Ok(())
}

/// The class of pods that name none: of several the one with the lowest value.
fn everybodys(change: &Change<'_>) -> Option<Value> {
    let mut found: Option<Value> = None;
    change.storage.visit_local(GROUP, CLASSES, "", |_, class| {
        let json: Value = serde_json::from_slice(class.json()).unwrap_or_default();
        let lower = |found: &Value| json["value"].as_i64() < found["value"].as_i64();
        if json["globalDefault"] == true && found.as_ref().is_none_or(lower) {
            found = Some(json);
        }
        true
    });
    found
}

/// Refuses a second class that is everybody's.
pub(super) fn validate(change: &Change<'_>, class: &Object) -> Result<()> {
    if !change.is(GROUP, CLASSES) || class.body.bool_at("globalDefault") != Some(true) {
        return Ok(());
    }
    let Some(other) = everybodys(change) else { return Ok(()) };
    let other = other["metadata"]["name"].as_str().unwrap_or_default();
    if change.operation == Operation::Update && other == class.name() {
        return Ok(());
    }
    let why = format!("PriorityClass {other} has already been marked as default. Only one default can exist");
    Err(Status::forbidden(Grouped::new(GROUP, CLASSES), class.name(), &why).into())
}

fn refuse(change: &Change<'_>, pod: &Object, why: &str) -> Error {
    Status::forbidden(Grouped::new(change.kind.group, change.kind.plural), pod.name(), why).into()
}
