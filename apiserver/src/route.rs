//! Whether an address has the form that the resource's addresses have. Upstream knows one path for each scope; here one
//! parser reads them all, so what it reads too generously is refused before anything is done.

use api::{kind::Kind, status::Status};

use crate::{error::Result, request_info::RequestInfo};

/// Subresources whose path goes on after their name.
const OPEN_ENDED: [&str; 1] = ["proxy"];

/// Refuses an address that no resource of this scope has, and methods that its collection or object does not take.
pub(crate) fn check(info: &RequestInfo, kind: &Kind) -> Result<()> {
    let nowhere = || Err(Status::no_such_resource().into());
    let not_allowed = || Err(Status::method_not_allowed().into());
    if !info.rest.is_empty() && !OPEN_ENDED.contains(&info.subresource.as_str()) {
        return nowhere();
    }
    let is_namespace = kind.group.is_empty() && kind.plural == "namespaces";
    if !kind.is_namespaced() && !info.namespace.is_empty() && !is_namespace {
        return nowhere();
    }
    // A list may carry a name that its field selector gave it.
    let collection = matches!(info.verb, "list" | "watch" | "deletecollection") || info.name.is_empty();
    if kind.is_namespaced() && info.namespace.is_empty() {
        return match (collection, info.verb) {
            (true, "list" | "watch") => Ok(()),
            (true, _) => not_allowed(),
            (false, _) => nowhere(),
        };
    }
    if collection && matches!(info.verb, "update" | "patch") {
        return not_allowed();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn addresses_fit_the_scope_of_their_resource() {
        let cases = [
            ("GET", "/api/v1/pods", 200),
            ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dx", 200),
            ("GET", "/api/v1/pods?watch=1", 200),
            ("POST", "/api/v1/pods", 405),
            ("DELETE", "/api/v1/pods", 405),
            ("GET", "/api/v1/pods/x", 404),
            ("GET", "/api/v1/namespaces/a/pods/x", 200),
            ("GET", "/api/v1/namespaces/a/pods/x/log/more", 404),
            ("GET", "/api/v1/namespaces/a/pods/x/proxy/some/path", 200),
            ("PUT", "/api/v1/namespaces/a/pods", 405),
            ("PATCH", "/api/v1/namespaces/a/pods", 405),
            ("DELETE", "/api/v1/namespaces/a/pods", 200),
            ("GET", "/api/v1/namespaces/a/nodes/x", 404),
            ("GET", "/api/v1/nodes/x", 200),
            ("GET", "/api/v1/namespaces/a", 200),
            ("PUT", "/api/v1/namespaces", 405),
        ];
        for (method, path, expected) in cases {
            let info = RequestInfo::new(&method.parse::<Method>().unwrap(), &path.parse().unwrap());
            let kind = api::kind::lookup("", "v1", &info.resource).unwrap();
            let code = check(&info, kind).map_or_else(|error| error.0.http_code(), |()| 200);
            assert_eq!(code, expected, "{method} {path}");
        }
    }
}
