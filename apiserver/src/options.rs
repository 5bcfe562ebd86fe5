//! The options of a request, from its query and, for deletions, from its body.

use api::{
    Object,
    status::{Grouped, Status},
    validation::{Errors, Path, Value},
};
use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    error::{Error, Result},
    request_info::{is_true, query_pairs},
};

/// Notes on an object that its deletion has begun, and when.
pub(crate) type Note = (fn(&mut Object, Timestamp), Timestamp);

/// The bytes a field manager's name may have.
const MANAGER: usize = 128;

/// How fields the schema does not know are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped, and the client is told.
    #[default]
    Warn,
    /// The request fails.
    Strict,
}

/// Options of create, update and patch.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteOptions {
    /// Everything but the write itself.
    pub dry_run: bool,
    /// Who owns the fields that change.
    pub field_manager: String,
    /// What becomes of unknown fields.
    pub field_validation: FieldValidation,
    /// Take fields over from other managers; server-side apply alone may say so, either way.
    pub force: Option<bool>,
}

impl WriteOptions {
    /// Reads the query; `kind` names the options in errors (`CreateOptions`, ...).
    pub(crate) fn parse(query: &str, kind: &str) -> Result<Self> {
        let (mut options, mut errors, mut dry_run) = (Self::default(), Errors::default(), Vec::new());
        for (key, value) in query_pairs(query) {
            match key.as_str() {
                "dryRun" => dry_run.push(value),
                "fieldManager" => options.field_manager = value,
                "fieldValidation" => match value.as_str() {
                    "" | "Warn" => {}
                    "Strict" => options.field_validation = FieldValidation::Strict,
                    "Ignore" => options.field_validation = FieldValidation::Ignore,
                    _ => {
                        let known = ["", "Ignore", "Strict", "Warn"];
                        errors.not_supported(&Path::Root.field("fieldValidation"), value, &known);
                    }
                },
                "force" => options.force = Some(is_true(&value)),
                _ => {}
            }
        }
        options.dry_run = parse_dry_run(&dry_run, &mut errors);
        check_manager(&options.field_manager, &mut errors);
        check(kind, &errors)?;
        Ok(options)
    }
}

/// Which revision a list may or must be from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum VersionMatch {
    /// Not said.
    #[default]
    Unset,
    /// This very one.
    Exact,
    /// This or a later one.
    NotOlderThan,
}

/// Options of get, list, watch and deletecollection.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListOptions {
    /// Labels to select by.
    pub label_selector: String,
    /// Fields to select by.
    pub field_selector: String,
    /// At most this many items; 0 is no limit.
    pub limit: usize,
    /// Where to go on.
    pub continue_token: String,
    /// The revision asked for.
    pub resource_version: String,
    /// How that revision is meant.
    pub version_match: VersionMatch,
    /// How long a watch lasts.
    pub timeout_seconds: Option<u64>,
    /// Whether a watch tells revisions without a change.
    pub bookmarks: bool,
    /// Whether a watch begins with what is there.
    pub send_initial_events: Option<bool>,
    /// What stands beside a table's cells.
    pub include_object: String,
}

impl ListOptions {
    /// Reads and checks the query.
    pub(crate) fn parse(query: &str, watch: bool) -> Result<Self> {
        let mut options = Self::default();
        for (key, value) in query_pairs(query) {
            match key.as_str() {
                "labelSelector" => options.label_selector = value,
                "fieldSelector" => options.field_selector = value,
                "limit" => options.limit = usize::try_from(number::<i64>(&key, &value)?).unwrap_or_default(),
                "continue" => options.continue_token = value,
                "resourceVersion" => options.resource_version = value,
                "resourceVersionMatch" => {
                    options.version_match = match value.as_str() {
                        "" => VersionMatch::Unset,
                        "Exact" => VersionMatch::Exact,
                        "NotOlderThan" => VersionMatch::NotOlderThan,
                        _ => return Err(unsupported_match(value)),
                    }
                }
                "timeoutSeconds" => options.timeout_seconds = u64::try_from(number::<i64>(&key, &value)?).ok(),
                "allowWatchBookmarks" => options.bookmarks = is_true(&value),
                "sendInitialEvents" => options.send_initial_events = Some(is_true(&value)),
                "includeObject" => options.include_object = value,
                _ => {}
            }
        }
        options.check(watch)?;
        Ok(options)
    }

    /// Leaves the object of this name alone, if there is a name.
    pub(crate) fn only(&mut self, name: &str) {
        if !name.is_empty() {
            let comma = if self.field_selector.is_empty() { "" } else { "," };
            self.field_selector.push_str(&format!("{comma}metadata.name={name}"));
        }
    }

    /// The revision asked for, where an empty text and 0 differ.
    pub(crate) fn revision(&self) -> Result<Option<i64>> {
        parse_revision(&self.resource_version)
    }

    fn check(&self, watch: bool) -> Result<()> {
        let mut errors = Errors::default();
        let forbidden = |errors: &mut Errors, field: &str, why: &str| {
            errors.forbidden(&Path::Root.field(field), why);
        };
        let matched = self.version_match != VersionMatch::Unset;
        if watch && self.send_initial_events.is_some() {
            if self.version_match != VersionMatch::NotOlderThan {
                let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
                forbidden(&mut errors, "resourceVersionMatch", why);
            }
        } else if watch && matched {
            forbidden(&mut errors, "resourceVersionMatch", {
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            });
        } else if self.send_initial_events.is_some() {
            forbidden(&mut errors, "sendInitialEvents", "sendInitialEvents is forbidden for list");
        } else if matched && !self.continue_token.is_empty() {
            let why = "resourceVersionMatch is forbidden when continue is provided";
            forbidden(&mut errors, "resourceVersionMatch", why);
        } else if matched && self.resource_version.is_empty() {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            forbidden(&mut errors, "resourceVersionMatch", why);
        } else if self.version_match == VersionMatch::Exact && self.resource_version == "0" {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            forbidden(&mut errors, "resourceVersionMatch", why);
        }
        check("ListOptions", &errors)
    }
}

/// What becomes of the objects that a deleted object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They stay, without an owner.
    Orphan,
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
}

/// Conditions a deletion depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Preconditions {
    /// The object's identity.
    pub uid: Option<String>,
    /// The object's revision.
    pub resource_version: Option<String>,
}

/// Options of a deletion.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    /// Everything but the deletion itself.
    pub dry_run: bool,
    /// Seconds the object has to end by itself.
    pub grace_period_seconds: Option<i64>,
    /// What the object has to be.
    pub preconditions: Preconditions,
    /// What becomes of the objects it owns; the kind's default if not said.
    pub propagation: Option<Propagation>,
    /// What is noted on the object when its deletion begins, for those who ask why, and the time of it.
    pub note: Option<Note>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeleteBody {
    dry_run: Vec<String>,
    grace_period_seconds: Option<i64>,
    preconditions: Option<Preconditions>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
}

impl DeleteOptions {
    /// Reads the query, or the body (as JSON) when there is one.
    pub(crate) fn parse(query: &str, body: Option<&serde_json::Value>) -> Result<Self> {
        let body = match body {
            Some(json) => DeleteBody::deserialize(json)
                .map_err(|error| Error::from(Status::bad_request(format!("DeleteOptions: {error}"))))?,
            None => Self::from_query(query)?,
        };
        let mut errors = Errors::default();
        let dry_run = parse_dry_run(&body.dry_run, &mut errors);
        let path = Path::Root.field("propagationPolicy");
        let propagation = match (body.propagation_policy.as_deref(), body.orphan_dependents) {
            (Some(policy), Some(_)) => {
                errors.invalid(&path, policy, "orphanDependents and deletionPropagation cannot be both set");
                None
            }
            (None, None) => None,
            (None, Some(true)) | (Some("Orphan"), None) => Some(Propagation::Orphan),
            (None, Some(false)) | (Some("Background"), None) => Some(Propagation::Background),
            (Some("Foreground"), None) => Some(Propagation::Foreground),
            (Some(other), None) => {
                errors.not_supported(&path, other, &["Foreground", "Background", "Orphan", "nil"]);
                None
            }
        };
        check("DeleteOptions", &errors)?;
        let preconditions = body.preconditions.unwrap_or_default();
        // Less than no time is as soon as possible.
        let grace_period_seconds = body.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
        Ok(Self { dry_run, grace_period_seconds, preconditions, propagation, note: None })
    }

    fn from_query(query: &str) -> Result<DeleteBody> {
        let mut body = DeleteBody::default();
        for (key, value) in query_pairs(query) {
            match key.as_str() {
                "dryRun" => body.dry_run.push(value),
                "gracePeriodSeconds" => body.grace_period_seconds = Some(number(&key, &value)?),
                "propagationPolicy" => body.propagation_policy = Some(value),
                "orphanDependents" => body.orphan_dependents = Some(is_true(&value)),
                _ => {}
            }
        }
        Ok(body)
    }
}

/// A revision as text; empty means not said.
pub(crate) fn parse_revision(text: &str) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let revision = text.parse::<i64>().ok().filter(|&revision| revision >= 0);
    revision.map(Some).ok_or_else(|| {
        Status::bad_request(format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
        ))
        .into()
    })
}

/// The only thing that can be left out is everything that lasts.
fn parse_dry_run(values: &[String], errors: &mut Errors) -> bool {
    if values.iter().any(|value| value != "All") {
        let quoted: Vec<String> = values.iter().map(|value| api::validation::quoted(value)).collect();
        let value = Value::text(format!("[]string{{{}}}", quoted.join(", ")));
        errors.not_supported(&Path::Root.field("dryRun"), value, &["All"]);
    }
    values.iter().any(|value| value == "All")
}

fn check_manager(manager: &str, errors: &mut Errors) {
    let path = Path::Root.field("fieldManager");
    if manager.len() > MANAGER {
        errors.too_long(&path, MANAGER);
    }
    if manager.chars().any(char::is_control) {
        errors.invalid(&path, manager, "should only contain printable characters");
    }
}

fn check(kind: &str, errors: &Errors) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(Grouped::new("meta.k8s.io", kind), "", errors).into())
}

fn unsupported_match(value: String) -> Error {
    let mut errors = Errors::default();
    let supported = ["Exact", "NotOlderThan", ""];
    errors.not_supported(&Path::Root.field("resourceVersionMatch"), value, &supported);
    Status::invalid(Grouped::new("meta.k8s.io", "ListOptions"), "", &errors).into()
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| {
        Status::bad_request(format!(
            "{key}: Invalid value: \"{value}\": strconv.ParseInt: parsing \"{value}\": invalid syntax"
        ))
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_and_their_match_fit_together() {
        let cases = [
            ("", false, true),
            ("resourceVersion=0&resourceVersionMatch=NotOlderThan", false, true),
            ("resourceVersion=5&resourceVersionMatch=Exact", false, true),
            ("resourceVersionMatch=Exact", false, false),
            ("resourceVersion=0&resourceVersionMatch=Exact", false, false),
            ("resourceVersion=5&resourceVersionMatch=Exact&continue=x", false, false),
            ("resourceVersion=5&resourceVersionMatch=Other", false, false),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", true, true),
            ("sendInitialEvents=true", true, false),
            ("resourceVersion=5&resourceVersionMatch=NotOlderThan", true, false),
            ("limit=x", false, false),
        ];
        for (query, watch, fine) in cases {
            assert_eq!(ListOptions::parse(query, watch).is_ok(), fine, "{query}");
        }
        assert_eq!(
            ListOptions::parse("resourceVersionMatch=Exact", false).unwrap_err().to_string(),
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
             forbidden unless resourceVersion is provided"
        );
    }

    #[test]
    fn deletions_say_what_becomes_of_dependents() {
        let options = DeleteOptions::parse("propagationPolicy=Foreground&gracePeriodSeconds=0", None).unwrap();
        assert_eq!((options.propagation, options.grace_period_seconds), (Some(Propagation::Foreground), Some(0)));
        let body = serde_json::json!({"propagationPolicy": "Background", "preconditions": {"uid": "a"}});
        let options = DeleteOptions::parse("", Some(&body)).unwrap();
        assert_eq!(options.propagation, Some(Propagation::Background));
        assert_eq!(options.preconditions.uid.as_deref(), Some("a"));
        let both = serde_json::json!({"propagationPolicy": "Orphan", "orphanDependents": true});
        assert!(DeleteOptions::parse("", Some(&both)).is_err());
        assert!(DeleteOptions::parse("dryRun=Some", None).is_err());
    }
}
