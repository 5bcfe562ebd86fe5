//! What is handed to a driver as it is: bounded, but not understood.

use crate::node::Map;
use crate::validation::{Errors, Path};

const COUNT_MAX: usize = 512;
const SIZE_MAX: usize = 256 * 1024;

/// Checks how many parameters there are, and how large they are together.
pub(super) fn check(parameters: Option<&Map>, path: &Path<'_>, errors: &mut Errors) {
    let Some(parameters) = parameters else { return };
    if parameters.len() > COUNT_MAX {
        errors.too_long(path, COUNT_MAX);
        return;
    }
    let mut size = 0;
    for (key, value) in parameters.iter() {
        if key.is_empty() {
            errors.invalid(path, key, "field can not be empty.");
        }
        size += key.len() + value.as_str().unwrap_or("").len();
    }
    if size > SIZE_MAX {
        errors.too_long(path, SIZE_MAX);
    }
}
