//! What claims and classes have in common: selectors of devices, and configurations that only a driver understands.

use crate::names;
use crate::node::Node;
use crate::validation::{Errors, Path};

const SELECTORS_MAX: usize = 32;
const CONFIGURATIONS_MAX: usize = 32;
const EXPRESSION_MAX: usize = 10 * 1024;
const PARAMETERS_MAX: usize = 10 * 1024;

/// Checks selectors of devices.
pub(super) fn check_selectors(selectors: &[Node], path: &Path<'_>, errors: &mut Errors) {
    if selectors.len() > SELECTORS_MAX {
        errors.too_many(path, selectors.len(), SELECTORS_MAX);
        return;
    }
    for (index, selector) in selectors.iter().enumerate() {
        let path = path.index(index);
        let path = path.field("cel");
        match selector.get("cel") {
            None => errors.required(&path, ""),
            Some(cel) if cel.str_at("expression").len() > EXPRESSION_MAX => {
                errors.too_long(&path.field("expression"), EXPRESSION_MAX);
            }
            Some(_) => {}
        }
    }
}

/// Checks configurations; `own` checks what a claim's have besides.
pub(super) fn check_all(
    configurations: &[Node],
    path: &Path<'_>,
    errors: &mut Errors,
    own: impl Fn(&Node, &Path<'_>, &mut Errors),
) {
    if configurations.len() > CONFIGURATIONS_MAX {
        errors.too_many(path, configurations.len(), CONFIGURATIONS_MAX);
        return;
    }
    for (index, configuration) in configurations.iter().enumerate() {
        let path = path.index(index);
        own(configuration, &path, errors);
        let path = path.field("opaque");
        let Some(opaque) = configuration.get("opaque") else {
            errors.required(&path, "");
            continue;
        };
        names::check_csi_driver_name(opaque.str_at("driver"), &path.field("driver"), errors);
        let path = path.field("parameters");
        match opaque.get("parameters").and_then(Node::as_raw) {
            None | Some("" | "null") => errors.required(&path, ""),
            Some(raw) if raw.len() > PARAMETERS_MAX => errors.too_long(&path, PARAMETERS_MAX),
            Some(raw) if !raw.trim_start().starts_with('{') => {
                errors.invalid(&path, "<value omitted>", "must be a valid JSON object");
            }
            Some(_) => {}
        }
    }
}
