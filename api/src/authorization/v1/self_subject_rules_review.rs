//! `SelfSubjectRulesReview`: what may I do in this namespace?

use crate::kind::Kind;
use crate::schema::types;

/// The kind.
pub static KIND: Kind = Kind {
    group: "authorization.k8s.io",
    plural: "selfsubjectrulesreviews",
    singular: "selfsubjectrulesreview",
    kind: "SelfSubjectRulesReview",
    ty: &types::AUTHORIZATION_V1_SELF_SUBJECT_RULES_REVIEW,
    check: |review, errors| {
        if review.str_at("spec.namespace").is_empty() {
            let path = crate::validation::Path::Root.field("spec");
            errors.required(&path.field("namespace"), "");
        }
    },
    ..Kind::QUESTION
};
