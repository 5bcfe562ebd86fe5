//! What a DaemonSet's controller sees of a pod.

use k8s_openapi::api::core::v1::Affinity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use crate::caches::Cached;
use crate::pod_digest::Phase;
use crate::replica_set::{PodView, views};

/// Label of a pod: of which template it is.
pub(super) const REVISION_HASH: &str = "controller-revision-hash";
/// Annotation of a pod: how many pods before it have failed on its node in a row.
pub(super) const FAILURES: &str = "kontiki.io/failed-daemon-pods";

/// A pod and where it belongs.
pub struct DaemonPod<'a> {
    /// Header and digest.
    pub view: PodView<'a>,
    /// The node it is on, or is meant for; empty when that cannot be told.
    pub node: String,
    /// How many pods before it have failed there in a row.
    pub failures: u32,
}

/// The parts of a pod that the digest does not keep.
#[derive(Deserialize)]
struct Parts {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: SpecParts,
}

#[derive(Default, Deserialize)]
struct SpecParts {
    affinity: Option<Affinity>,
}

/// The pods of cached entries.
pub(super) fn decode(entries: &[Cached]) -> Vec<DaemonPod<'_>> {
    views(entries).into_iter().map(DaemonPod::new).collect()
}

impl<'a> DaemonPod<'a> {
    fn new(view: PodView<'a>) -> Self {
        let digest = view.digest;
        let mut pod = Self { view, node: digest.node.to_string(), failures: 0 };
        // Most pods are on a node and run: these need not be read.
        if !pod.node.is_empty() && digest.phase != Phase::Failed {
            return pod;
        }
        match client::cache::decode::<Parts>(view.object) {
            Ok(Parts { metadata, spec }) => {
                let failures = metadata.annotations.as_ref().and_then(|all| all.get(FAILURES)?.parse().ok());
                pod.failures = failures.unwrap_or(0);
                if pod.node.is_empty() {
                    pod.node = meant_for(spec.affinity.as_ref()).unwrap_or_default();
                }
            }
            Err(error) => tracing::error!(name = %view.object.header().name, %error, "a pod could not be read"),
        }
        pod
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.view.digest.deletion.is_some()
    }

    /// Whether it is of the template with this hash.
    pub(super) fn is_of(&self, hash: &str) -> bool {
        self.view.object.header().label(REVISION_HASH) == Some(hash)
    }
}

/// The node that an affinity by name leads to.
fn meant_for(affinity: Option<&Affinity>) -> Option<String> {
    let required = affinity?.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let named = fields.into_iter().find(|field| field.key == "metadata.name" && field.operator == "In")?;
    named.values.as_ref()?.first().cloned()
}
