//! `TokenRequest`: a token for a service account. Posted to `serviceaccounts/<name>/token`, so it is in no table of
//! resources; the rules are used by that subresource.

use crate::kind::Kind;
use crate::schema::types;
use crate::validation::{Errors, Path};

/// A token lives at least this long.
const SECONDS_MIN: i64 = 600;
/// And for no more than this.
const SECONDS_MAX: i64 = 1 << 32;
const SECONDS_DEFAULT: i64 = 3600;

/// The body of `serviceaccounts/token`.
pub static KIND: Kind = Kind {
    group: "authentication.k8s.io",
    plural: "tokenrequests",
    singular: "tokenrequest",
    kind: "TokenRequest",
    scope: crate::kind::Scope::Namespaced,
    ty: &types::AUTHENTICATION_V1_TOKEN_REQUEST,
    defaults: |request| {
        request.set_default("spec.expirationSeconds", SECONDS_DEFAULT);
    },
    check,
    ..Kind::QUESTION
};

fn check(request: &crate::Object, errors: &mut Errors) {
    let path = Path::Root.field("spec");
    let path = path.field("expirationSeconds");
    let seconds = request.body.i64_at("spec.expirationSeconds").unwrap_or(SECONDS_DEFAULT);
    if seconds < SECONDS_MIN {
        errors.invalid(&path, seconds, "may not specify a duration less than 10 minutes");
    } else if seconds > SECONDS_MAX {
        errors.invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds");
    }
}
