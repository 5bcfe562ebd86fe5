//! From an HTTP request to a connection of its own: which transport, which protocol on it.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

use super::websocket;

const SPDY: &str = "SPDY/3.1";
const SPDY_VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const SPDY_ACCEPTED: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// An answer instead of a connection: plain text, as the kubelet's are.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

/// What carries the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Spdy,
    WebSocket,
}

/// A connection that both sides agreed to change.
pub(super) struct Upgrade {
    pub(super) transport: Transport,
    /// The protocol on it; empty when the client named none.
    pub(super) protocol: String,
    key: Option<String>,
    connection: OnUpgrade,
}

impl Upgrade {
    /// The answer that changes the connection; it is there once the answer is sent.
    pub(super) fn answer(self) -> Result<(Response, Connecting), Refusal> {
        let invalid = |error: &dyn std::fmt::Display| Refusal(StatusCode::BAD_REQUEST, error.to_string());
        let name = match self.transport {
            Transport::Spdy => HeaderValue::from_static(SPDY),
            Transport::WebSocket => HeaderValue::from_static("websocket"),
        };
        let protocol = HeaderValue::from_str(&self.protocol).map_err(|error| invalid(&error))?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, name);
        match &self.key {
            None => drop(headers.insert(SPDY_VERSION, protocol)),
            Some(key) => {
                let accept = HeaderValue::from_str(&websocket::accept_key(key)).map_err(|error| invalid(&error))?;
                headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
                if !self.protocol.is_empty() {
                    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
                }
            }
        }
        Ok((response, Connecting(self.connection)))
    }
}

/// A connection that is about to change.
pub(super) struct Connecting(OnUpgrade);

impl Connecting {
    /// The changed connection; `None` when the client left first.
    pub(super) async fn connected(self) -> Option<TokioIo<Upgraded>> {
        self.0.await.ok().map(TokioIo::new)
    }
}

/// Agrees with the client on the first of its protocols that is among these.
pub(super) fn accept(mut request: Request, spdy: &[&str], websocket: &[&str]) -> Result<Upgrade, Refusal> {
    let bad = |text: &str| Refusal(StatusCode::BAD_REQUEST, text.to_owned());
    let headers = request.headers();
    let asked = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_upgrade = words(headers, &header::CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"));
    let (transport, protocol, key) = if is_upgrade && asked.eq_ignore_ascii_case(SPDY) {
        (Transport::Spdy, choose_spdy(headers, spdy)?, None)
    } else if is_upgrade && asked.eq_ignore_ascii_case("websocket") {
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(bad("only version 13 of WebSockets is spoken"));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
        let key = key.ok_or_else(|| bad("a WebSocket without a key"))?.to_owned();
        (Transport::WebSocket, choose_websocket(headers, websocket)?, Some(key))
    } else {
        return Err(bad("Upgrade request required"));
    };
    // HTTP/2 has no upgrades of this kind.
    let connection = request.extensions_mut().remove::<OnUpgrade>().ok_or_else(|| bad("Upgrade request required"))?;
    Ok(Upgrade { transport, protocol, key, connection })
}

fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

fn choose_spdy(headers: &HeaderMap, known: &[&str]) -> Result<String, Refusal> {
    let asked: Vec<&str> = words(headers, &SPDY_VERSION).collect();
    if asked.is_empty() {
        let text = format!("unable to upgrade: {SPDY_VERSION} is required");
        return Err(Refusal(StatusCode::BAD_REQUEST, text));
    }
    let chosen = asked.iter().find(|protocol| known.contains(protocol));
    chosen.map(|protocol| (*protocol).to_owned()).ok_or_else(|| {
        let (asked, known) = (asked.join(" "), known.join(" "));
        let text = format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{asked}], server accepts [{known}] \
             ({SPDY_ACCEPTED})"
        );
        Refusal(StatusCode::FORBIDDEN, text)
    })
}

fn choose_websocket(headers: &HeaderMap, known: &[&str]) -> Result<String, Refusal> {
    let mut asked = words(headers, &header::SEC_WEBSOCKET_PROTOCOL).peekable();
    if asked.peek().is_none() {
        return Ok(String::new());
    }
    let chosen = asked.find(|protocol| known.contains(protocol));
    let none = || Refusal(StatusCode::FORBIDDEN, format!("none of the protocols is known: use {}", known.join(", ")));
    chosen.map(str::to_owned).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::new(Body::empty());
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        request
    }

    #[test]
    fn the_first_of_the_clients_protocols_that_is_known_is_chosen() {
        let spdy = [
            ("x-stream-protocol-version", "v9"),
            ("x-stream-protocol-version", "v4"),
            ("x-stream-protocol-version", "v2"),
        ];
        assert_eq!(choose_spdy(request(&spdy).headers(), &["v2", "v4"]).unwrap(), "v4");
        let refused = choose_spdy(request(&spdy).headers(), &["v1"]).unwrap_err();
        assert_eq!(refused.0, StatusCode::FORBIDDEN);
        assert_eq!(choose_spdy(request(&[]).headers(), &["v1"]).unwrap_err().0, StatusCode::BAD_REQUEST);
        let list = [("sec-websocket-protocol", "v6, v5")];
        assert_eq!(choose_websocket(request(&list).headers(), &["v5"]).unwrap(), "v5");
        assert_eq!(choose_websocket(request(&[]).headers(), &["v5"]).unwrap(), "");
        assert!(choose_websocket(request(&list).headers(), &["v4"]).is_err());
    }

    #[test]
    fn a_plain_request_is_told_to_upgrade() {
        for headers in [
            &[][..],
            &[("upgrade", "websocket")],
            &[("upgrade", "h2c"), ("connection", "upgrade")],
            &[("upgrade", "websocket"), ("connection", "upgrade")],
        ] {
            let refused = accept(request(headers), &["a"], &["a"]).err().unwrap();
            assert_eq!(refused.0, StatusCode::BAD_REQUEST, "{headers:?}");
        }
    }

    #[test]
    fn the_key_of_the_specification_is_answered() {
        assert_eq!(websocket::accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
