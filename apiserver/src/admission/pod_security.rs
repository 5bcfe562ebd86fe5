//! PodSecurity: a namespace says by labels how much its pods may dare, and what happens if they dare more: refusal, or a
//! warning. Nobody is held to anything where no label says so.

use api::{
    Object,
    kind::Kind,
    status::{Grouped, Status},
    validation::{Errors, Path},
};
use serde_json::Value;

use super::{Change, Operation};
use crate::error::Result;

mod checks;

const PREFIX: &str = "pod-security.kubernetes.io/";
const LEVELS: [&str; 3] = ["privileged", "baseline", "restricted"];

/// How much pods may dare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Everything.
    Privileged,
    /// Nothing by which known ways lead out of a container.
    Baseline,
    /// Nothing they do not need.
    Restricted,
}

impl Level {
    /// What cannot be read is meant to be strict.
    fn parse(text: &str) -> Self {
        match text {
            "privileged" => Self::Privileged,
            "baseline" => Self::Baseline,
            _ => Self::Restricted,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Privileged => LEVELS[0],
            Self::Baseline => LEVELS[1],
            Self::Restricted => LEVELS[2],
        }
    }
}

/// Refuses pods that dare more than their namespace allows, and warns of those that dare more than it likes.
pub(super) fn admit(change: &Change<'_>, object: &Object) -> Result<()> {
    if change.is("", "namespaces") {
        return labels(object);
    }
    let is_pod = change.is("", "pods") || change.is_part("pods", "ephemeralcontainers");
    let Some(path) = pod_path(change.kind).filter(|_| is_pod || change.subresource.is_empty()) else {
        return Ok(());
    };
    if change.operation == Operation::Update && is_pod && !matters(object, change.old) {
        return Ok(());
    }
    let Some(namespace) = change.storage.local_json("", "namespaces", "", change.namespace) else { return Ok(()) };
    let wanted = |mode: &str| {
        let label = namespace["metadata"]["labels"][format!("{PREFIX}{mode}")].as_str()?;
        let version = namespace["metadata"]["labels"][format!("{PREFIX}{mode}-version")].as_str().unwrap_or("latest");
        Some((Level::parse(label), version.to_owned()))
    };
    let (enforce, warn) = (wanted("enforce").filter(|_| is_pod), wanted("warn"));
    if enforce.is_none() && warn.is_none() {
        return Ok(());
    }
    let json: Value = serde_json::from_slice(&api::json::encode(object)).unwrap_or_default();
    let pod = path.iter().fold(&json, |json, step| &json[*step]);
    if let Some((level, version)) = enforce
        && let Some(violations) = checks::violations(level, &pod["spec"])
    {
        let why = format!("violates PodSecurity \"{}:{version}\": {violations}", level.name());
        return Err(Status::forbidden(Grouped::new("", "pods"), object.name(), &why).into());
    }
    if let Some((level, version)) = warn
        && let Some(violations) = checks::violations(level, &pod["spec"])
    {
        change.warnings.add(format!("would violate PodSecurity \"{}:{version}\": {violations}", level.name()));
    }
    Ok(())
}

/// Where an object of the kind holds a pod.
fn pod_path(kind: &Kind) -> Option<&'static [&'static str]> {
    Some(match (kind.group, kind.plural) {
        ("", "pods") => &[],
        ("", "podtemplates") => &["template"],
        ("", "replicationcontrollers")
        | ("apps" | "extensions", "daemonsets" | "deployments" | "replicasets" | "statefulsets")
        | ("batch", "jobs") => &["spec", "template"],
        ("batch", "cronjobs") => &["spec", "jobTemplate", "spec", "template"],
        _ => return None,
    })
}

/// An update matters if it brings in what was not looked at before: another image, another container.
fn matters(new: &Object, old: Option<&Object>) -> bool {
    let images = |pod: &Object| -> Vec<(String, String)> {
        ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"]
            .iter()
            .flat_map(|list| pod.body.items_at(list))
            .map(|container| (container.str_at("name").to_owned(), container.str_at("image").to_owned()))
            .collect()
    };
    old.is_none_or(|old| images(old) != images(new))
}

/// The labels of a namespace must be readable.
fn labels(namespace: &Object) -> Result<()> {
    let mut errors = Errors::default();
    let path = Path::Root.field("metadata");
    let path = path.field("labels");
    for mode in ["enforce", "audit", "warn"] {
        let key = format!("{PREFIX}{mode}");
        if let Some(level) = namespace.label(&key).filter(|level| !LEVELS.contains(level)) {
            errors.invalid(&path.key(&key), level, "must be one of privileged, baseline, restricted");
        }
        let key = format!("{PREFIX}{mode}-version");
        let is_version =
            |text: &str| text == "latest" || text.strip_prefix("v1.").is_some_and(|minor| minor.parse::<u16>().is_ok());
        if let Some(version) = namespace.label(&key).filter(|version| !is_version(version)) {
            errors.invalid(&path.key(&key), version, "must be \"latest\" or \"v1.x\"");
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(Grouped::new("", "Namespace"), namespace.name(), &errors).into())
}
