//! `LocalSubjectAccessReview`: may somebody do this in this namespace?

use crate::kind::Kind;
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    group: "authorization.k8s.io",
    plural: "localsubjectaccessreviews",
    singular: "localsubjectaccessreview",
    kind: "LocalSubjectAccessReview",
    scope: crate::kind::Scope::Namespaced,
    ty: &types::AUTHORIZATION_V1_LOCAL_SUBJECT_ACCESS_REVIEW,
    check: super::attributes::check_with_subject,
    ..Kind::QUESTION
};
