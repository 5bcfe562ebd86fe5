//! A request larger than the port takes is refused in the words of etcd's gRPC library.
//!
//! tonic calls it out of range, which etcd's clients take for a matter of revisions.

use std::task::{Context, Poll};

use futures_util::future::{FutureExt, Map};
use http::{Request, Response};
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::Service;

/// A service whose refusals are put into other words.
#[derive(Clone)]
pub(super) struct InGoWords<S>(pub(super) S);

impl<S: NamedService> NamedService for InGoWords<S> {
    const NAME: &'static str = S::NAME;
}

type Answer<E> = Result<Response<Body>, E>;

impl<S, B> Service<Request<B>> for InGoWords<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Map<S::Future, fn(Answer<S::Error>) -> Answer<S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.0.call(request).map(reworded::<S::Error> as fn(_) -> _)
    }
}

/// Only what is refused before it is looked at has its status among the headers.
fn reworded<E>(answer: Answer<E>) -> Answer<E> {
    answer.map(|response| {
        let status = Status::from_header_map(response.headers());
        match status.as_ref().filter(|status| status.code() == Code::OutOfRange).and_then(in_go_words) {
            Some(status) => status.into_http(),
            None => response,
        }
    })
}

fn in_go_words(status: &Status) -> Option<Status> {
    let numbers = status.message().strip_prefix("Error, decoded message length too large: found ")?;
    let (found, limit) = numbers.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")?;
    Some(Status::resource_exhausted(format!("grpc: received message larger than max ({found} vs. {limit})")))
}
