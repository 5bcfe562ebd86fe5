//! A gRPC check: `grpc.health.v1.Health/Check` over HTTP/2 without TLS.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::check::Outcome;

/// An answer has a few bytes.
const ANSWER_MAX: usize = 4096;
const SERVING: u64 = 1;

pub(super) async fn check(address: SocketAddr, service: &str) -> Outcome {
    match ask(address, service).await {
        Ok(SERVING) => Outcome::Success,
        Ok(status) => Outcome::Failure(format!("service unhealthy (responded with {:?})", name(status))),
        Err(why) => Outcome::Failure(why),
    }
}

/// The names of `HealthCheckResponse.ServingStatus`.
fn name(status: u64) -> &'static str {
    match status {
        1 => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    }
}

async fn ask(address: SocketAddr, service: &str) -> Result<u64, String> {
    let failed = |error: &dyn std::fmt::Display| format!("failed to connect service {address}: {error}");
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| failed(&error))?;
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", concat!("kube-probe/1.37 kontiki/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(message(service)))
        .map_err(|error| failed(&error))?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let headers = answer.headers().clone();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await.map_err(|error| failed(&error))?;
        // A refusal without a body has its code in the head already.
        let code = body.trailers().and_then(|trailers| trailers.get("grpc-status")).or(headers.get("grpc-status"));
        match code.and_then(|code| code.to_str().ok()) {
            Some("0") => serving_status(body.to_bytes()).ok_or_else(|| "no health check response".to_owned()),
            Some("12") => Err(format!("service {address} does not implement grpc.health.v1.Health")),
            Some(code) => Err(format!("service {address} answered with gRPC code {code}")),
            None => Err(format!("service {address} speaks no gRPC")),
        }
    };
    // The connection lives as long as the exchange.
    tokio::select! {
        answer = exchange => answer,
        ended = connection => Err(match ended {
            Ok(()) => failed(&"the connection was closed"),
            Err(error) => failed(&error),
        }),
    }
}

/// `HealthCheckRequest { service }` with gRPC's prefix.
fn message(service: &str) -> Bytes {
    let mut body = BytesMut::new();
    if !service.is_empty() {
        body.put_u8(0x0a);
        put_varint(&mut body, service.len() as u64);
        body.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(5 + body.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    framed.put_slice(&body);
    framed.freeze()
}

fn put_varint(bytes: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        bytes.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.put_u8((value & 0x7f) as u8);
}

/// Field 1 of a `HealthCheckResponse`; an absent one is 0.
fn serving_status(mut framed: Bytes) -> Option<u64> {
    if framed.len() < 5 || framed.get_u8() != 0 {
        return None;
    }
    let length = usize::try_from(framed.get_u32()).ok()?;
    let mut body = framed.get(..length)?;
    if body.is_empty() {
        return Some(0);
    }
    if body.get_u8() != 0x08 {
        return None;
    }
    let mut status = 0;
    for shift in (0..64).step_by(7) {
        let byte = body.split_off_first()?;
        status |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(status);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::HeaderMap;
    use axum::routing::post;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    #[test]
    fn messages_have_their_wire_form() {
        assert_eq!(message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(serving_status(Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1])), Some(SERVING));
        assert_eq!(serving_status(Bytes::from_static(&[0, 0, 0, 0, 0])), Some(0));
        for bad in [&[][..], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 9, 8, 1], &[0, 0, 0, 0, 1, 8]] {
            assert_eq!(serving_status(Bytes::copy_from_slice(bad)), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn the_served_status_decides() {
        let answer = |status: u8| {
            move || async move {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                let frames = [Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status])), Frame::trailers(trailers)];
                let frames = frames.map(Ok::<_, std::io::Error>);
                axum::response::Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames))))
            }
        };
        for (status, expected) in [
            (1, Outcome::Success),
            (2, Outcome::Failure("service unhealthy (responded with \"NOT_SERVING\")".to_owned())),
        ] {
            let router = axum::Router::new().route("/grpc.health.v1.Health/Check", post(answer(status)));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = tokio::spawn(async move { axum::serve(listener, router).await });
            assert_eq!(check(address, "").await, expected);
            server.abort();
        }
        assert!(matches!(check("127.0.0.1:1".parse().unwrap(), "").await, Outcome::Failure(_)));
    }
}
