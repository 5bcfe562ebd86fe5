//! What is served, as documents tell it: the kinds that are built in and those that users defined.
//!
//! A catalog never changes; when a definition does, the server gets another one. Its documents are made when they are
//! first asked for, and what does not differ from the former catalog's is taken over from there.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use api::kind::{self, Kind};

use crate::{discovery, openapi, runtime_config::RuntimeConfig};

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
    built_in: Arc<[&'static Kind]>,
    custom: Vec<Custom>,
    groups: Vec<Group>,
    pub(crate) discovery: OnceLock<discovery::Documents>,
    pub(crate) v2: OnceLock<openapi::V2>,
    pub(crate) v3_index: OnceLock<discovery::Document>,
    pub(crate) v3: BTreeMap<(&'static str, &'static str), Arc<OnceLock<openapi::Version>>>,
    pub(crate) of_shapes: Arc<OnceLock<openapi::KindsOfShapes>>,
}

/// What is served when nobody says otherwise. Servers of one process share its documents.
pub(crate) static BY_DEFAULT: LazyLock<Catalog> =
    LazyLock::new(|| Catalog::new(RuntimeConfig::default().kinds().clone(), Vec::new(), None));

impl Catalog {
    /// These kinds that are built in, and these that users defined. What is the same in `former` is taken over from there.
    pub(crate) fn new(built_in: Arc<[&'static Kind]>, mut custom: Vec<Custom>, former: Option<&Self>) -> Self {
        custom.sort_by_key(|one| (one.kind.group, one.kind.version, one.kind.plural));
        let former = former.filter(|former| same_kinds(&former.built_in, &built_in));
        let mut catalog = Self {
            groups: groups(&built_in, &custom),
            built_in,
            custom,
            discovery: OnceLock::new(),
            v2: OnceLock::new(),
            v3_index: OnceLock::new(),
            v3: BTreeMap::new(),
            of_shapes: former.map(|former| former.of_shapes.clone()).unwrap_or_default(),
        };
        let versions =
            catalog.groups.iter().flat_map(|(group, versions)| versions.iter().map(|version| (*group, *version)));
        let document = |key| {
            let known =
                former.filter(|former| former.same_version(&catalog, key)).and_then(|former| former.v3.get(&key));
            (key, known.cloned().unwrap_or_default())
        };
        catalog.v3 = versions.map(document).collect();
        catalog
    }

    /// The same with these kinds that users defined, and no others.
    pub(crate) fn with(&self, custom: Vec<Custom>) -> Self {
        Self::new(self.built_in.clone(), custom, Some(self))
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
        let built_in = self.built_in.iter().copied().filter(|kind| (kind.group, kind.version) == (group, version));
        let mut kinds: Vec<&'static Kind> = built_in.chain(custom).collect();
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

    /// All kinds that are built in.
    pub(crate) fn built_in(&self) -> &[&'static Kind] {
        &self.built_in
    }
}

fn same_kinds(a: &[&'static Kind], b: &[&'static Kind]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| std::ptr::eq(*a, *b))
}

fn groups(built_in: &[&'static Kind], custom: &[Custom]) -> Vec<Group> {
    let is_there =
        |group: &str, version: &str| built_in.iter().any(|kind| (kind.group, kind.version) == (group, version));
    let mut groups = kind::groups();
    for (group, versions) in &mut groups {
        versions.retain(|version| is_there(group, version));
    }
    groups.retain(|(_, versions)| !versions.is_empty());
    for one in custom {
        let (group, version) = (one.kind.group, one.kind.version);
        match groups.iter_mut().find(|(known, _)| *known == group) {
            None => groups.push((group, vec![version])),
            Some((_, versions)) if versions.contains(&version) => {}
            Some((_, versions)) => {
                versions.push(version);
                if !built_in.iter().any(|kind| kind.group == group) {
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
