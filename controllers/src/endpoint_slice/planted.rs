//! Bugs on purpose.

use std::collections::BTreeSet;

use api::surroundings::{Planted, Surroundings};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::pods::is_ready;

/// Whether a bug leaves the slices as they are. None does where none is planted.
pub(super) fn leaves_alone(surroundings: &Surroundings, slices: &[EndpointSlice], pods: &[Pod]) -> bool {
    let told = || slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    if surroundings.has(Planted::KeepPodsThatWent) {
        return pods.len() < told().count();
    }
    let of_endpoint = |endpoint: &Endpoint| {
        let uid = endpoint.target_ref.as_ref().and_then(|pod| pod.uid.clone());
        (uid, endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true))
    };
    let of_pod = |pod: &Pod| (pod.metadata.uid.clone(), is_ready(pod) && pod.metadata.deletion_timestamp.is_none());
    let same = || {
        let (told, pods): (BTreeSet<_>, BTreeSet<_>) =
            (told().map(of_endpoint).collect(), pods.iter().map(of_pod).collect());
        !slices.is_empty() && told == pods
    };
    surroundings.has(Planted::MissNewAddresses) && same()
}
