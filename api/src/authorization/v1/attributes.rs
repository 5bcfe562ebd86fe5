//! The rules that all access reviews share.

use crate::object::Object;
use crate::validation::{Errors, Path};

/// Either a resource or a URL is asked for.
pub(super) fn check(review: &Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    match (review.at("spec.resourceAttributes"), review.at("spec.nonResourceAttributes")) {
        (Some(_), Some(_)) => {
            let path = path.field("nonResourceAttributes");
            errors.invalid(&path, "", "cannot be specified in combination with resourceAttributes");
        }
        (None, None) => {
            let path = path.field("resourceAttributes");
            errors.invalid(&path, "", "exactly one of nonResourceAttributes or resourceAttributes must be specified");
        }
        _ => {}
    }
}

/// Somebody else is asked about.
pub(super) fn check_with_subject(review: &Object, errors: &mut Errors) {
    check(review, errors);
    if review.str_at("spec.user").is_empty() && review.body.items_at("spec.groups").is_empty() {
        let path = Path::Root.field("spec");
        errors.invalid(&path.field("user"), "", "at least one of user or group must be specified");
    }
}
