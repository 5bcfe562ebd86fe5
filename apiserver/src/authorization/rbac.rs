//! Role-based access control: rules, who holds them, and whether they allow a request.
//!
//! Pure: [`RoleIndex`] is fed with the role and binding objects of the store, and answers from memory. A binding
//! counts only while its role exists.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::Attributes;
use crate::user::{SERVICE_ACCOUNT_PREFIX, UserInfo};

/// One rule of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PolicyRule {
    /// Allowed verbs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<String>,
    /// API groups of the resources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// Resources, `resource/subresource`, `*/subresource` or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Names the rule is limited to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths outside the resources, with `*` as last character.
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

impl PolicyRule {
    /// True when the rule allows the request.
    pub(crate) fn allows(&self, request: &Attributes<'_>) -> bool {
        if !has(&self.verbs, request.verb) {
            return false;
        }
        if !request.is_resource {
            return self.non_resource_urls.iter().any(|url| match url.strip_suffix('*') {
                Some(prefix) => request.path.starts_with(prefix),
                None => url == request.path,
            });
        }
        has(&self.api_groups, request.group)
            && self.resources.iter().any(|resource| names(resource, request.resource, request.subresource))
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|name| name == request.name))
    }

    /// True when everything `other` allows is allowed by this rule.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let all = |own: &[String], asked: &[String]| {
            own.iter().any(|item| item == "*") || asked.iter().all(|item| own.contains(item))
        };
        let resources = self.resources.iter().any(|item| item == "*")
            || other.resources.iter().all(|asked| {
                let (resource, subresource) = asked.split_once('/').unwrap_or((asked, ""));
                self.resources.iter().any(|own| own == asked || names(own, resource, subresource))
            });
        let names = self.resource_names.is_empty()
            || (!other.resource_names.is_empty() && all(&self.resource_names, &other.resource_names));
        let urls = other.non_resource_urls.iter().all(|asked| {
            self.non_resource_urls
                .iter()
                .any(|own| own == asked || own.strip_suffix('*').is_some_and(|prefix| asked.starts_with(prefix)))
        });
        all(&self.verbs, &other.verbs) && all(&self.api_groups, &other.api_groups) && resources && names && urls
    }

    /// The rule cut into pieces of one verb, group and resource each, so that several rules together may cover it.
    pub(crate) fn pieces(&self) -> Vec<Self> {
        let mut pieces = Vec::new();
        for verb in &self.verbs {
            for url in &self.non_resource_urls {
                let (verbs, non_resource_urls) = (vec![verb.clone()], vec![url.clone()]);
                pieces.push(Self { verbs, non_resource_urls, ..Self::default() });
            }
            for group in &self.api_groups {
                for resource in &self.resources {
                    let piece = Self {
                        verbs: vec![verb.clone()],
                        api_groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        ..Self::default()
                    };
                    if self.resource_names.is_empty() {
                        pieces.push(piece);
                        continue;
                    }
                    let named = self.resource_names.iter();
                    pieces.extend(named.map(|name| Self { resource_names: vec![name.clone()], ..piece.clone() }));
                }
            }
        }
        pieces
    }
}

fn has(list: &[String], item: &str) -> bool {
    list.iter().any(|own| own == "*" || own == item)
}

fn names(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    match rule.split_once('/') {
        None => subresource.is_empty() && rule == resource,
        Some((own, sub)) => sub == subresource && (own == "*" || own == resource),
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Debug, Clone, Deserialize)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Role {
    #[serde(default)]
    rules: Option<Vec<PolicyRule>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    #[serde(default)]
    subjects: Option<Vec<Subject>>,
    role_ref: RoleRef,
}

/// The four kinds of objects the index is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RoleKind {
    /// `ClusterRole`
    ClusterRole,
    /// `Role`
    Role,
    /// `ClusterRoleBinding`
    ClusterRoleBinding,
    /// `RoleBinding`
    RoleBinding,
}

type RoleKey = (bool, String, String);
type BindingKey = (String, String);

struct Held {
    role: RoleKey,
    subjects: Vec<String>,
}

/// Every role and binding, found by subject.
#[derive(Default)]
pub(crate) struct RoleIndex {
    roles: HashMap<RoleKey, Vec<PolicyRule>>,
    bindings: HashMap<BindingKey, Held>,
    /// Bindings by the subject they name; ordered, so that an answer never depends on a hash.
    by_subject: HashMap<String, BTreeMap<BindingKey, ()>>,
}

impl RoleIndex {
    /// Takes in an object's JSON, or forgets it when there is none.
    pub(crate) fn update(&mut self, kind: RoleKind, namespace: &str, name: &str, json: Option<&[u8]>) {
        let cluster = matches!(kind, RoleKind::ClusterRole | RoleKind::ClusterRoleBinding);
        let namespace = if cluster { "" } else { namespace };
        match kind {
            RoleKind::ClusterRole | RoleKind::Role => {
                let key = (cluster, namespace.to_owned(), name.to_owned());
                match json.and_then(|json| serde_json::from_slice::<Role>(json).ok()) {
                    Some(role) => self.roles.insert(key, role.rules.unwrap_or_default()),
                    None => self.roles.remove(&key),
                };
            }
            RoleKind::ClusterRoleBinding | RoleKind::RoleBinding => {
                let key = (namespace.to_owned(), name.to_owned());
                self.unbind(&key);
                if let Some(binding) = json.and_then(|json| serde_json::from_slice::<Binding>(json).ok()) {
                    self.bind(key, binding);
                }
            }
        }
    }

    /// Forgets every object of a kind.
    pub(crate) fn clear(&mut self, kind: RoleKind) {
        match kind {
            RoleKind::ClusterRole => self.roles.retain(|(cluster, ..), _| !cluster),
            RoleKind::Role => self.roles.retain(|(cluster, ..), _| *cluster),
            RoleKind::ClusterRoleBinding | RoleKind::RoleBinding => {
                let cluster = kind == RoleKind::ClusterRoleBinding;
                let keys = self.bindings.keys().filter(|(namespace, _)| namespace.is_empty() == cluster);
                for key in keys.cloned().collect::<Vec<_>>() {
                    self.unbind(&key);
                }
            }
        }
    }

    fn unbind(&mut self, key: &BindingKey) {
        let Some(held) = self.bindings.remove(key) else { return };
        for subject in held.subjects {
            if let Some(bindings) = self.by_subject.get_mut(&subject) {
                bindings.remove(key);
                if bindings.is_empty() {
                    self.by_subject.remove(&subject);
                }
            }
        }
    }

    fn bind(&mut self, key: BindingKey, binding: Binding) {
        let namespace = &key.0;
        let subjects: Vec<String> =
            binding.subjects.unwrap_or_default().iter().filter_map(|subject| subject_key(subject, namespace)).collect();
        for subject in &subjects {
            self.by_subject.entry(subject.clone()).or_default().insert(key.clone(), ());
        }
        let cluster = binding.role_ref.kind == "ClusterRole";
        let role_namespace = if cluster { String::new() } else { namespace.clone() };
        self.bindings.insert(key, Held { role: (cluster, role_namespace, binding.role_ref.name), subjects });
    }

    /// The rules of a role; `namespace` is ignored for a ClusterRole.
    pub(crate) fn rules_of(&self, cluster: bool, namespace: &str, name: &str) -> Option<&[PolicyRule]> {
        let namespace = if cluster { "" } else { namespace };
        self.roles.get(&(cluster, namespace.to_owned(), name.to_owned())).map(Vec::as_slice)
    }

    /// Every rule `user` holds in `namespace` (cluster-wide ones alone when it is empty), until `visit` says stop.
    pub(crate) fn visit<'a>(&'a self, user: &UserInfo, namespace: &str, mut visit: impl FnMut(&'a PolicyRule) -> bool) {
        let groups = user.groups.iter().map(|group| format!("g:{group}"));
        for subject in std::iter::once(format!("u:{}", user.name)).chain(groups) {
            for key in self.by_subject.get(&subject).into_iter().flat_map(BTreeMap::keys) {
                if !key.0.is_empty() && key.0 != namespace {
                    continue;
                }
                let rules = self.bindings.get(key).and_then(|held| self.roles.get(&held.role));
                for rule in rules.into_iter().flatten() {
                    if visit(rule) {
                        return;
                    }
                }
            }
        }
    }

    /// True when a role bound to `user` allows the request.
    pub(crate) fn allows(&self, user: &UserInfo, request: &Attributes<'_>) -> bool {
        let mut allowed = false;
        self.visit(user, request.namespace, |rule| {
            allowed = rule.allows(request);
            allowed
        });
        allowed
    }

    /// The first piece of `rules` that `user` does not hold in `namespace`; `None` when all are held.
    pub(crate) fn missing(&self, user: &UserInfo, namespace: &str, rules: &[PolicyRule]) -> Option<PolicyRule> {
        let mut held = Vec::new();
        self.visit(user, namespace, |rule| {
            held.push(rule);
            false
        });
        rules.iter().flat_map(PolicyRule::pieces).find(|piece| !held.iter().any(|own| own.covers(piece)))
    }
}

/// Users and service accounts are found by user name, groups by group name.
fn subject_key(subject: &Subject, binding_namespace: &str) -> Option<String> {
    match subject.kind.as_str() {
        "User" => Some(format!("u:{}", subject.name)),
        "Group" => Some(format!("g:{}", subject.name)),
        "ServiceAccount" => {
            let namespace = if subject.namespace.is_empty() { binding_namespace } else { &subject.namespace };
            (!namespace.is_empty()).then(|| format!("u:{SERVICE_ACCOUNT_PREFIX}{namespace}:{}", subject.name))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> RoleIndex {
        let mut index = RoleIndex::default();
        let mut add = |kind, namespace: &str, name: &str, json: &str| {
            index.update(kind, namespace, name, Some(json.as_bytes()));
        };
        add(RoleKind::ClusterRole, "", "view", {
            r#"{"rules":[{"verbs":["get","list"],"apiGroups":[""],"resources":["pods","pods/log"]}]}"#
        });
        add(
            RoleKind::ClusterRole,
            "",
            "health",
            r#"{"rules":[{"verbs":["get"],"nonResourceURLs":["/healthz","/v/*"]}]}"#,
        );
        add(RoleKind::Role, "a", "named", {
            r#"{"rules":[{"verbs":["*"],"apiGroups":["*"],"resources":["configmaps"],"resourceNames":["one"]}]}"#
        });
        add(RoleKind::RoleBinding, "a", "view", {
            r#"{"subjects":[{"kind":"ServiceAccount","name":"sa"},{"kind":"User","name":"u"}],"roleRef":{"kind":"ClusterRole","name":"view"}}"#
        });
        add(RoleKind::RoleBinding, "a", "named", {
            r#"{"subjects":[{"kind":"Group","name":"team"}],"roleRef":{"kind":"Role","name":"named"}}"#
        });
        add(RoleKind::ClusterRoleBinding, "", "health", {
            r#"{"subjects":[{"kind":"Group","name":"system:authenticated"}],"roleRef":{"kind":"ClusterRole","name":"health"}}"#
        });
        index
    }

    fn resource<'a>(verb: &'a str, namespace: &'a str, resource: &'a str, name: &'a str) -> Attributes<'a> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes { verb, namespace, resource, subresource, name, is_resource: true, ..Attributes::default() }
    }

    #[test]
    fn bindings_grant_what_their_role_says_where_they_stand() {
        let index = index();
        let account = UserInfo::service_account("a", "sa", "");
        let team = UserInfo { name: "x".into(), groups: vec!["team".into()], ..UserInfo::default() };
        let cases = [
            (&account, resource("list", "a", "pods", ""), true),
            (&account, resource("get", "a", "pods/log", "p"), true),
            (&account, resource("get", "a", "pods/exec", "p"), false),
            (&account, resource("delete", "a", "pods", "p"), false),
            (&account, resource("list", "b", "pods", ""), false),
            (&account, resource("list", "", "pods", ""), false),
            (&team, resource("delete", "a", "configmaps", "one"), true),
            (&team, resource("delete", "a", "configmaps", "two"), false),
        ];
        for (user, request, expected) in cases {
            assert_eq!(index.allows(user, &request), expected, "{request:?}");
        }
        let path = |path| Attributes { verb: "get", path, ..Attributes::default() };
        assert!(index.allows(&account, &path("/healthz")));
        assert!(index.allows(&account, &path("/v/1")));
        assert!(!index.allows(&account, &path("/healthz/x")));
        assert!(!index.allows(&team, &path("/healthz")));
    }

    #[test]
    fn what_is_deleted_grants_nothing() {
        let mut index = index();
        let account = UserInfo::service_account("a", "sa", "");
        index.update(RoleKind::RoleBinding, "a", "view", None);
        assert!(!index.allows(&account, &resource("list", "a", "pods", "")));
    }

    #[test]
    fn nobody_can_give_what_they_do_not_hold() {
        let index = index();
        let account = UserInfo::service_account("a", "sa", "");
        let rule = |verbs: &[&str], resource: &str| PolicyRule {
            verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
            api_groups: vec![String::new()],
            resources: vec![resource.to_owned()],
            ..PolicyRule::default()
        };
        assert_eq!(index.missing(&account, "a", &[rule(&["get", "list"], "pods")]), None);
        assert_eq!(index.missing(&account, "a", &[rule(&["get", "watch"], "pods")]), Some(rule(&["watch"], "pods")));
        assert!(index.missing(&account, "a", &[rule(&["get"], "*")]).is_some());
        assert!(index.missing(&account, "b", &[rule(&["get"], "pods")]).is_some());
    }
}
