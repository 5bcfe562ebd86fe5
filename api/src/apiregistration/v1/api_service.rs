//! `APIService`: who serves a group and version. Without a Service it is this API server.

use jiff::Timestamp;

use crate::kind::{Generation, Kind, READ_AND_CHANGE, Scope, Subresource};
use crate::names;
use crate::node::{Node, Struct};
use crate::object::Object;
use crate::schema::types;
use crate::table::{Row, age_column, column, name_column};
use crate::validation::{Errors, Path};

const GROUP_PRIORITY_MAX: i64 = 20000;
const VERSION_PRIORITY_MAX: i64 = 1000;

/// The kind.
pub static KIND: Kind = Kind {
    group: "apiregistration.k8s.io",
    plural: "apiservices",
    singular: "apiservice",
    kind: "APIService",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    subresources: &[Subresource { name: "status", group: "", version: "", kind: "APIService", verbs: READ_AND_CHANGE }],
    ty: &types::APIREGISTRATION_V1_API_SERVICE,
    columns: &[
        name_column(),
        column("Service", "The Service that serves the version, or Local."),
        column("Available", "Whether the version can be used."),
        age_column(),
    ],
    row,
    generation: Generation::Spec,
    // What the name must be follows from the group and the version.
    name_rule: |_| Vec::new(),
    defaults: |service: &mut Struct| {
        if let Some(reference) = service.get_mut("spec").and_then(|spec| spec.get_mut("service"))
            && reference.get("port").is_none()
        {
            reference.set("port", 443_i64);
        }
    },
    check,
    check_status_update: |new, _, errors| {
        let path = Path::Root.field("status");
        let path = path.field("conditions");
        for (index, condition) in new.body.items_at("status.conditions").iter().enumerate() {
            let status = condition.str_at("status");
            if !matches!(status, "True" | "False" | "Unknown") {
                errors.not_supported(&path.index(index).field("status"), status, &["True", "False", "Unknown"]);
            }
        }
    },
    ..Kind::BASE
};

fn row(service: &Object, now: Timestamp) -> Row {
    let server = service.at("spec.service").map_or_else(
        || "Local".to_owned(),
        |reference| format!("{}/{}", reference.str_at("namespace"), reference.str_at("name")),
    );
    let conditions = service.body.items_at("status.conditions");
    let available = conditions.iter().find(|condition| condition.str_at("type") == "Available");
    let available = available.map_or_else(
        || "Unknown".to_owned(),
        |condition| match (condition.str_at("status"), condition.str_at("reason")) {
            ("True", _) => "True".to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        },
    );
    Row::of([service.name().into(), server.into(), available.into(), Row::age(service, now)])
}

fn check(service: &Object, errors: &mut Errors) {
    let root = Path::Root;
    let path = root.field("spec");
    let (group, version) = (service.str_at("spec.group"), service.str_at("spec.version"));
    let required = format!("{version}.{group}");
    let name = service.name();
    let mut problems = names::path_segment(name);
    if problems.is_empty() && name != required {
        problems.push(format!("must be `spec.version+\".\"+spec.group`: \"{required}\""));
    }
    if !name.is_empty() {
        errors.invalid_each(&root.field("metadata").field("name"), name, problems);
    }
    if group.is_empty() {
        if version != "v1" {
            let detail = "only v1 may have an empty group and it better be legacy kube";
            errors.required(&path.field("group"), detail);
        }
    } else {
        errors.invalid_each(&path.field("group"), group, names::dns1123_subdomain(group));
    }
    errors.invalid_each(&path.field("version"), version, names::dns1035_label(version));
    for (field, max) in [("groupPriorityMinimum", GROUP_PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)] {
        let priority = service.at("spec").and_then(|spec| spec.i64_at(field)).unwrap_or(0);
        if !(1..=max).contains(&priority) {
            errors.invalid(&path.field(field), priority, format!("must be positive and less than {max}"));
        }
    }
    check_server(service, &path, errors);
}

fn check_server(service: &Object, path: &Path<'_>, errors: &mut Errors) {
    let trusting = service.body.bool_at("spec.insecureSkipTLSVerify") == Some(true);
    let bundle = service.at("spec.caBundle").and_then(Node::as_str).unwrap_or("");
    let Some(reference) = service.at("spec.service") else {
        if !bundle.is_empty() {
            let size = crate::core::v1::config_map::decoded_len(bundle);
            let detail = "local APIServices may not have a caBundle";
            errors.invalid(&path.field("caBundle"), format!("{size} bytes"), detail);
        }
        if trusting {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            errors.invalid(&path.field("insecureSkipTLSVerify"), true, detail);
        }
        return;
    };
    for field in ["namespace", "name"] {
        if reference.str_at(field).is_empty() {
            errors.required(&path.field("service").field(field), "");
        }
    }
    if trusting && !bundle.is_empty() {
        errors.invalid(&path.field("insecureSkipTLSVerify"), true, "may not be true if caBundle is present");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{check_all, defaulted, row};

    #[test]
    fn mistakes_are_told_with_their_paths() {
        let good = "spec: {group: a.b, version: v1, groupPriorityMinimum: 100, versionPriority: 10";
        check_all(&[
            (&KIND, &format!("metadata: {{name: v1.a.b}}\n{good}}}"), &[]),
            (
                &KIND,
                &format!("metadata: {{name: other}}\n{good}, caBundle: QUJD, insecureSkipTLSVerify: true}}"),
                &[
                    "metadata.name: Invalid value: \"other\": must be `spec.version+\".\"+spec.group`: \"v1.a.b\"",
                    "spec.caBundle: Invalid value: \"3 bytes\": local APIServices may not have a caBundle",
                    "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
                ],
            ),
            (
                &KIND,
                "metadata: {name: v2.}\nspec: {version: v2, service: {name: s}}",
                &[
                    "spec.group: Required value: only v1 may have an empty group and it better be legacy kube",
                    "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
                    "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
                    "spec.service.namespace: Required value",
                ],
            ),
        ]);
    }

    #[test]
    fn the_row_says_who_serves() {
        let yaml = "spec: {service: {namespace: n1, name: s}}\nstatus: {conditions: [{type: Available, status: 'False', reason: MissingEndpoints}]}";
        assert_eq!(row(&KIND, yaml), "web | n1/s | False (MissingEndpoints) | <unknown>");
        assert_eq!(row(&KIND, "{}"), "web | Local | Unknown | <unknown>");
        assert_eq!(defaulted(&KIND, yaml).body.i64_at("spec.service.port"), Some(443));
    }
}
