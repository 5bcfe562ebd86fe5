//! One operation a verb, from the kinds.

use api::kind::{Kind, Subresource};
use api::schema::{self, Type, types};
use serde_json::{Map, Value, json};

use super::Dialect;
use super::definitions::Used;
use crate::discovery::version_path;

const MEDIA_TYPES: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const WATCH_TYPES: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCH_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// A parameter: name, type, what it does.
type Parameter = (&'static str, &'static str, &'static str);

const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "Whether a watch may tell from time to time how far it has come."),
    ("continue", "string", "The token from an incomplete list, to go on with it."),
    ("fieldSelector", "string", "Only objects whose fields are as given here."),
    ("labelSelector", "string", "Only objects whose labels are as given here."),
    ("limit", "integer", "At most so many objects in one answer."),
    ("resourceVersion", "string", "How recent the answer must be, or where the watch starts."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Whether a watch begins with what is there already."),
    ("timeoutSeconds", "integer", "How long the call or the watch may take."),
    ("watch", "boolean", "Whether to go on telling what changes, instead of a list."),
];
const WRITE: &[Parameter] = &[
    ("dryRun", "string", "With All, everything is done but the write itself."),
    ("fieldManager", "string", "The name under which the caller's fields are noted."),
    ("fieldValidation", "string", "What happens to unknown and repeated fields: Ignore, Warn or Strict."),
];
const FORCE: Parameter = ("force", "boolean", "Whether an apply takes over fields that belong to others.");
const DELETE: &[Parameter] = &[
    ("dryRun", "string", "With All, everything is done but the deletion itself."),
    ("gracePeriodSeconds", "integer", "How long the object may take to end."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "string", "What happens to dependents: Orphan, Background or Foreground."),
];
const PRETTY: Parameter = ("pretty", "string", "Whether the answer is indented.");
const NAME: Parameter = ("name", "string", "The name of the object.");
const NAMESPACE: Parameter = ("namespace", "string", "The namespace of the object.");

/// An operation before it is written in a dialect.
struct Operation<'a> {
    kind: &'a Kind,
    /// The kind of the body: another one for some subresources.
    body_kind: (&'a str, &'a str, &'a str),
    method: &'static str,
    /// What is done, as `x-kubernetes-action` has it.
    action: &'static str,
    id: String,
    description: String,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    answer: Option<Type>,
    code: &'static str,
}

#[derive(Clone, Copy)]
enum Body {
    Object(Type),
    Patch,
    DeleteOptions,
}

/// All paths of these kinds with their operations.
pub(super) fn paths(kinds: &[&Kind], dialect: Dialect, used: &mut Used) -> Map<String, Value> {
    let mut paths = Map::new();
    for kind in kinds {
        let base = version_path(kind.group, kind.version);
        let inside = if kind.is_namespaced() { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{base}{inside}/{}", kind.plural);
        let item = format!("{collection}/{{name}}");
        if kind.is_namespaced() && kind.verbs.contains(&"list") {
            let mut list = operation(kind, "list");
            list.id = format!("{}ForAllNamespaces", id(kind, "list", "", false, ""));
            add(&mut paths, &format!("{base}/{}", kind.plural), &[], vec![list], dialect, used);
        }
        let of = |verbs: &[&'static str]| -> Vec<Operation<'_>> {
            verbs.iter().filter(|verb| kind.verbs.contains(verb)).map(|verb| operation(kind, verb)).collect()
        };
        let namespaced: &[Parameter] = if kind.is_namespaced() { &[NAMESPACE] } else { &[] };
        add(&mut paths, &collection, namespaced, of(&["list", "create", "deletecollection"]), dialect, used);
        let named: Vec<Parameter> = std::iter::once(NAME).chain(namespaced.iter().copied()).collect();
        add(&mut paths, &item, &named, of(&["get", "update", "patch", "delete"]), dialect, used);
        for subresource in kind.subresources {
            let operations = subresource.verbs.iter().map(|verb| below(kind, subresource, verb)).collect();
            add(&mut paths, &format!("{item}/{}", subresource.name), &named, operations, dialect, used);
        }
    }
    paths
}

fn add(
    paths: &mut Map<String, Value>,
    path: &str,
    parameters: &[Parameter],
    operations: Vec<Operation<'_>>,
    dialect: Dialect,
    used: &mut Used,
) {
    if operations.is_empty() {
        return;
    }
    let parameters = parameters.iter().map(|one| parameter(one, "path", dialect));
    let pretty = std::iter::once(parameter(&PRETTY, "query", dialect));
    let mut item = Map::new();
    item.insert("parameters".to_owned(), parameters.chain(pretty).collect());
    for operation in operations {
        item.insert(operation.method.to_owned(), write(&operation, dialect, used));
    }
    paths.insert(path.to_owned(), item.into());
}

/// `rbac.authorization.k8s.io` as `RbacAuthorization`.
fn group_id(group: &str) -> String {
    if group.is_empty() {
        return "Core".to_owned();
    }
    group.trim_end_matches(".k8s.io").split('.').map(capitalized).collect()
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn id(kind: &Kind, action: &str, middle: &str, in_namespace: bool, tail: &str) -> String {
    let namespaced = if in_namespace { "Namespaced" } else { "" };
    let (group, version) = (group_id(kind.group), capitalized(kind.version));
    format!("{action}{group}{version}{middle}{namespaced}{}{tail}", kind.kind)
}

fn operation<'a>(kind: &'a Kind, verb: &str) -> Operation<'a> {
    let one = format!("an object of the kind {}", kind.kind);
    let many = format!("objects of the kind {}", kind.kind);
    // Method, action, first word of the id, its middle, what is done.
    let (method, action, word, middle, description) = match verb {
        "list" => ("get", "list", "list", "", format!("Lists or watches {many}.")),
        "create" => ("post", "post", "create", "", format!("Creates {one}.")),
        "deletecollection" => ("delete", "deletecollection", "delete", "Collection", format!("Deletes {many}.")),
        "delete" => ("delete", "delete", "delete", "", format!("Deletes {one}.")),
        "update" => ("put", "put", "replace", "", format!("Replaces {one}.")),
        "patch" => ("patch", "patch", "patch", "", format!("Changes parts of {one}.")),
        _ => ("get", "get", "read", "", format!("Reads {one}.")),
    };
    let parameters: Vec<Parameter> = match verb {
        "list" => LIST.to_vec(),
        "deletecollection" => LIST.iter().chain(DELETE).copied().collect(),
        "delete" => DELETE.to_vec(),
        "patch" => WRITE.iter().chain([&FORCE]).copied().collect(),
        "create" | "update" => WRITE.to_vec(),
        _ => Vec::new(),
    };
    Operation {
        kind,
        body_kind: (kind.group, kind.version, kind.kind),
        method,
        action,
        id: id(kind, word, middle, kind.is_namespaced(), ""),
        description,
        parameters,
        body: match verb {
            "create" | "update" => Some(Body::Object(kind.ty)),
            "delete" | "deletecollection" => Some(Body::DeleteOptions),
            "patch" => Some(Body::Patch),
            _ => None,
        },
        answer: match verb {
            "list" => kind.list_type(),
            "delete" | "deletecollection" => Some(&types::META_V1_STATUS),
            _ => Some(kind.ty),
        },
        code: if verb == "create" { "201" } else { "200" },
    }
}

/// The operation of a verb on a subresource: that of the object, with the subresource's own body.
fn below<'a>(kind: &'a Kind, subresource: &'a Subresource, verb: &str) -> Operation<'a> {
    let plain = operation(kind, verb);
    if subresource.is_connection() {
        let (method, part) = (capitalized(plain.method), capitalized(subresource.name));
        return Operation {
            body_kind: (kind.group, kind.version, subresource.kind),
            action: "connect",
            id: id(kind, "connect", &method, kind.is_namespaced(), &part),
            description: format!("Connects to the {} of an object of the kind {}.", subresource.name, kind.kind),
            parameters: Vec::new(),
            body: None,
            answer: None,
            code: "200",
            ..plain
        };
    }
    let is_own = subresource.version.is_empty();
    let body_kind = if is_own { plain.body_kind } else { (subresource.group, subresource.version, subresource.kind) };
    // A log is text.
    let ty = match subresource.name {
        "log" => None,
        _ if is_own => Some(kind.ty),
        _ => schema::object_type(body_kind.0, body_kind.1, body_kind.2),
    };
    Operation {
        body_kind,
        id: format!("{}{}", plain.id, capitalized(subresource.name)),
        description: format!("{} Only its {}.", plain.description, subresource.name),
        body: plain.body.map(|body| match (body, ty) {
            (Body::Object(_), Some(ty)) => Body::Object(ty),
            (body, _) => body,
        }),
        answer: ty,
        ..plain
    }
}

fn parameter((name, kind, description): &Parameter, place: &str, dialect: Dialect) -> Value {
    let mut value = json!({ "name": name, "in": place, "description": description, "uniqueItems": true });
    if place == "path" {
        value["required"] = true.into();
    }
    match dialect {
        Dialect::V2 => value["type"] = (*kind).into(),
        Dialect::V3 => {
            drop(value.as_object_mut().and_then(|fields| fields.remove("uniqueItems")));
            value["schema"] = json!({ "type": kind, "uniqueItems": true });
        }
    }
    value
}

fn write(operation: &Operation<'_>, dialect: Dialect, used: &mut Used) -> Value {
    let (group, version, kind) = operation.body_kind;
    let group_tag = match operation.kind.group {
        "" => "core".to_owned(),
        group => {
            let name = group_id(group);
            let mut letters = name.chars();
            letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
        }
    };
    let mut value = json!({
        "tags": [format!("{group_tag}_{}", operation.kind.version)],
        "description": operation.description,
        "operationId": operation.id,
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": { "group": group, "kind": kind, "version": version },
    });
    let parameters = operation.parameters.iter().map(|one| parameter(one, "query", dialect));
    let mut parameters: Vec<Value> = parameters.collect();
    let body = operation.body.map(|body| match body {
        Body::Object(ty) => used.reference(ty, dialect),
        Body::Patch => used.patch(dialect),
        Body::DeleteOptions => used.reference(&types::META_V1_DELETE_OPTIONS, dialect),
    });
    let is_patch = matches!(operation.body, Some(Body::Patch));
    let required = !matches!(operation.body, Some(Body::DeleteOptions));
    let custom = operation.kind.custom.is_some();
    let answer = match operation.action {
        "list" if custom => Some(used.list(operation.kind, dialect)),
        _ => operation.answer.map(|ty| used.reference(ty, dialect)),
    };
    let produced: Vec<&str> = match (operation.action, &answer) {
        (_, None) => vec!["text/plain"],
        ("list", _) => MEDIA_TYPES.into_iter().chain(WATCH_TYPES).collect(),
        _ => MEDIA_TYPES.to_vec(),
    };
    let produced: Vec<&str> = produced.into_iter().filter(|media| !custom || !media.contains("protobuf")).collect();
    let patches: Vec<&str> = PATCH_TYPES.into_iter().filter(|media| !custom || !media.contains("strategic")).collect();
    match dialect {
        Dialect::V2 => {
            if let Some(schema) = body {
                parameters.push(json!({ "name": "body", "in": "body", "required": required, "schema": schema }));
            }
            value["consumes"] = if is_patch { json!(patches) } else { json!(["*/*"]) };
            value["produces"] = produced.into();
            value["schemes"] = json!(["https"]);
            let schema = answer.unwrap_or_else(|| json!({ "type": "string" }));
            value["responses"] = json!({
                operation.code: { "description": "OK", "schema": schema },
                "401": { "description": "Unauthorized" },
            });
        }
        Dialect::V3 => {
            if let Some(schema) = body {
                let types: &[&str] = if is_patch { &patches } else { &["*/*"] };
                let content = content(types.iter().copied(), &schema);
                value["requestBody"] = json!({ "content": content, "required": required });
            }
            let schema = answer.unwrap_or_else(|| json!({ "type": "string" }));
            value["responses"] = json!({
                operation.code: { "description": "OK", "content": content(produced.into_iter(), &schema) },
                "401": { "description": "Unauthorized" },
            });
        }
    }
    if !parameters.is_empty() {
        value["parameters"] = parameters.into();
    }
    value
}

fn content<'a>(types: impl Iterator<Item = &'a str>, schema: &Value) -> Map<String, Value> {
    types.map(|media| (media.to_owned(), json!({ "schema": schema }))).collect()
}
