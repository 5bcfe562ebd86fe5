//! Questions: objects that are created, answered and forgotten.

use std::collections::BTreeMap;

use api::{
    Map, Node, Object,
    status::{Grouped, Status},
};
use axum::{body::Body, response::Response};
use http::StatusCode;

use crate::{
    authorization::Attributes,
    error::{Error, Result},
    options::WriteOptions,
    pipeline::Call,
    user::UserInfo,
    verbs,
};

/// Reads a question, answers it and forgets it.
pub(crate) async fn create(call: &Call, body: Body) -> Result<Response> {
    let options = WriteOptions::parse(call.query(), "CreateOptions")?;
    let kind = call.resource.kind;
    let mut review = verbs::decode(call, body, &options).await?;
    verbs::check_namespace(call, &mut review)?;
    let errors = kind.validate(&review);
    if !errors.is_empty() {
        return Err(Status::invalid(kind.grouped_kind(), review.name(), &errors).into());
    }
    match (kind.group, kind.plural) {
        ("authentication.k8s.io", "selfsubjectreviews") => set_user(&mut review, "status.userInfo", &call.user),
        ("authentication.k8s.io", "tokenreviews") => token(call, &mut review),
        ("authorization.k8s.io", "selfsubjectrulesreviews") => rules(call, &mut review)?,
        ("authorization.k8s.io", "selfsubjectaccessreviews") => access(call, &mut review, &call.user),
        ("authorization.k8s.io", "subjectaccessreviews" | "localsubjectaccessreviews") => {
            local(call, &review)?;
            let subject = subject(&review);
            access(call, &mut review, &subject);
        }
        _ => return Err(Status::method_not_supported(Grouped::new(kind.group, kind.plural), "create").into()),
    }
    Ok(call.answer(StatusCode::CREATED, review))
}

fn access(call: &Call, review: &mut Object, user: &UserInfo) {
    let text = |path: &str| review.str_at(path).to_owned();
    let (allowed, reason) = if review.at("spec.nonResourceAttributes").is_some() {
        let (path, verb) = (text("spec.nonResourceAttributes.path"), text("spec.nonResourceAttributes.verb"));
        decide(call, user, &Attributes { verb: &verb, path: &path, ..Attributes::default() })
    } else {
        let field = |name: &str| text(&format!("spec.resourceAttributes.{name}"));
        let (verb, group, namespace) = (field("verb"), field("group"), field("namespace"));
        let (resource, subresource, name) = (field("resource"), field("subresource"), field("name"));
        decide(
            call,
            user,
            &Attributes {
                verb: &verb,
                is_resource: true,
                group: &group,
                namespace: &namespace,
                resource: &resource,
                subresource: &subresource,
                name: &name,
                ..Attributes::default()
            },
        )
    };
    review.set("status.allowed", allowed);
    if !reason.is_empty() {
        review.set("status.reason", reason);
    }
}

fn decide(call: &Call, user: &UserInfo, attributes: &Attributes<'_>) -> (bool, &'static str) {
    let allowed = call.server.authorizer.allows(user, attributes);
    (allowed, if allowed { "RBAC: allowed" } else { "" })
}

/// A local review is about its own namespace.
fn local(call: &Call, review: &Object) -> Result<()> {
    let asked = review.str_at("spec.resourceAttributes.namespace");
    if !call.resource.kind.is_namespaced() || asked == call.namespace() {
        return Ok(());
    }
    let message = format!("spec.resourceAttributes.namespace must match namespace: {}", call.namespace());
    Err(Error::from(Status::bad_request(message)))
}

fn subject(review: &Object) -> UserInfo {
    let texts =
        |node: &Node| -> Vec<String> { node.items().iter().filter_map(Node::as_str).map(str::to_owned).collect() };
    let extra = review.at("spec.extra").and_then(Node::as_map);
    UserInfo {
        name: review.str_at("spec.user").to_owned(),
        uid: review.str_at("spec.uid").to_owned(),
        groups: review.at("spec.groups").map(texts).unwrap_or_default(),
        extra: extra
            .into_iter()
            .flat_map(Map::iter)
            .map(|(key, value)| (key.to_owned(), texts(value)))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn set_user(review: &mut Object, path: &str, user: &UserInfo) {
    review.set(&format!("{path}.username"), user.name.as_str());
    if !user.uid.is_empty() {
        review.set(&format!("{path}.uid"), user.uid.as_str());
    }
    review.set(&format!("{path}.groups"), user.groups.clone());
    if !user.extra.is_empty() {
        let extra: Map = user.extra.iter().map(|(key, values)| (key.as_str(), Node::from(values.clone()))).collect();
        review.set(&format!("{path}.extra"), extra);
    }
}

fn token(call: &Call, review: &mut Object) {
    let authenticator = &call.server.authenticator;
    let mut audiences: Vec<String> =
        review.body.items_at("spec.audiences").iter().filter_map(Node::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences = authenticator.audiences().to_vec();
    }
    match authenticator.verify(review.str_at("spec.token"), &audiences) {
        Ok(verified) => {
            review.set("status.authenticated", true);
            set_user(review, "status.user", &verified.user);
            audiences.retain(|audience| verified.audiences.contains(audience));
            review.set("status.audiences", audiences);
        }
        Err(error) => review.set("status.error", error.to_string()),
    }
}

/// Every rule the caller holds in a namespace.
fn rules(call: &Call, review: &mut Object) -> Result<()> {
    let namespace = review.str_at("spec.namespace").to_owned();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request").into());
    }
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    let status = review.body.struct_at("status");
    call.server.authorizer.roles.read().visit(&call.user, &namespace, |rule| {
        let target = if rule.non_resource_urls.is_empty() { "resourceRules" } else { "nonResourceRules" };
        let Some(mut item) = status.new_item(target) else { return true };
        item.set("verbs", rule.verbs.clone());
        if rule.non_resource_urls.is_empty() {
            item.set("apiGroups", rule.api_groups.clone());
            item.set("resources", rule.resources.clone());
            if !rule.resource_names.is_empty() {
                item.set("resourceNames", rule.resource_names.clone());
            }
            resources.push(Node::Struct(item));
        } else {
            item.set("nonResourceURLs", rule.non_resource_urls.clone());
            paths.push(Node::Struct(item));
        }
        false
    });
    status.set("resourceRules", resources);
    status.set("nonResourceRules", paths);
    status.set("incomplete", false);
    Ok(())
}
