//! `SubjectAccessReview`: may somebody do this?

use crate::kind::Kind;
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    group: "authorization.k8s.io",
    plural: "subjectaccessreviews",
    singular: "subjectaccessreview",
    kind: "SubjectAccessReview",
    ty: &types::AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW,
    check: super::attributes::check_with_subject,
    ..Kind::QUESTION
};
