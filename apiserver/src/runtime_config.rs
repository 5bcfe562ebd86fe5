//! Which of the built-in kinds are served: `--runtime-config`, in kube-apiserver's words.
//!
//! Everything stable is served unless it is switched off, and betas that have become stable, or not yet, are when they are switched
//! on. What is said of one resource counts more than what is said of its version, and that more than what is said of many.

use std::{collections::BTreeSet, sync::Arc};

use api::kind::{KINDS, Kind};

/// What may be switched, besides versions and resources.
const MANY: &str = "api/all, api/ga, api/beta, api/alpha, api/legacy";

/// Why a switch is refused.
#[derive(Debug, thiserror::Error)]
pub enum BadSwitch {
    /// There is nothing to switch.
    #[error("there is no {0} to be switched on or off; there are {1}")]
    Unknown(String, String),
    /// It is neither on nor off.
    #[error("{0}={1}: say true or false")]
    Value(String, String),
}

/// Which of the built-in kinds a server serves.
#[derive(Clone)]
pub struct RuntimeConfig {
    kinds: Arc<[&'static Kind]>,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self { kinds: KINDS.iter().copied().filter(|kind| kind.served_by_default).collect() }
    }
}

impl std::fmt::Debug for RuntimeConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.kinds.iter()).finish()
    }
}

impl RuntimeConfig {
    /// Reads switches such as `api/beta=true`, `storage.k8s.io/v1beta1=true`, `batch/v1/cronjobs=false` or `v1`.
    pub fn parse<T: AsRef<str>>(switches: impl IntoIterator<Item = T>) -> Result<Self, BadSwitch> {
        let mut switches =
            switches.into_iter().map(|text| Switch::parse(text.as_ref())).collect::<Result<Vec<_>, _>>()?;
        // What says more comes later, and the later one counts.
        switches.sort_by_key(|switch| switch.of.rank());
        let is_served = |kind: &Kind| {
            let last = switches.iter().rev().find(|switch| switch.of.holds(kind));
            last.map_or(kind.served_by_default, |switch| switch.on)
        };
        Ok(Self { kinds: KINDS.iter().copied().filter(|kind| is_served(kind)).collect() })
    }

    /// The kinds that are served, sorted as in the table of all.
    pub(crate) fn kinds(&self) -> &Arc<[&'static Kind]> {
        &self.kinds
    }
}

/// What a switch is for.
enum Subject {
    All,
    Ga,
    Beta,
    Alpha,
    Version(String, String),
    Resource(String, String, String),
}

impl Subject {
    /// How much it says.
    fn rank(&self) -> u8 {
        match self {
            Self::All => 0,
            Self::Ga | Self::Beta | Self::Alpha => 1,
            Self::Version(..) => 2,
            Self::Resource(..) => 3,
        }
    }

    fn holds(&self, kind: &Kind) -> bool {
        let (alpha, beta) = (kind.version.contains("alpha"), kind.version.contains("beta"));
        match self {
            Self::All => true,
            Self::Ga => !alpha && !beta,
            Self::Beta => beta,
            Self::Alpha => alpha,
            Self::Version(group, version) => (kind.group, kind.version) == (group.as_str(), version.as_str()),
            Self::Resource(group, version, resource) => {
                (kind.group, kind.version, kind.plural) == (group.as_str(), version.as_str(), resource.as_str())
            }
        }
    }
}

struct Switch {
    of: Subject,
    on: bool,
}

impl Switch {
    fn parse(text: &str) -> Result<Self, BadSwitch> {
        let (key, value) = text.trim().split_once('=').unwrap_or((text.trim(), ""));
        let on = match value {
            "" | "true" => true,
            "false" => false,
            other => return Err(BadSwitch::Value(key.to_owned(), other.to_owned())),
        };
        let core = || (String::new(), "v1".to_owned());
        let parts: Vec<&str> = key.split('/').collect();
        let of = match parts.as_slice() {
            ["api", "all"] => Subject::All,
            ["api", "ga"] => Subject::Ga,
            ["api", "beta"] => Subject::Beta,
            ["api", "alpha"] => Subject::Alpha,
            ["v1"] | ["api", "legacy" | "v1"] => Subject::Version(core().0, core().1),
            ["v1", resource] => Subject::Resource(core().0, core().1, (*resource).to_owned()),
            [group, version] => Subject::Version((*group).to_owned(), (*version).to_owned()),
            [group, version, resource] => {
                Subject::Resource((*group).to_owned(), (*version).to_owned(), (*resource).to_owned())
            }
            _ => return Err(BadSwitch::Unknown(key.to_owned(), versions())),
        };
        // There is no alpha now, and to switch none of them on is no mistake.
        if matches!(of, Subject::Version(..) | Subject::Resource(..)) && !KINDS.iter().any(|kind| of.holds(kind)) {
            let there_are = match &of {
                Subject::Resource(group, version, _) => resources(group, version),
                _ => versions(),
            };
            return Err(BadSwitch::Unknown(key.to_owned(), there_are));
        }
        Ok(Self { of, on })
    }
}

/// All versions, and what holds many of them.
fn versions() -> String {
    let all: BTreeSet<String> = KINDS.iter().map(|kind| kind.api_version()).collect();
    format!("{} and {MANY}", all.into_iter().collect::<Vec<_>>().join(", "))
}

/// The resources of a version; all versions when there is no such one.
fn resources(group: &str, version: &str) -> String {
    let of: Vec<&str> = api::kind::in_version(group, version).iter().map(|kind| kind.plural).collect();
    if of.is_empty() { versions() } else { of.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(switches: &[&str]) -> Vec<String> {
        let config = RuntimeConfig::parse(switches).unwrap();
        config.kinds().iter().map(|kind| format!("{}/{}", kind.api_version(), kind.plural)).collect()
    }

    #[test]
    fn what_says_more_counts_wherever_it_stands() {
        let (claims, classes) = ("resource.k8s.io/v1beta1/resourceclaims", "resource.k8s.io/v1beta1/deviceclasses");
        let cases: &[(&[&str], &[&str], &[&str])] = &[
            (&[], &["v1/pods", "apps/v1beta1/deployments"], &[claims, "scheduling.k8s.io/v1beta1/workloads"]),
            (&["api/beta=true"], &[claims, classes, "scheduling.k8s.io/v1beta1/workloads"], &[]),
            (&["resource.k8s.io/v1beta1"], &[claims, classes], &["resource.k8s.io/v1beta2/resourceclaims"]),
            (&["resource.k8s.io/v1beta1/resourceclaims=true"], &[claims], &[classes]),
            (&["resource.k8s.io/v1beta1/resourceclaims=false", "api/all=true"], &[classes], &[claims]),
            (
                &["api/all=false", "v1=true", "api/ga=true", "batch/v1=false"],
                &["v1/pods", "apps/v1/deployments"],
                &["batch/v1/jobs", "apps/v1beta1/deployments"],
            ),
            (&["api/legacy=false"], &["apps/v1/deployments"], &["v1/pods"]),
            (&["v1/pods=false"], &["v1/secrets"], &["v1/pods"]),
            (&["api/alpha=true"], &["v1/pods"], &[]),
            (&["batch/v1=false", "batch/v1=true"], &["batch/v1/jobs"], &[]),
        ];
        for (switches, on, off) in cases {
            let served = served(switches);
            for kind in *on {
                assert!(served.iter().any(|known| known == kind), "{switches:?}: {kind} is served");
            }
            for kind in *off {
                assert!(!served.iter().any(|known| known == kind), "{switches:?}: {kind} is not served");
            }
        }
    }

    #[test]
    fn what_does_not_exist_is_refused_with_what_does() {
        let refusal = |switch: &str| RuntimeConfig::parse([switch]).unwrap_err().to_string();
        assert!(refusal("batch/v3=true").starts_with("there is no batch/v3 to be switched on or off; there are "));
        assert!(refusal("batch/v3=true").contains(", batch/v1, batch/v1beta1, "), "{}", refusal("batch/v3=true"));
        assert!(refusal("x").ends_with("api/all, api/ga, api/beta, api/alpha, api/legacy"));
        assert_eq!(
            refusal("batch/v1/cronjob=true"),
            "there is no batch/v1/cronjob to be switched on or off; there are cronjobs, jobs"
        );
        assert_eq!(refusal("batch/v1=yes"), "batch/v1=yes: say true or false");
    }
}
