//! `binding`: a pod gets its node, once.

use api::{Node, Object, status::Status, surroundings::Planted};
use axum::{body::Body, response::Response};
use jiff::Timestamp;

use super::expected;
use crate::{
    error::{Result, status_response},
    options::{FieldValidation, WriteOptions},
    pipeline::{Call, Draft, Live, Presence, write},
    verbs,
};

pub(super) async fn create(call: &Call, body: Body) -> Result<Response> {
    let options = WriteOptions::parse(call.query(), "CreateOptions")?;
    let Some(subresource) = call.subresource else { return Err(Status::no_such_resource().into()) };
    let binding = verbs::decode_as(call, body, &expected(subresource)?, FieldValidation::Ignore).await?;
    let target = binding.str_at("target.kind");
    if !matches!(target, "" | "Node") || binding.str_at("target.name").is_empty() {
        return Err(Status::bad_request("a binding must have a target of kind Node with a name").into());
    }
    let draft = |live: Option<&Live>| {
        let live = live.ok_or_else(|| call.not_found())?;
        let refuse = |why: &str| Status::conflict(call.resource.kind.resource(), &call.info.name, why);
        if !binding.uid().is_empty() && binding.uid() != live.object.uid() {
            return Err(refuse("the pod in the binding is not the pod of this name").into());
        }
        if live.object.is_deleting() {
            let why = format!("pod {} is being deleted, cannot be assigned to a host", call.info.name);
            return Err(refuse(&why).into());
        }
        let bound = live.object.str_at("spec.nodeName");
        if !bound.is_empty() && !call.surroundings().has(Planted::BindAgain) {
            let why = format!("pod {} is already assigned to node {bound:?}", call.info.name);
            return Err(refuse(&why).into());
        }
        let mut pod = live.object.clone();
        bind(&mut pod, &binding, call.surroundings().now());
        Ok(Draft { object: pod, owned: false, revision: None })
    };
    write(call, &call.info.name, Presence::Present, &options, &draft).await?;
    Ok(status_response(&Status::created()))
}

fn bind(pod: &mut Object, binding: &Object, now: Timestamp) {
    pod.set("spec.nodeName", binding.str_at("target.name"));
    for (key, value) in binding.annotations().into_iter().flat_map(api::Map::iter) {
        pod.set_annotation(key, value.as_str().unwrap_or_default());
    }
    let conditions = pod.body.list_at("status.conditions");
    conditions.retain(|condition| condition.str_at("type") != "PodScheduled");
    if let Some(mut condition) = pod.body.struct_at("status").new_item("conditions") {
        condition.set("type", "PodScheduled");
        condition.set("status", "True");
        condition.set("lastTransitionTime", api::time::format(now));
        pod.body.list_at("status.conditions").push(Node::Struct(condition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_pod_says_so_once() {
        let mut pod = Object::of("v1", "Pod").unwrap();
        let mut binding = Object::of("v1", "Binding").unwrap();
        binding.set("target.name", "one");
        bind(&mut pod, &binding, Timestamp::UNIX_EPOCH);
        bind(&mut pod, &binding, Timestamp::UNIX_EPOCH);
        assert_eq!(pod.str_at("spec.nodeName"), "one");
        let conditions = pod.body.items_at("status.conditions");
        assert_eq!((conditions.len(), conditions[0].str_at("status")), (1, "True"));
    }
}
