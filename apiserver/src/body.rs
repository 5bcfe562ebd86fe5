//! Request bodies: bounded, and decoded from whichever form they came in.

use api::{
    Object,
    json::{self, Problem},
    kind::{Kind, lookup_kind},
    protobuf,
    schema::{Type, object_type, split_api_version},
    status::Status,
};
use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::{
    MAX_BODY,
    error::{Error, Result},
    negotiation::{self, MediaType},
    options::FieldValidation,
};

/// The types a body may have.
pub(crate) const ACCEPTED: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// Reads a body up to the limit.
pub(crate) async fn read(body: Body) -> Result<Bytes> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Status::too_large(MAX_BODY).into()),
        Err(error) => Err(Status::bad_request(format!("cannot read the body: {error}")).into()),
    }
}

/// What a body must be.
pub(crate) struct Expected<'a> {
    /// Its group.
    pub group: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// Its shape.
    pub ty: Type,
    /// An older version of the same shape, which old clients still send; or empty.
    pub older: &'a str,
}

impl<'a> Expected<'a> {
    /// An object of this kind.
    pub(crate) fn of(kind: &'a Kind) -> Self {
        Self { group: kind.group, version: kind.version, kind: kind.kind, ty: kind.ty, older: "" }
    }

    fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Decodes an object, and says what was wrong but tolerated.
pub(crate) fn decode(
    bytes: &[u8],
    headers: &HeaderMap,
    expected: &Expected<'_>,
    validation: FieldValidation,
) -> Result<(Object, Vec<String>)> {
    let media = negotiation::body_media(headers).ok_or_else(|| Status::unsupported_media_type(&ACCEPTED))?;
    match media {
        MediaType::Protobuf => decode_protobuf(bytes, expected).map(|object| (object, Vec::new())),
        MediaType::Json => decode_json(bytes, expected, validation),
        MediaType::Yaml => decode_json(&yaml(bytes)?, expected, validation),
    }
}

/// The JSON of a YAML body.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Status::bad_request("the body is not valid UTF-8"))?;
    api::yaml::to_json(text).map_err(|error| Status::bad_request(error.to_string()).into())
}

/// Decodes JSON; an absent kind or apiVersion is the expected one.
pub(crate) fn decode_json(
    bytes: &[u8],
    expected: &Expected<'_>,
    validation: FieldValidation,
) -> Result<(Object, Vec<String>)> {
    let meta = json::peek_type_meta(bytes).map_err(|error| {
        let text: String = String::from_utf8_lossy(bytes).chars().take(512).collect();
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {error} ({text})",
            expected.kind
        ))
    })?;
    check_kind(&meta.api_version, &meta.kind, expected)?;
    let options = json::Options { check: validation != FieldValidation::Ignore, keep_zeros: false };
    let decoded =
        json::decode(expected.ty, bytes, options).map_err(|error| unreadable(expected, &error.to_string()))?;
    let problems: Vec<String> = decoded.problems.iter().map(Problem::to_string).collect();
    if validation == FieldValidation::Strict && !problems.is_empty() {
        return Err(unreadable(expected, &format!("strict decoding error: {}", problems.join(", "))));
    }
    Ok((named(decoded.object, expected), problems))
}

fn decode_protobuf(bytes: &[u8], expected: &Expected<'_>) -> Result<Object> {
    let meta = protobuf::peek_type_meta(bytes).map_err(|error| {
        let kind = expected.kind;
        Status::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {error}"))
    })?;
    check_kind(&meta.api_version, &meta.kind, expected)?;
    let object = protobuf::decode_as(expected.ty, bytes).map_err(|error| unreadable(expected, &error.to_string()))?;
    Ok(named(object, expected))
}

fn named(mut object: Object, expected: &Expected<'_>) -> Object {
    object.api_version = expected.api_version().into();
    object.kind = expected.kind.into();
    object
}

fn unreadable(expected: &Expected<'_>, why: &str) -> Error {
    let (kind, version) = (expected.kind, expected.version);
    Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {why}")).into()
}

/// Whether an object that says it is of this kind may stand where another is expected.
pub(crate) fn check_kind(api_version: &str, kind: &str, expected: &Expected<'_>) -> Result<()> {
    let (group, version) = split_api_version(api_version);
    let fits = (kind.is_empty() || kind == expected.kind)
        && (api_version.is_empty()
            || (group == expected.group && [expected.version, expected.older].contains(&version)));
    if fits {
        return Ok(());
    }
    let known = object_type(group, version, kind).is_some() || lookup_kind(group, version, kind).is_some();
    let message = if !known {
        format!("no kind \"{kind}\" is registered for version \"{api_version}\"")
    } else if kind == expected.kind {
        format!(
            "the API version in the data ({api_version}) does not match the expected API version ({})",
            expected.api_version()
        )
    } else {
        let inner = if expected.group.is_empty() { "core" } else { expected.group };
        format!(
            "{kind} in version \"{version}\" cannot be handled as a {expected}: converting ({version}.{kind}) to ({inner}.{expected}): unknown conversion",
            expected = expected.kind
        )
    };
    Err(Status::bad_request(message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_map(text: &str, validation: FieldValidation) -> Result<(Object, Vec<String>)> {
        let ty = object_type("", "v1", "ConfigMap").unwrap();
        let expected = Expected { group: "", version: "v1", kind: "ConfigMap", ty, older: "" };
        decode(text.as_bytes(), &HeaderMap::new(), &expected, validation)
    }

    #[test]
    fn refusals_read_as_upstream_writes_them() {
        let unknown = r#"{"metadata":{"name":"a","foo":1},"data":{"a":"1","a":"2"},"bar":1}"#;
        let cases = [
            (
                "{",
                "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({)",
            ),
            (
                r#"{"kind":"Secret","apiVersion":"v1"}"#,
                "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): unknown conversion",
            ),
            (
                r#"{"metadata":{"name":1}}"#,
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
            ),
            (
                unknown,
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"metadata.foo\", duplicate field \"data.a\", unknown field \"bar\"",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(config_map(text, FieldValidation::Strict).unwrap_err().to_string(), message);
        }
        let (object, problems) = config_map(unknown, FieldValidation::Warn).unwrap();
        assert_eq!((object.name(), problems.len()), ("a", 3));
        assert!(config_map(unknown, FieldValidation::Ignore).unwrap().1.is_empty());
    }
}
