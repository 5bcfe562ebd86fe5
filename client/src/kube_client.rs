//! One [`kube::Client`], many transports: the seam is `tower::Service`.

use http::{HeaderValue, Request, Response, header};
use kube::client::Body;
use tower::{BoxError, ServiceExt};

use crate::Balancer;

/// Who a component of a master is to the API server.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The user that its role is bound to.
    pub user: &'static str,
    /// The User-Agent, hence the field manager of what it writes.
    pub component: &'static str,
}

/// A client over the balancer. `component` becomes the User-Agent, hence the field manager of what it writes.
pub fn over_balancer(balancer: Balancer, component: &'static str) -> kube::Client {
    over(balancer, component)
}

/// A client over any service: an in-process router, or one that adds identity and fence to each request first.
pub fn over<S, B>(service: S, component: &'static str) -> kube::Client
where
    S: tower::Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let service = service.map_request(move |mut request: Request<Body>| {
        request.headers_mut().entry(header::USER_AGENT).or_insert(HeaderValue::from_static(component));
        request
    });
    kube::Client::new(service, "default")
}
