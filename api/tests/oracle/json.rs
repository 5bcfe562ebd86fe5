//! JSON through `k8s-openapi` and back.

use api::json::{self, Options};
use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fill;

fn check<T: Serialize + DeserializeOwned>(api_version: &str, kind: &str) {
    let object = fill::object(api_version, kind, &[]);
    let text = json::encode(&object);
    let read = json::decode(object.body.ty(), &text, Options::CHECKED).unwrap();
    assert_eq!(read.problems, [], "{kind}");
    assert_eq!(read.object, object, "{kind}: our own round trip");
    assert_eq!(json::encode(&read.object), text, "{kind}: canonical text is stable");

    let typed: T = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{kind}: {error}"));
    let ours: Value = serde_json::from_slice(&text).unwrap();
    let theirs = serde_json::to_value(&typed).unwrap();
    assert_same(kind, &ours, &theirs);
}

fn assert_same(path: &str, ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            // k8s-openapi gives objects inside objects an envelope, which Go leaves out.
            let inner = |key: &&String| ours.contains_key(*key) || !matches!(key.as_str(), "kind" | "apiVersion");
            for key in ours.keys().chain(theirs.keys()).filter(inner) {
                let side = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                assert_same(&format!("{path}.{key}"), &side(ours), &side(theirs));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            ours.iter().zip(theirs).for_each(|(ours, theirs)| assert_same(path, ours, theirs));
        }
        _ => assert_eq!(ours, theirs, "{path}"),
    }
}

macro_rules! kinds {
    ($($api_version:literal $package:ident $version:ident: $($kind:ident)*;)*) => {
        $($(check::<k8s_openapi::api::$package::$version::$kind>($api_version, stringify!($kind));)*)*
    };
}

#[test]
fn json_survives_the_typed_structs_of_k8s_openapi() {
    kinds! {
        "v1" core v1: Binding ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod
            PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount;
        "apps/v1" apps v1: ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet;
        "batch/v1" batch v1: CronJob Job;
        "autoscaling/v1" autoscaling v1: HorizontalPodAutoscaler Scale;
        "autoscaling/v2" autoscaling v2: HorizontalPodAutoscaler;
        "policy/v1" policy v1: Eviction PodDisruptionBudget;
        "networking.k8s.io/v1" networking v1: IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR;
        "discovery.k8s.io/v1" discovery v1: EndpointSlice;
        "events.k8s.io/v1" events v1: Event;
        "coordination.k8s.io/v1" coordination v1: Lease;
        "rbac.authorization.k8s.io/v1" rbac v1: ClusterRole ClusterRoleBinding Role RoleBinding;
        "scheduling.k8s.io/v1" scheduling v1: PriorityClass;
        "storage.k8s.io/v1" storage v1: CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment
            VolumeAttributesClass;
        "node.k8s.io/v1" node v1: RuntimeClass;
        "certificates.k8s.io/v1" certificates v1: CertificateSigningRequest ClusterTrustBundle PodCertificateRequest;
        "authentication.k8s.io/v1" authentication v1: TokenRequest TokenReview SelfSubjectReview;
        "authorization.k8s.io/v1" authorization v1: LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview
            SubjectAccessReview;
        "admissionregistration.k8s.io/v1" admissionregistration v1: MutatingAdmissionPolicy
            MutatingAdmissionPolicyBinding MutatingWebhookConfiguration ValidatingAdmissionPolicy
            ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration;
        "flowcontrol.apiserver.k8s.io/v1" flowcontrol v1: FlowSchema PriorityLevelConfiguration;
        "resource.k8s.io/v1" resource v1: DeviceClass DeviceTaintRule ResourceClaim ResourceClaimTemplate ResourceSlice;
        "storagemigration.k8s.io/v1" storagemigration v1: StorageVersionMigration;
        "coordination.k8s.io/v1beta1" coordination v1beta1: LeaseCandidate;
        "resource.k8s.io/v1beta1" resource v1beta1: ResourceClaim ResourceClaimTemplate ResourceSlice;
        "scheduling.k8s.io/v1beta1" scheduling v1beta1: PodGroup Workload;
    }
    use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
    check::<k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService>(
        "apiregistration.k8s.io/v1",
        "APIService",
    );
    check::<meta::Status>("v1", "Status");
    check::<meta::DeleteOptions>("v1", "DeleteOptions");
    check::<meta::APIResourceList>("v1", "APIResourceList");
    check::<meta::APIGroupList>("v1", "APIGroupList");
    check::<k8s_openapi::List<k8s_openapi::api::core::v1::Pod>>("v1", "PodList");
}
