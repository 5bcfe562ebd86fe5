//! Names of signers: a domain and a path, `example.com/serving`.

use crate::names;
use crate::validation::{Errors, Path};

/// A subdomain, a slash, and a path of labels no longer than another subdomain.
const LENGTH_MAX: usize = 571;

/// Checks the name of a signer.
pub(super) fn check(name: &str, path: &Path<'_>, errors: &mut Errors) {
    if name.is_empty() {
        errors.required(path, "");
        return;
    }
    let Some((domain, signer)) = name.split_once('/').filter(|(_, signer)| !signer.contains('/')) else {
        errors.invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
        return;
    };
    errors.invalid_each(path, domain, names::dns1123_subdomain(domain));
    if !domain.contains('.') {
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots");
    }
    for label in signer.split('.') {
        for problem in names::dns1123_label(label) {
            errors.invalid(path, signer, format!("validating label \"{label}\": {problem}"));
        }
    }
    if name.len() > LENGTH_MAX {
        errors.too_long(path, LENGTH_MAX);
    }
}
