//! `token`: a token for a service account, perhaps bound to a pod.

use api::{
    Node, Object,
    status::Status,
    validation::{Errors, Path},
};
use axum::{body::Body, response::Response};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::expected;
use crate::{
    authentication::service_account::{Claims, Private, Reference},
    encode,
    error::Result,
    options::{FieldValidation, WriteOptions},
    pipeline::{Call, respond},
    random,
    user::SERVICE_ACCOUNT_PREFIX,
    verbs,
};

const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;
const USUAL: i64 = 3600;

pub(super) async fn create(call: &Call, body: Body) -> Result<Response> {
    let options = WriteOptions::parse(call.query(), "CreateOptions")?;
    let Some(subresource) = call.subresource else { return Err(Status::no_such_resource().into()) };
    let mut request = verbs::decode_as(call, body, &expected(subresource)?, FieldValidation::Ignore).await?;
    for (field, own) in [("name", call.info.name.as_str()), ("namespace", call.namespace())] {
        check_own(&request, field, own)?;
    }
    let account = call.load(&call.info.name, true).await?.ok_or_else(|| call.not_found())?.object;
    let seconds = request.body.i64_at("spec.expirationSeconds").unwrap_or(USUAL);
    check(&request, seconds)?;
    let keys = &call.server.keys;
    let mut audiences: Vec<String> =
        request.body.items_at("spec.audiences").iter().filter_map(Node::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.push(keys.issuer().to_owned());
    }
    let (pod, secret, node) = bound(call, &request, account.name()).await?;
    let now = call.surroundings().now();
    let expires = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    let claims = Claims {
        aud: audiences.clone(),
        exp: expires.as_second(),
        iat: now.as_second(),
        iss: keys.issuer().to_owned(),
        jti: random::uuid(call.surroundings()),
        kubernetes: Private {
            namespace: account.namespace().to_owned(),
            node,
            pod,
            secret,
            serviceaccount: Reference { name: account.name().to_owned(), uid: account.uid().to_owned() },
        },
        nbf: now.as_second(),
        sub: format!("{SERVICE_ACCOUNT_PREFIX}{}:{}", account.namespace(), account.name()),
    };
    let token = keys.sign(&claims).map_err(Status::internal)?;
    request.set("metadata.name", account.name());
    request.set("metadata.namespace", account.namespace());
    request.set("metadata.creationTimestamp", api::time::format(now));
    request.set("spec.audiences", audiences);
    request.set("spec.expirationSeconds", seconds);
    if !options.dry_run {
        request.set("status.token", token);
    }
    request.set("status.expirationTimestamp", api::time::format(expires));
    Ok(respond(StatusCode::CREATED, call.encoding, encode::body(&request, call.encoding).into()))
}

fn check(request: &Object, seconds: i64) -> Result<()> {
    let mut errors = Errors::default();
    let path = Path::Root.field("spec");
    if seconds < SHORTEST {
        errors.invalid(&path.field("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
    } else if seconds > LONGEST {
        errors.invalid(
            &path.field("expirationSeconds"),
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        );
    }
    if errors.is_empty() {
        return Ok(());
    }
    let kind = api::status::Grouped::new("authentication.k8s.io", "TokenRequest");
    Err(Status::invalid(kind, request.name(), &errors).into())
}

/// What the body says of the account must be what the URL says.
fn check_own(request: &Object, field: &str, own: &str) -> Result<()> {
    let given = request.str_at(&format!("metadata.{field}"));
    if given.is_empty() || given == own {
        return Ok(());
    }
    let mut errors = Errors::default();
    let detail = format!("must match the service account {field} if specified");
    errors.invalid(&Path::Root.field("metadata").field(field), given, detail);
    let kind = api::status::Grouped::new("authentication.k8s.io", "TokenRequest");
    Err(Status::invalid(kind, own, &errors).into())
}

type Bound = (Option<Reference>, Option<Reference>, Option<Reference>);

/// What the token is bound to: a pod (with the node it runs on), a secret or a node, if the request says so.
async fn bound(call: &Call, request: &Object, account: &str) -> Result<Bound> {
    let (kind, name) = (request.str_at("spec.boundObjectRef.kind"), request.str_at("spec.boundObjectRef.name"));
    let storage = &call.server.storage;
    let plural = match kind {
        "" => return agent_needs_pod(call).map(|()| (None, None, None)),
        "Pod" => "pods",
        "Secret" => "secrets",
        "Node" => "nodes",
        other => {
            let (group, version) = api::schema::split_api_version(request.str_at("spec.boundObjectRef.apiVersion"));
            let message = format!("cannot bind token to object of type {group}/{version}, Kind={other}");
            return Err(Status::bad_request(message).into());
        }
    };
    let namespace = if kind == "Node" { "" } else { call.namespace() };
    let read = || storage.local_json("", plural, namespace, name);
    let mut object = read();
    if object.is_none() {
        storage.barrier().await?;
        object = read();
    }
    let Some(object) = object else {
        return Err(Status::not_found(api::status::Grouped::new("", plural), name).into());
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let uid = text(&object["metadata"]["uid"]);
    let asked = request.str_at("spec.boundObjectRef.uid");
    if !asked.is_empty() && asked != uid {
        let why = format!(
            "the UID in the bound object reference ({asked}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(api::status::Grouped::new("", kind), name, &why).into());
    }
    let reference = Reference { name: name.to_owned(), uid };
    match kind {
        "Secret" => return agent_needs_pod(call).map(|()| (None, Some(reference), None)),
        "Node" => return agent_needs_pod(call).map(|()| (None, None, Some(reference))),
        _ => {}
    }
    if text(&object["spec"]["serviceAccountName"]) != account {
        let message = format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        );
        return Err(Status::bad_request(message).into());
    }
    let node = text(&object["spec"]["nodeName"]);
    if call.user.node_name().is_some_and(|own| own != node) {
        let why = "node requested token bound to a pod scheduled on a different node";
        return Err(Status::forbidden(call.resource.kind.resource(), account, why).into());
    }
    if node.is_empty() {
        return Ok((Some(reference), None, None));
    }
    let uid = storage.local_uid("", "nodes", "", &node).unwrap_or_default();
    Ok((Some(reference), None, Some(Reference { name: node, uid })))
}

/// An agent gets tokens only for pods that run on its node.
fn agent_needs_pod(call: &Call) -> Result<()> {
    if call.user.node_name().is_none() {
        return Ok(());
    }
    let why = "node requested token not bound to a pod";
    Err(Status::forbidden(call.resource.kind.resource(), &call.info.name, why).into())
}
