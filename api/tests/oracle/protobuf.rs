//! Protobuf through `k8s-pb` and back.

use api::{Node, Struct, protobuf};
use prost::Message;

use crate::fill;

/// Fields that are younger than `k8s-pb`, which follows an earlier Kubernetes minor.
const YOUNGER: &[&str] = &[
    "ClusterTrustBundleProjection.user",
    "ConfigMapVolumeSource.defaultUser",
    "DownwardAPIVolumeFile.user",
    "DownwardAPIVolumeSource.defaultUser",
    "EmptyDirVolumeSource.mode",
    "GRPCAction.mode",
    "HTTPGetAction.protocol",
    "HorizontalPodAutoscalerCondition.observedGeneration",
    "JobSpec.scheduling",
    "KeyToPath.user",
    "ListMeta.shardInfo",
    "NodeSpec.podPreemptionPolicy",
    "NodeSystemInfo.runningInUserNamespace",
    "PersistentVolumeClaimStatus.healthStatus",
    "PodCertificateProjection.user",
    "PodSpec.evictionResponders",
    "PodSpec.schedulingGroup",
    "PodStatus.nodeAllocatableResourceClaimStatuses",
    "PodStatus.volumeHealth",
    "ProjectedVolumeSource.defaultUser",
    "ResourceHealth.message",
    "SecretVolumeSource.defaultUser",
    "ServiceAccountTokenProjection.user",
    "TokenRequestSpec.attestations",
    "VolumeMount.bindMountOptions",
    "VolumeMountStatus.volumeStatus",
];

fn check<T: Message + Default>(api_version: &str, kind: &str) {
    let object = fill::object(api_version, kind, YOUNGER);
    let bytes = protobuf::encode_message(&object.body);
    let read = protobuf::decode_message(object.body.ty(), &bytes).unwrap();
    assert_eq!(read, object.body, "{kind}: our own round trip");

    let typed = T::decode(&bytes[..]).unwrap_or_else(|error| panic!("{kind}: {error}"));
    let theirs = typed.encode_to_vec();
    let back = protobuf::decode_message(object.body.ty(), &theirs).unwrap();
    let mut lost = vec![];
    differences(&object.body, &back, &mut lost);
    assert_eq!(lost, Vec::<String>::new(), "{kind}");
    assert!(theirs == bytes, "{kind}: {} bytes became {}", bytes.len(), theirs.len());
}

/// The fields that did not survive, as `Type.field`.
fn differences(ours: &Struct, theirs: &Struct, lost: &mut Vec<String>) {
    for (field, node) in ours.iter() {
        match (node, theirs.get(field.name)) {
            (Node::Struct(ours), Some(Node::Struct(theirs))) => differences(ours, theirs, lost),
            (Node::List(ours), Some(Node::List(theirs))) if !ours.is_empty() && ours.len() == theirs.len() => {
                match (&ours[0], &theirs[0]) {
                    (Node::Struct(ours), Node::Struct(theirs)) => differences(ours, theirs, lost),
                    (ours, theirs) if ours == theirs => {}
                    _ => lost.push(format!("[].{}", field.name)),
                }
            }
            (ours, Some(theirs)) if ours == theirs => {}
            _ => lost.push(format!("{}.{}", ours.ty().name, field.name)),
        }
    }
}

macro_rules! kinds {
    ($($api_version:literal $package:ident $version:ident: $($kind:ident)*;)*) => {
        $($(check::<k8s_pb::api::$package::$version::$kind>($api_version, stringify!($kind));)*)*
    };
}

#[test]
fn protobuf_is_byte_identical_after_the_generated_structs_of_k8s_pb() {
    kinds! {
        "v1" core v1: Binding ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod
            PodList PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount;
        "apps/v1" apps v1: ControllerRevision DaemonSet Deployment DeploymentList ReplicaSet StatefulSet;
        "batch/v1" batch v1: CronJob Job;
        "autoscaling/v1" autoscaling v1: HorizontalPodAutoscaler Scale;
        "autoscaling/v2" autoscaling v2: HorizontalPodAutoscaler;
        "policy/v1" policy v1: Eviction PodDisruptionBudget;
        "networking.k8s.io/v1" networking v1: Ingress IngressClass NetworkPolicy;
        "discovery.k8s.io/v1" discovery v1: EndpointSlice;
        "events.k8s.io/v1" events v1: Event;
        "coordination.k8s.io/v1" coordination v1: Lease;
        "rbac.authorization.k8s.io/v1" rbac v1: ClusterRole ClusterRoleBinding Role RoleBinding;
        "scheduling.k8s.io/v1" scheduling v1: PriorityClass;
        "flowcontrol.apiserver.k8s.io/v1" flowcontrol v1: FlowSchema PriorityLevelConfiguration;
        "storage.k8s.io/v1" storage v1: StorageClass VolumeAttributesClass;
        "node.k8s.io/v1" node v1: RuntimeClass;
        "certificates.k8s.io/v1" certificates v1: CertificateSigningRequest;
        "authentication.k8s.io/v1" authentication v1: TokenRequest TokenReview SelfSubjectReview;
        "authorization.k8s.io/v1" authorization v1: LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview
            SubjectAccessReview;
        "admissionregistration.k8s.io/v1" admissionregistration v1: MutatingWebhookConfiguration ValidatingAdmissionPolicy
            ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration;
    }
    use k8s_pb::apimachinery::pkg::apis::meta::v1 as meta;
    check::<meta::Status>("v1", "Status");
    check::<meta::DeleteOptions>("v1", "DeleteOptions");
    check::<meta::APIGroupList>("v1", "APIGroupList");
}
