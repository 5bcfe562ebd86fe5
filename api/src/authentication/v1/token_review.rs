//! `TokenReview`: whose token is this?

use crate::kind::Kind;
use crate::schema::types;
use crate::validation::Path;

/// The kind.
pub static KIND: Kind = Kind {
    group: "authentication.k8s.io",
    plural: "tokenreviews",
    singular: "tokenreview",
    kind: "TokenReview",
    ty: &types::AUTHENTICATION_V1_TOKEN_REVIEW,
    check: |review, errors| {
        if review.str_at("spec.token").is_empty() {
            let path = Path::Root.field("spec");
            errors.required(&path.field("token"), "");
        }
    },
    ..Kind::QUESTION
};
