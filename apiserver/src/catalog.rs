//! What is served, as documents tell it: the kinds that are built in and those that users defined.
//!
//! A catalog never changes; when a definition does, the server gets another one. Its documents are made when they are
//! first asked for, and what does not differ from the former catalog's is taken over from there.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use api::kind::{self, KINDS, Kind};

use crate::{discovery, openapi};

/// A kind that users defined, with the schema it was defined with.
#[derive(Clone)]
pub(crate) struct Custom {
    /// The kind.
    pub(crate) kind: &'static Kind,
    /// `openAPIV3Schema`, with all its descriptions.
    pub(crate) schema: Arc<str>,
}

/// A group with its versions, the preferred one first.
pub(crate) type Group = (&'static str, Vec<&'static str>);

/// Everything that is served.
pub(crate) struct Catalog {
    custom: Vec<Custom>,
    groups: Vec<Group>,
    pub(crate) discovery: OnceLock<discovery::Documents>,
    pub(crate) v2: OnceLock<openapi::V2>,
    pub(crate) v3_index: OnceLock<discovery::Document>,
    /// Documents of versions that have kinds which users defined.
    pub(crate) v3: BTreeMap<(&'static str, &'static str), Arc<OnceLock<openapi::Version>>>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new(Vec::new(), None)
    }
}

impl Catalog {
    /// The kinds that are built in, and these.
    pub(crate) fn new(mut custom: Vec<Custom>, former: Option<&Self>) -> Self {
        custom.sort_by_key(|one| (one.kind.group, one.kind.version, one.kind.plural));
        let mut catalog = Self {
            groups: groups(&custom),
            custom,
            discovery: OnceLock::new(),
            v2: OnceLock::new(),
            v3_index: OnceLock::new(),
            v3: BTreeMap::new(),
        };
        for one in &catalog.custom {
            let key = (one.kind.group, one.kind.version);
            let known =
                former.filter(|former| former.same_version(&catalog, key)).and_then(|former| former.v3.get(&key));
            let document = known.cloned().unwrap_or_default();
            catalog.v3.entry(key).or_insert(document);
        }
        catalog
    }

    fn same_version(&self, other: &Self, (group, version): (&str, &str)) -> bool {
        let (mine, theirs) = (self.custom_in(group, version), other.custom_in(group, version));
        mine.map(|one| (std::ptr::from_ref(one.kind), one.schema.as_ptr()))
            .eq(theirs.map(|one| (std::ptr::from_ref(one.kind), one.schema.as_ptr())))
    }

    /// All groups with their versions; the core group first.
    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The kinds of one group and version, sorted by plural.
    pub(crate) fn in_version(&self, group: &str, version: &str) -> Vec<&'static Kind> {
        let custom = self.custom_in(group, version).map(|one| one.kind);
        let mut kinds: Vec<&'static Kind> = kind::in_version(group, version).iter().copied().chain(custom).collect();
        kinds.sort_by_key(|kind| kind.plural);
        kinds
    }

    /// Those of them that users defined.
    pub(crate) fn custom_in(&self, group: &str, version: &str) -> impl Iterator<Item = &Custom> {
        self.custom.iter().filter(move |one| one.kind.group == group && one.kind.version == version)
    }

    /// All kinds that users defined.
    pub(crate) fn custom(&self) -> &[Custom] {
        &self.custom
    }
}

fn groups(custom: &[Custom]) -> Vec<Group> {
    let mut groups = kind::groups();
    for one in custom {
        let (group, version) = (one.kind.group, one.kind.version);
        match groups.iter_mut().find(|(known, _)| *known == group) {
            None => groups.push((group, vec![version])),
            Some((_, versions)) if versions.contains(&version) => {}
            Some((_, versions)) => {
                versions.push(version);
                if !KINDS.iter().any(|kind| kind.group == group) {
                    versions.sort_by(|a, b| compare_versions(a, b));
                }
            }
        }
    }
    groups
}

/// Kubernetes' order: `v2`, `v1`, `v2beta1`, `v1beta2`, `v1alpha1`, then the rest by name.
fn compare_versions(a: &str, b: &str) -> Ordering {
    match (rank(a), rank(b)) {
        (Some(a), Some(b)) => Reverse(a).cmp(&Reverse(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// How stable a version is, and its numbers.
fn rank(version: &str) -> Option<(u8, u32, u32)> {
    let rest = version.strip_prefix('v')?;
    let (stability, (major, minor)) = if let Some(parts) = rest.split_once("alpha") {
        (0, parts)
    } else if let Some(parts) = rest.split_once("beta") {
        (1, parts)
    } else {
        (2, (rest, "0"))
    };
    Some((stability, major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_preferred_as_kubernetes_prefers_them() {
        let mut versions = ["foo10", "v1alpha1", "v10", "v1beta1", "v2", "foo1", "v11alpha2", "v3beta1", "v1"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(versions, ["v10", "v2", "v1", "v3beta1", "v1beta1", "v11alpha2", "v1alpha1", "foo1", "foo10"]);
    }
}
