//! One call over the network: a task at the callee, and a stream of messages each way.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use store::world::{Hold, Subject, Traffic};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body, service::Routes};
use tower::Service;

use super::{Door, Net, Place, pump::pump};

/// Messages a side takes before it is asked to wait.
const WINDOW: usize = 32;

/// Calls of one message, which a member may repeat.
const SINGLE_CALLS: [&str; 4] = ["/Call", "/ReadIndex", "/KeepAlive", "/Manage"];
/// One call in so many comes twice.
const REPEATED: usize = 40;
/// The second time within this.
const LATER_MS: u64 = 2000;

/// Calls one place from another.
#[derive(Clone)]
pub(super) struct Caller {
    net: Net,
    from: Place,
    to: Place,
    traffic: Traffic,
    door: Door,
    subject: Subject,
}

impl Caller {
    pub(super) fn new(net: Net, (from, to): (Place, Place), traffic: Traffic, door: Door, subject: Subject) -> Self {
        Self { net, from, to, traffic, door, subject }
    }

    /// Now and then a call between members arrives a second time, later: whoever sent it was not sure that it had arrived. Its
    /// second answer goes nowhere.
    async fn perhaps_twice(&self, request: Request<Body>, routes: &Routes) -> Request<Body> {
        let is_single = SINGLE_CALLS.iter().any(|name| request.uri().path().ends_with(name));
        if self.door != Door::Peers || !is_single || !self.net.chance.one_in(REPEATED) {
            return request;
        }
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return Request::from_parts(parts, Body::empty()) };
        let body = body.to_bytes();
        let with = |body: Bytes| Request::from_parts(parts.clone(), Body::new(http_body_util::Full::new(body)));
        let (first, mut second) = (with(body.clone()), with(body));
        second.extensions_mut().insert(self.subject.clone());
        let (net, (from, to), mut routes) = (self.net.clone(), (self.from, self.to), routes.clone());
        let later = net.chance.millis(0..LATER_MS);
        net.state.lock().traversed.calls_repeated += 1;
        tokio::spawn(net.hold(to).keep(async move {
            tokio::time::sleep(later).await;
            net.passable(from, to).await;
            let Ok(answer) = routes.call(second).await;
            drop(answer);
        }));
        first
    }

    async fn carry(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let connection = self.net.connection(self.from, self.to, self.traffic, self.door).await?;
        let port = self.net.port(self.to, self.door).ok_or_else(lost)?;
        // The call is over when either side lets go of it.
        let over = connection.child_token();
        let let_go = over.clone().drop_guard();
        let request = self.perhaps_twice(request, &port.routes).await;
        let (parts, body) = request.into_parts();
        let (sender, messages) = mpsc::channel(WINDOW);
        let body = (body, self.net.hold(self.from));
        tokio::spawn(pump(self.net.clone(), (self.from, self.to), body, sender, connection.clone(), over.clone()));
        let mut request = Request::from_parts(parts, stream_body(messages));
        request.extensions_mut().insert(self.subject.clone());
        let (answered, answer) = oneshot::channel();
        let (net, route, mut routes, stopped) = (self.net.clone(), (self.to, self.from), port.routes, port.open);
        let (at_callee, broken) = (over.clone(), connection.clone());
        let hold = net.hold(self.to);
        tokio::spawn(hold.clone().keep(async move {
            tokio::select! {
                biased;
                () = at_callee.cancelled() => {}
                () = stopped.cancelled() => broken.cancel(),
                () = async {
                    let Ok(response) = routes.call(request).await;
                    let response = response.map(|body| (body, hold));
                    answer_with(net, route, response, answered, broken.clone(), at_callee.clone()).await;
                } => {}
            }
        }));
        let response = tokio::select! {
            biased;
            () = connection.cancelled() => return Err(lost()),
            response = answer => response.map_err(|_| lost())?,
        };
        // Whoever reads the answer holds the call open.
        Ok(response.map(|messages: mpsc::Receiver<_>| {
            let frames = ReceiverStream::new(messages).map(move |frame| {
                let _held = &let_go;
                frame
            });
            Body::new(StreamBody::new(frames))
        }))
    }
}

pub(super) fn lost() -> Status {
    Status::unavailable("the connection broke")
}

type Messages = mpsc::Receiver<Result<http_body::Frame<bytes::Bytes>, Status>>;

fn stream_body(messages: Messages) -> Body {
    Body::new(StreamBody::new(ReceiverStream::new(messages)))
}

async fn answer_with(
    net: Net,
    route: (Place, Place),
    response: Response<(Body, Hold)>,
    answered: oneshot::Sender<Response<Messages>>,
    connection: CancellationToken,
    over: CancellationToken,
) {
    let (parts, body) = response.into_parts();
    net.passable(route.0, route.1).await;
    tokio::time::sleep(net.delay(route.0, route.1)).await;
    let (sender, messages) = mpsc::channel(WINDOW);
    if answered.send(Response::from_parts(parts, messages)).is_ok() {
        pump(net, route, body, sender, connection, over).await;
    }
}

impl Service<Request<Body>> for Caller {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().carry(request))
    }
}
