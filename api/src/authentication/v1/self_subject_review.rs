//! `SelfSubjectReview`: who am I?

use crate::kind::Kind;
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    group: "authentication.k8s.io",
    plural: "selfsubjectreviews",
    singular: "selfsubjectreview",
    kind: "SelfSubjectReview",
    ty: &types::AUTHENTICATION_V1_SELF_SUBJECT_REVIEW,
    ..Kind::QUESTION
};
