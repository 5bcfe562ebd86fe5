//! What a request asks for, read from its method, path and query alone (upstream's `RequestInfo`).
//!
//! Authorization and routing both work on this value, so a path can never mean one thing to one and another to the
//! other. It does not know which resources exist.

use http::{Method, Uri};

/// What a request asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    /// True for `/api/v1/...` and `/apis/<group>/<version>/...` with a resource in it.
    pub is_resource: bool,
    /// The Kubernetes verb for a resource, the lower-case HTTP method otherwise.
    pub verb: &'static str,
    /// The path as sent, without the query.
    pub path: String,
    /// The API group, empty for the core group.
    pub group: String,
    /// The version of the group.
    pub version: String,
    /// The namespace, empty when the request has none.
    pub namespace: String,
    /// The plural name of the resource.
    pub resource: String,
    /// The subresource, empty when there is none.
    pub subresource: String,
    /// The object's name, empty for a collection.
    pub name: String,
    /// What follows the subresource.
    pub rest: Vec<String>,
    /// The field selector of a list, watch or deletecollection.
    pub field_selector: String,
    /// True when nothing of the request is to last.
    pub dry_run: bool,
    /// True for server-side apply, which only the body's media type tells.
    pub applies: bool,
}

impl RequestInfo {
    /// Reads a request's method and address.
    pub(crate) fn new(method: &Method, uri: &Uri) -> Self {
        let mut info = Self { verb: method_verb(method), path: uri.path().to_owned(), ..Self::default() };
        let mut parts: Vec<String> = uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let skip = match parts.first().map(String::as_str) {
            Some("api") if parts.len() > 2 => 2,
            Some("apis") if parts.len() > 3 => {
                info.group = std::mem::take(&mut parts[1]);
                3
            }
            _ => return info,
        };
        info.version = std::mem::take(&mut parts[skip - 1]);
        parts.drain(..skip);
        info.is_resource = true;
        info.verb = resource_verb(method);
        let mut legacy_watch = false;
        if parts.len() > 1 && parts[0] == "watch" {
            legacy_watch = true;
            parts.remove(0);
        }
        info.place(parts);
        info.refine(uri.query().unwrap_or_default(), legacy_watch);
        info
    }

    /// Sorts the path's remaining parts into namespace, resource, name and subresource.
    fn place(&mut self, mut parts: Vec<String>) {
        if parts[0] == "namespaces" && parts.len() > 1 {
            self.namespace.clone_from(&parts[1]);
            // `status` and `finalize` are parts of a Namespace; anything else after its name is a resource within it.
            if parts.len() > 2 && !matches!(parts[2].as_str(), "status" | "finalize") {
                parts.drain(..2);
            }
        }
        let mut parts = parts.into_iter();
        self.resource = parts.next().unwrap_or_default();
        self.name = parts.next().unwrap_or_default();
        self.subresource = parts.next().unwrap_or_default();
        self.rest = parts.collect();
    }

    /// Tells list from get, watch from list, and the collection from the object.
    fn refine(&mut self, query: &str, legacy_watch: bool) {
        self.dry_run = query_pairs(query).any(|(key, value)| key == "dryRun" && value == "All");
        if self.name.is_empty() {
            match self.verb {
                "get" => self.verb = "list",
                "delete" => self.verb = "deletecollection",
                _ => {}
            }
        }
        if !matches!(self.verb, "list" | "deletecollection" | "get") || !self.subresource.is_empty() {
            return;
        }
        let mut watch = legacy_watch;
        for (key, value) in query_pairs(query) {
            match key.as_ref() {
                "watch" => watch |= is_true(&value),
                "fieldSelector" => self.field_selector = value,
                _ => {}
            }
        }
        if watch && (self.verb == "list" || (self.verb == "get" && legacy_watch)) {
            self.verb = "watch";
        }
        // A list of exactly one name is authorized as access to that name.
        if let (true, Some(name)) = (self.name.is_empty(), self.selected("metadata.name")) {
            self.name = name.to_owned();
        }
    }

    /// The one value the field selector admits for a field, if it says so.
    pub(crate) fn selected(&self, field: &str) -> Option<&str> {
        self.field_selector.split(',').find_map(|term| {
            let value = term.strip_prefix(field)?.strip_prefix('=')?;
            let value = value.strip_prefix('=').unwrap_or(value);
            (!value.is_empty()).then_some(value)
        })
    }

    /// True for requests that may stay open as long as both sides like.
    pub(crate) fn is_long_running(&self) -> bool {
        self.is_resource
            && (self.verb == "watch"
                || matches!(self.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy"))
    }
}

/// A truth value of a query: whatever does not say no, and so a key alone, says yes.
pub(crate) fn is_true(value: &str) -> bool {
    !value.eq_ignore_ascii_case("false") && value != "0"
}

/// The pairs of a query string, decoded; keys without a value read as empty.
pub(crate) fn query_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode_query(key), decode_query(value))
    })
}

/// A value as it stands in a query.
pub(crate) fn encode_query(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn method_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "",
    }
}

fn resource_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

fn decode_query(text: &str) -> String {
    if text.contains('+') { decode(&text.replace('+', " ")) } else { decode(text) }
}

/// Percent-decodes; what is not valid UTF-8 afterwards is replaced, and so matches no object.
pub(crate) fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_upstream_reads_them() {
        let cases = [
            ("GET", "/api/v1/namespaces/ns/pods", "list  v1 ns pods  "),
            ("GET", "/api/v1/namespaces/ns/pods?watch=true", "watch  v1 ns pods  "),
            ("GET", "/api/v1/namespaces/ns/pods?watch=0", "list  v1 ns pods  "),
            ("GET", "/api/v1/watch/namespaces/ns/pods/p", "watch  v1 ns pods  p"),
            ("GET", "/api/v1/namespaces/ns/pods/p/log", "get  v1 ns pods log p"),
            ("POST", "/api/v1/namespaces/ns/pods/p/binding", "create  v1 ns pods binding p"),
            ("GET", "/api/v1/namespaces", "list  v1  namespaces  "),
            ("GET", "/api/v1/namespaces/ns", "get  v1 ns namespaces  ns"),
            ("PUT", "/api/v1/namespaces/ns/finalize", "update  v1 ns namespaces finalize ns"),
            ("PATCH", "/apis/apps/v1/namespaces/ns/deployments/web/scale", "patch apps v1 ns deployments scale web"),
            ("DELETE", "/apis/apps/v1/namespaces/ns/deployments", "deletecollection apps v1 ns deployments  "),
            ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode", {
                "get rbac.authorization.k8s.io v1  clusterroles  system:node"
            }),
            ("GET", "/api/v1/namespaces/ns/secrets?fieldSelector=metadata.name%3Dtls", "list  v1 ns secrets  tls"),
        ];
        for (method, uri, expected) in cases {
            let method: Method = method.parse().unwrap();
            let info = RequestInfo::new(&method, &uri.parse().unwrap());
            assert!(info.is_resource, "{uri}");
            let got = [info.verb, &info.group, &info.version, &info.namespace, &info.resource, &info.subresource, {
                &info.name
            }];
            assert_eq!(got.join(" "), expected, "{uri}");
        }
    }

    #[test]
    fn an_encoded_value_reads_back() {
        for value in ["plain-1.2_3~", "a b+c&d=e%", "ünï/\n\"'"] {
            let query = format!("command={}", encode_query(value));
            assert_eq!(query_pairs(&query).next().unwrap().1, value);
            assert!(query.is_ascii());
        }
    }

    #[test]
    fn other_paths_keep_the_method_as_verb() {
        for path in ["/api", "/api/v1", "/apis/apps/v1", "/healthz", "/", "/version"] {
            let info = RequestInfo::new(&Method::GET, &path.parse().unwrap());
            assert_eq!((info.is_resource, info.verb, info.path.as_str()), (false, "get", path));
        }
    }
}
