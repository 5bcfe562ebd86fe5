//! RuntimeClass: a pod that names one is charged what the class costs, and goes where the class can run.

use api::{
    Map, Node, Object,
    status::{Grouped, Status},
};
use serde_json::Value;

use super::{Change, Operation};
use crate::{
    amounts,
    error::{Error, Result},
};

const GROUP: &str = "node.k8s.io";

pub(super) async fn admit(change: &Change<'_>, pod: &mut Object) -> Result<()> {
    if !change.is("", "pods") || change.operation != Operation::Create {
        return Ok(());
    }
    let name = pod.str_at("spec.runtimeClassName").to_owned();
    if name.is_empty() || change.storage.resources().get(GROUP, "runtimeclasses").is_none() {
        return set_overhead(pod, &Value::Null).map_err(|why| refuse(pod, &why));
    }
    let class = change.find(GROUP, "runtimeclasses", "", &name).await?;
    let class = class.ok_or_else(|| refuse(pod, &format!("RuntimeClass \"{name}\" not found")))?;
    set_overhead(pod, &class["overhead"]["podFixed"]).map_err(|why| refuse(pod, &why))?;
    set_place(pod, &class["scheduling"]).map_err(|why| refuse(pod, &why))
}

/// What the class costs is the class's word alone.
fn set_overhead(pod: &mut Object, fixed: &Value) -> Result<(), String> {
    let own = amounts::amounts(pod.at("spec.overhead"));
    let overhead = amounts::from_json(fixed);
    if overhead.is_empty() {
        if own.is_empty() {
            return Ok(());
        }
        return Err("Pod Overhead set without corresponding RuntimeClass defined Overhead".into());
    }
    if !own.is_empty() && own != overhead {
        return Err("Pod's Overhead doesn't match RuntimeClass's defined Overhead".into());
    }
    pod.set("spec.overhead", amounts::node(&overhead));
    Ok(())
}

fn set_place(pod: &mut Object, scheduling: &Value) -> Result<(), String> {
    for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let own = pod.at("spec.nodeSelector").and_then(Node::as_map).and_then(|own| own.get(key)?.as_str());
        if let Some(own) = own.filter(|own| *own != value) {
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            ));
        }
        let mut selector = pod.at("spec.nodeSelector").and_then(Node::as_map).cloned().unwrap_or_else(Map::default);
        selector.insert(key.as_str(), value);
        pod.set("spec.nodeSelector", selector);
    }
    for toleration in scheduling["tolerations"].as_array().into_iter().flatten() {
        let Some(mut item) = pod.body.struct_at("spec").new_item("tolerations") else { break };
        for field in ["key", "operator", "value", "effect"] {
            if let Some(text) = toleration[field].as_str() {
                item.set(field, text);
            }
        }
        if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
            item.set("tolerationSeconds", seconds);
        }
        let tolerations = pod.body.list_at("spec.tolerations");
        if !tolerations.contains(&Node::Struct(item.clone())) {
            tolerations.push(Node::Struct(item));
        }
    }
    Ok(())
}

fn refuse(pod: &Object, why: &str) -> Error {
    Status::forbidden(Grouped::new("", "pods"), pod.name(), &format!("pod rejected: {why}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_carries_what_its_class_costs_and_goes_where_it_runs() {
        let mut pod = Object::of("v1", "Pod").unwrap();
        assert_eq!(set_overhead(&mut pod, &Value::Null), Ok(()));
        assert_eq!(set_overhead(&mut pod, &json!({ "cpu": "100m" })), Ok(()));
        assert_eq!(pod.str_at("spec.overhead.cpu"), "100m");
        assert!(set_overhead(&mut pod, &json!({ "cpu": "200m" })).is_err());
        assert!(set_overhead(&mut pod, &Value::Null).is_err());
        let scheduling = json!({ "nodeSelector": { "a": "b" }, "tolerations": [{ "key": "x", "operator": "Exists" }] });
        assert_eq!(set_place(&mut pod, &scheduling), Ok(()));
        assert_eq!(set_place(&mut pod, &scheduling), Ok(()));
        assert_eq!(pod.str_at("spec.nodeSelector.a"), "b");
        assert_eq!(pod.body.items_at("spec.tolerations").len(), 1);
        assert!(set_place(&mut pod, &json!({ "nodeSelector": { "a": "c" } })).unwrap_err().starts_with("conflict: "));
    }
}
