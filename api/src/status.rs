//! `metav1.Status`: how every failure, and a few successes, are told to clients.
//!
//! One constructor per situation, with the code, reason, message and details that a Kubernetes API server gives, so
//! that clients which look into details (kubectl, client-go, controllers) find what they expect.

use serde::Serialize;

use crate::validation::{Errors, quoted};

/// The machine-readable reason of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Reason {
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 409, on create
    AlreadyExists,
    /// 409, on write
    Conflict,
    /// 410, the thing is gone for good
    Gone,
    /// 410, the revision is too old
    Expired,
    /// 422
    Invalid,
    /// 500, the server could not finish in time
    ServerTimeout,
    /// 504
    Timeout,
    /// 429
    TooManyRequests,
    /// 400
    BadRequest,
    /// 405
    MethodNotAllowed,
    /// 406
    NotAcceptable,
    /// 413
    RequestEntityTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 500
    InternalError,
    /// 503
    ServiceUnavailable,
}

impl Reason {
    /// The HTTP status code that goes with the reason.
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Gone | Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::ServerTimeout | Self::InternalError => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }
}

/// One of several reasons for a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Machine-readable.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// What a failure is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The object's group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The object's resource (plural) or kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The problems in detail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// The metadata of a Status; set only when a list expired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// A token with which an expired list can go on, inconsistently.
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_token: String,
}

/// An outcome that is not an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    kind: &'static str,
    api_version: &'static str,
    /// List metadata.
    pub metadata: Metadata,
    /// `Success` or `Failure`.
    pub status: &'static str,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Machine-readable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// The HTTP status code; 0 is not written and means 200.
    #[serde(skip_serializing_if = "is_no_code")]
    pub code: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_no_code(code: &u16) -> bool {
    *code == 0
}

/// A resource or a kind with its group, printed `deployments.apps` or `pods`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouped<'a> {
    /// The group; empty for core.
    pub group: &'a str,
    /// The plural resource name, or the kind.
    pub name: &'a str,
}

impl<'a> Grouped<'a> {
    /// `name` in `group`.
    pub const fn new(group: &'a str, name: &'a str) -> Self {
        Self { group, name }
    }

    fn details(self, name: &str) -> Details {
        Details {
            name: name.to_owned(),
            group: self.group.to_owned(),
            kind: self.name.to_owned(),
            ..Details::default()
        }
    }
}

impl std::fmt::Display for Grouped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.group.is_empty() { f.write_str(self.name) } else { write!(f, "{}.{}", self.name, self.group) }
    }
}

impl Status {
    /// A failure without details.
    pub fn failure(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind: "Status",
            api_version: "v1",
            metadata: Metadata::default(),
            status: "Failure",
            message: message.into(),
            reason: Some(reason),
            details: None,
            code: reason.code(),
        }
    }

    fn with(mut self, details: Details) -> Self {
        self.details = Some(details);
        self
    }

    /// A success without an object to show: a deleted object's name, kind and uid.
    pub fn deleted(resource: Grouped<'_>, name: &str, uid: &str) -> Self {
        let mut details = resource.details(name);
        uid.clone_into(&mut details.uid);
        Self { status: "Success", message: String::new(), reason: None, code: 0, ..Self::failure(Reason::Gone, "") }
            .with(details)
    }

    /// A virtual resource (a binding, an eviction) was created.
    pub fn created() -> Self {
        Self { status: "Success", message: String::new(), reason: None, code: 201, ..Self::failure(Reason::Gone, "") }
    }

    /// The HTTP status code to answer with.
    pub const fn http_code(&self) -> u16 {
        if self.code == 0 { 200 } else { self.code }
    }

    /// The seconds of a Retry-After header, if there should be one.
    pub fn retry_after(&self) -> Option<u32> {
        self.details.as_ref().map(|details| details.retry_after_seconds).filter(|&seconds| seconds > 0)
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// There is no such object.
    pub fn not_found(resource: Grouped<'_>, name: &str) -> Self {
        Self::failure(Reason::NotFound, format!("{resource} {} not found", quoted(name))).with(resource.details(name))
    }

    /// There is no such resource in a group that exists.
    pub fn no_such_resource() -> Self {
        Self::failure(Reason::NotFound, "the server could not find the requested resource").with(Details::default())
    }

    /// There is such an object already.
    pub fn already_exists(resource: Grouped<'_>, name: &str) -> Self {
        Self::failure(Reason::AlreadyExists, format!("{resource} {} already exists", quoted(name)))
            .with(resource.details(name))
    }

    /// Every generated name was taken.
    pub fn no_unique_name(resource: Grouped<'_>, name: &str) -> Self {
        let message = format!(
            "{resource} {} already exists, the server was not able to generate a unique name for the object",
            quoted(name)
        );
        let details = Details { retry_after_seconds: 1, ..resource.details(name) };
        Self::failure(Reason::AlreadyExists, message).with(details)
    }

    /// The write does not fit the object's present state.
    pub fn conflict(resource: Grouped<'_>, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {why}", quoted(name));
        Self::failure(Reason::Conflict, message).with(resource.details(name))
    }

    /// The object changed since the caller read it.
    pub fn modified(resource: Grouped<'_>, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// The precondition names another uid; upstream names the kind here, not the resource.
    pub fn uid_mismatch(kind: Grouped<'_>, name: &str, wanted: &str, actual: &str) -> Self {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({actual}). The object might have been deleted and then recreated"
        );
        Self::conflict(kind, name, &why)
    }

    /// The precondition names another revision.
    pub fn revision_mismatch(kind: Grouped<'_>, name: &str, wanted: &str, actual: &str) -> Self {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({actual}). The object might have been modified"
        );
        Self::conflict(kind, name, &why)
    }

    /// Fields are owned by others; each conflict is the other manager's description and the field's path.
    pub fn apply_conflicts(conflicts: &[(String, String)]) -> Self {
        let causes: Vec<Cause> = conflicts
            .iter()
            .map(|(manager, field)| Cause {
                reason: "FieldManagerConflict".to_owned(),
                message: format!("conflict with {manager}"),
                field: field.clone(),
            })
            .collect();
        let message = match conflicts {
            [(manager, field)] => format!("Apply failed with 1 conflict: conflict with {manager}: {field}"),
            many => {
                let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
                for (manager, field) in many {
                    match groups.iter_mut().find(|(name, _)| name == manager) {
                        Some((_, fields)) => fields.push(field),
                        None => groups.push((manager, vec![field])),
                    }
                }
                let lines: Vec<String> = groups
                    .iter()
                    .map(|(manager, fields)| format!("conflicts with {manager}:\n- {}", fields.join("\n- ")))
                    .collect();
                format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
            }
        };
        Self::failure(Reason::Conflict, message).with(Details { causes, ..Details::default() })
    }

    /// The object has field errors.
    pub fn invalid(kind: Grouped<'_>, name: &str, errors: &Errors) -> Self {
        let causes = errors
            .iter()
            .map(|error| Cause {
                reason: error.kind.reason().to_owned(),
                message: error.body(),
                field: error.field.clone(),
            })
            .collect();
        let message = format!("{kind} {} is invalid: {errors}", quoted(name));
        Self::failure(Reason::Invalid, message).with(Details { causes, ..kind.details(name) })
    }

    /// The request fails for a reason that is not to be told, such as a JSON patch whose test failed.
    pub fn rejected() -> Self {
        Self::failure(Reason::Invalid, "the server rejected our request due to an error in our request")
            .with(Details::default())
    }

    /// The caller may not, or nobody may.
    pub fn forbidden(resource: Grouped<'_>, name: &str, why: &str) -> Self {
        let message = match (resource.name, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{resource} is forbidden: {why}"),
            _ => format!("{resource} {} is forbidden: {why}", quoted(name)),
        };
        Self::failure(Reason::Forbidden, message).with(resource.details(name))
    }

    /// The namespace is going away.
    pub fn namespace_terminating(resource: Grouped<'_>, name: &str, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut status = Self::forbidden(resource, name, &why);
        if let Some(details) = &mut status.details {
            details.causes.push(Cause {
                reason: "NamespaceTerminating".to_owned(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".to_owned(),
            });
        }
        status
    }

    /// The caller is nobody the server knows.
    pub fn unauthorized() -> Self {
        Self::failure(Reason::Unauthorized, "Unauthorized")
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(Reason::BadRequest, message)
    }

    /// The resource has no such verb.
    pub fn method_not_supported(resource: Grouped<'_>, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind {}", quoted(&resource.to_string()));
        Self::failure(Reason::MethodNotAllowed, message).with(resource.details(""))
    }

    /// The path takes other methods only.
    pub fn method_not_allowed() -> Self {
        Self::failure(Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
            .with(Details::default())
    }

    /// None of the accepted representations can be given.
    pub fn not_acceptable(available: &[&str]) -> Self {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {}", available.join(", "));
        Self::failure(Reason::NotAcceptable, message).with(Details::default())
    }

    /// The body's content type is unknown.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let types = accepted.join(", ");
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {types}");
        Self::failure(Reason::UnsupportedMediaType, message)
    }

    /// The body is too big.
    pub fn too_large(limit: usize) -> Self {
        Self::failure(Reason::RequestEntityTooLarge, format!("Request entity too large: limit is {limit}"))
    }

    /// The server has enough to do.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::failure(Reason::TooManyRequests, message).with(Details { retry_after_seconds, ..Details::default() })
    }

    /// The request took too long.
    pub fn timeout(message: &str, retry_after_seconds: u32) -> Self {
        Self::failure(Reason::Timeout, format!("Timeout: {message}"))
            .with(Details { retry_after_seconds, ..Details::default() })
    }

    /// The asked revision lies in the future and did not come.
    pub fn resource_version_too_large(asked: i64, current: i64) -> Self {
        let mut status = Self::timeout(&format!("Too large resource version: {asked}, current: {current}"), 1);
        if let Some(details) = &mut status.details {
            details.causes.push(Cause {
                reason: "ResourceVersionTooLarge".to_owned(),
                message: "Too large resource version".to_owned(),
                field: String::new(),
            });
        }
        status
    }

    /// The revision of a list or watch has been compacted.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(Reason::Expired, message)
    }

    /// The revision of a continued list has been compacted; `token` allows to go on inconsistently.
    pub fn list_expired(token: String) -> Self {
        let mut status = Self::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        );
        status.metadata.continue_token = token;
        status
    }

    /// A failure that upstream has no word for either.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self { reason: None, ..Self::failure(Reason::InternalError, message) }
    }

    /// The server failed.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        let cause = Cause { message: error.to_string(), ..Cause::default() };
        Self::failure(Reason::InternalError, format!("Internal error occurred: {error}"))
            .with(Details { causes: vec![cause], ..Details::default() })
    }

    /// The server cannot serve now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failure(Reason::ServiceUnavailable, message)
    }

    /// The operation could not be finished now but can be tried again.
    pub fn server_timeout(resource: Grouped<'_>, operation: &str, retry_after_seconds: u32) -> Self {
        let message = format!(
            "The {operation} operation against {resource} could not be completed at this time, please try again."
        );
        let details = Details { name: operation.to_owned(), retry_after_seconds, ..resource.details("") };
        Self::failure(Reason::ServerTimeout, message).with(details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validation::Path;

    fn check(status: &Status, want: &str) {
        assert_eq!(String::from_utf8(status.to_json()).unwrap(), want);
    }

    const CONFIG_MAPS: Grouped<'_> = Grouped::new("", "configmaps");

    #[test]
    fn bodies_are_those_of_a_kubernetes_api_server() {
        check(
            &Status::not_found(CONFIG_MAPS, "nope"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"configmaps \"nope\" not found","reason":"NotFound","details":{"name":"nope","kind":"configmaps"},"code":404}"#,
        );
        check(
            &Status::no_such_resource(),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}"#,
        );
        check(
            &Status::modified(CONFIG_MAPS, "g1"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Operation cannot be fulfilled on configmaps \"g1\": the object has been modified; please apply your changes to the latest version and try again","reason":"Conflict","details":{"name":"g1","kind":"configmaps"},"code":409}"#,
        );
        check(
            &Status::deleted(CONFIG_MAPS, "g1", "2a7e"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","details":{"name":"g1","kind":"configmaps","uid":"2a7e"}}"#,
        );
        check(
            &Status::resource_version_too_large(999_999_999, 6054),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Timeout: Too large resource version: 999999999, current: 6054","reason":"Timeout","details":{"causes":[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}],"retryAfterSeconds":1},"code":504}"#,
        );
        check(
            &Status::apply_conflicts(&[("\"a\"".into(), ".data.k".into())]),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Apply failed with 1 conflict: conflict with \"a\": .data.k","reason":"Conflict","details":{"causes":[{"reason":"FieldManagerConflict","message":"conflict with \"a\"","field":".data.k"}]},"code":409}"#,
        );
        check(
            &Status::too_large(3_145_728),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Request entity too large: limit is 3145728","reason":"RequestEntityTooLarge","code":413}"#,
        );
    }

    #[test]
    fn field_errors_become_causes() {
        let mut errors = Errors::new();
        errors.required(&Path::Root.field("fieldManager"), "is required for apply patch");
        check(
            &Status::invalid(Grouped::new("meta.k8s.io", "PatchOptions"), "", &errors),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch","reason":"Invalid","details":{"group":"meta.k8s.io","kind":"PatchOptions","causes":[{"reason":"FieldValueRequired","message":"Required value: is required for apply patch","field":"fieldManager"}]},"code":422}"#,
        );
    }

    #[test]
    fn forbidden_names_what_it_can() {
        let deployments = Grouped::new("apps", "deployments");
        for (status, want) in [
            (Status::forbidden(deployments, "web", "no"), "deployments.apps \"web\" is forbidden: no"),
            (Status::forbidden(deployments, "", "no"), "deployments.apps is forbidden: no"),
            (Status::forbidden(Grouped::new("", ""), "", "no"), "forbidden: no"),
        ] {
            assert_eq!(status.message, want);
        }
    }
}
