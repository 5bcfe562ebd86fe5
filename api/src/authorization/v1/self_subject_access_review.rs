//! `SelfSubjectAccessReview`: may I do this?

use crate::kind::Kind;
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    group: "authorization.k8s.io",
    plural: "selfsubjectaccessreviews",
    singular: "selfsubjectaccessreview",
    kind: "SelfSubjectAccessReview",
    ty: &types::AUTHORIZATION_V1_SELF_SUBJECT_ACCESS_REVIEW,
    check: super::attributes::check,
    ..Kind::QUESTION
};
