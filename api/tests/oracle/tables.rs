//! The tables against the published schema: no field missing, none too many.

use std::collections::BTreeSet;

use api::schema::type_named;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// What belongs to features that are off, which the tables leave out.
const OFF: [&str; 4] = [
    "resource/v1.DeviceCounterConsumption.compatibilityGroups",
    "resource/v1.DeviceDerivedAttribute",
    "resource/v1.DeviceSubRequest.derivedAttributes",
    "resource/v1.ExactDeviceRequest.derivedAttributes",
];

/// The name of a type in the tables, from its name in the published schema.
fn our_name(name: &str) -> Option<String> {
    let prefixes = ["io.k8s.api.", "io.k8s.apimachinery.pkg.apis.", "io.k8s.apiextensions-apiserver.pkg.apis."];
    let rest = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let (package, name) = rest.rsplit_once('.')?;
    Some(format!("{}.{name}", package.replace('.', "/")))
}

/// Betas of which there is no stable version yet.
fn betas(generator: &mut SchemaGenerator) {
    use k8s_openapi::api;
    generator.subschema_for::<api::coordination::v1beta1::LeaseCandidate>();
    generator.subschema_for::<api::scheduling::v1beta1::PodGroup>();
    generator.subschema_for::<api::scheduling::v1beta1::Workload>();
}

#[test]
fn every_type_has_exactly_the_published_fields() {
    use k8s_openapi::api;
    let mut generator = SchemaSettings::openapi3().into_generator();
    generator.subschema_for::<api::core::v1::Pod>();
    generator.subschema_for::<api::core::v1::Node>();
    generator.subschema_for::<api::core::v1::Namespace>();
    generator.subschema_for::<api::core::v1::Service>();
    generator.subschema_for::<api::core::v1::ServiceAccount>();
    generator.subschema_for::<api::core::v1::Secret>();
    generator.subschema_for::<api::core::v1::ConfigMap>();
    generator.subschema_for::<api::core::v1::Event>();
    generator.subschema_for::<api::core::v1::PersistentVolume>();
    generator.subschema_for::<api::apps::v1::Deployment>();
    generator.subschema_for::<api::apps::v1::ReplicaSet>();
    generator.subschema_for::<api::apps::v1::StatefulSet>();
    generator.subschema_for::<api::apps::v1::DaemonSet>();
    generator.subschema_for::<api::batch::v1::CronJob>();
    generator.subschema_for::<api::discovery::v1::EndpointSlice>();
    generator.subschema_for::<api::coordination::v1::Lease>();
    generator.subschema_for::<api::rbac::v1::ClusterRole>();
    generator.subschema_for::<api::rbac::v1::RoleBinding>();
    generator.subschema_for::<api::authentication::v1::TokenRequest>();
    generator.subschema_for::<api::authorization::v1::SubjectAccessReview>();
    generator.subschema_for::<api::networking::v1::Ingress>();
    generator.subschema_for::<api::policy::v1::PodDisruptionBudget>();
    generator
        .subschema_for::<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>(
        );
    generator.subschema_for::<api::admissionregistration::v1::MutatingAdmissionPolicy>();
    generator.subschema_for::<api::admissionregistration::v1::ValidatingAdmissionPolicyBinding>();
    generator.subschema_for::<api::certificates::v1::CertificateSigningRequest>();
    generator.subschema_for::<api::certificates::v1::PodCertificateRequest>();
    generator.subschema_for::<api::events::v1::Event>();
    generator.subschema_for::<api::flowcontrol::v1::FlowSchema>();
    generator.subschema_for::<api::flowcontrol::v1::PriorityLevelConfiguration>();
    generator.subschema_for::<api::networking::v1::NetworkPolicy>();
    generator.subschema_for::<api::networking::v1::ServiceCIDR>();
    generator.subschema_for::<api::node::v1::RuntimeClass>();
    generator.subschema_for::<api::resource::v1::DeviceTaintRule>();
    generator.subschema_for::<api::resource::v1::ResourceClaimTemplate>();
    generator.subschema_for::<api::resource::v1::ResourceSlice>();
    generator.subschema_for::<api::scheduling::v1::PriorityClass>();
    betas(&mut generator);
    generator.subschema_for::<api::storage::v1::CSIDriver>();
    generator.subschema_for::<api::storage::v1::StorageClass>();
    generator.subschema_for::<api::storagemigration::v1::StorageVersionMigration>();

    let (mut compared, mut different) = (0, vec![]);
    for (name, schema) in generator.take_definitions(true) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { continue };
        let name = our_name(&name).unwrap_or_else(|| panic!("{name}: no such package"));
        if OFF.contains(&name.as_str()) {
            continue;
        }
        let ty = type_named(&name).unwrap_or_else(|| panic!("{name} is missing in the tables"));
        let published: BTreeSet<&str> = properties
            .keys()
            .map(String::as_str)
            .filter(|key| !(ty.object && matches!(*key, "kind" | "apiVersion")))
            .collect();
        let ours: BTreeSet<&str> = ty.fields.iter().map(|field| field.name).collect();
        for field in ours.symmetric_difference(&published) {
            let place = format!("{name}.{field}");
            if !OFF.contains(&place.as_str()) {
                different.push(place);
            }
        }
        compared += published.len();
    }
    assert_eq!(different, Vec::<String>::new());
    assert!(compared > 1000, "only {compared} fields were compared");
}
