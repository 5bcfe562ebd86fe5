//! The one place where a failure becomes a `metav1.Status`, and a Status an answer.

use api::status::{Reason, Status};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

use crate::storage::encryption::EncryptionError;

/// A failed request: what the client is told.
#[derive(Debug, Clone)]
pub(crate) struct Error(pub Box<Status>);

/// A result of serving a request.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self(Box::new(status))
    }
}

impl From<EncryptionError> for Error {
    fn from(error: EncryptionError) -> Self {
        Status::internal(error).into()
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Compacted { .. } => {
                Status::expired("The resourceVersion for the provided list is too old.").into()
            }
            store::Error::Timeout => Status::timeout(&error.to_string(), 0).into(),
            store::Error::NoLeader
            | store::Error::LeaderChanged
            | store::Error::Stopped
            | store::Error::Unhealthy
            | store::Error::NotLeader => Status::unavailable(error.to_string()).into(),
            // Somebody else leads: what the writer decided from what it knew no longer counts.
            store::Error::Fenced { .. } => Status::failure(Reason::Conflict, error.to_string()).into(),
            store::Error::TooManyRequests => Status::too_many_requests(error.to_string(), 1).into(),
            store::Error::RequestTooLarge => Status::too_large(crate::MAX_BODY).into(),
            other => Status::internal(other).into(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        status_response(&self.0)
    }
}

/// A Status as an answer, in JSON, which every client reads.
pub(crate) fn status_response(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.http_code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::from(status.to_json()));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = status.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    // On its way out it gets the form the client asked for.
    response.extensions_mut().insert(status.clone());
    response
}
