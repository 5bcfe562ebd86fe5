//! `log`: what a container has written, straight from the agent of its node.

use api::status::{Reason, Status};
use axum::{body::Body, response::Response};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;

use super::{
    agent::{self, Agent},
    relay,
};
use crate::{
    error::{Error, Result},
    pipeline::Call,
};

pub(super) async fn get(call: &Call) -> Result<Response> {
    let pod = call.load(&call.info.name, true).await?.ok_or_else(|| call.not_found())?.object;
    let container = agent::container(call, &pod)?;
    let node = pod.str_at("spec.nodeName").to_owned();
    if node.is_empty() {
        return Ok(plain(Body::empty()));
    }
    let query: Vec<&str> =
        call.query().split('&').filter(|pair| !pair.starts_with("container=") && !pair.is_empty()).collect();
    let (namespace, name) = (call.namespace(), pod.name());
    let uri = format!("/containerLogs/{namespace}/{name}/{container}?{}", query.join("&"));
    let agent = Agent::of(call, &node)?;
    let request = Request::get(&uri).header(header::HOST, &node).body(Body::empty());
    let answer = agent.ask(request.map_err(|error| Status::bad_request(error.to_string()))?).await?;
    if answer.status() == StatusCode::OK {
        return Ok(plain(Body::new(answer.into_body())));
    }
    Err(refusal(answer).await)
}

/// An agent's refusal, in the agent's words.
async fn refusal(answer: http::Response<Incoming>) -> Error {
    let reason = match answer.status() {
        StatusCode::BAD_REQUEST => Reason::BadRequest,
        StatusCode::NOT_FOUND => Reason::NotFound,
        StatusCode::FORBIDDEN => Reason::Forbidden,
        StatusCode::UNAUTHORIZED => Reason::Unauthorized,
        _ => Reason::InternalError,
    };
    Status::failure(reason, relay::text(answer).await).into()
}

fn plain(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
