//! The three patches of the Kubernetes API: JSON patch (RFC 6902), JSON merge patch (RFC 7386) and strategic merge
//! patch. Server-side apply is field ownership and lives in [`managed_fields`](crate::managed_fields).
//!
//! Each is a pure function from an object and a patch to the patched object. The patch works on the object's JSON and
//! the result passes through the decoder again, so a patch can neither produce a value of a wrong type nor smuggle in
//! an unknown field unreported. The envelope may change as well: the caller refuses that.

use serde_json::Value;

use crate::json::{self, Decoded, Options, Problem};
use crate::object::Object;

mod document;
mod json_patch;
mod merge_patch;
mod strategic_merge;

/// More operations than this are refused, as upstream does.
pub const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;

/// Why a patch could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The patch is no JSON.
    #[error(transparent)]
    Syntax(json::Error),
    /// The patch is JSON, but not of the form its type demands.
    #[error("{0}")]
    Malformed(String),
    /// The JSON patch has too many operations.
    #[error("The allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {0}")]
    TooManyOperations(usize),
    /// The patch is well-formed but does not fit the object: a failing test, a path that does not exist.
    #[error("{0}")]
    Inapplicable(String),
    /// The patched object has a value of a wrong type.
    #[error(transparent)]
    Result(json::Error),
}

/// Applies a JSON patch.
pub fn json_patch(object: &Object, patch: &[u8]) -> Result<Decoded, Error> {
    let mut problems = vec![];
    let operations = json_patch::parse(document::parse(patch, &mut problems)?)?;
    let mut document = tree(object)?;
    json_patch::apply(&mut document, operations)?;
    result(object, &document, problems)
}

/// Applies a JSON merge patch.
pub fn merge_patch(object: &Object, patch: &[u8]) -> Result<Decoded, Error> {
    let mut problems = vec![];
    let patch = document::parse(patch, &mut problems)?;
    if !patch.is_object() {
        return Err(Error::Malformed("a JSON merge patch must be an object".into()));
    }
    let mut document = tree(object)?;
    merge_patch::apply(&mut document, patch);
    result(object, &document, problems)
}

/// Applies a strategic merge patch.
pub fn strategic_merge_patch(object: &Object, patch: &[u8]) -> Result<Decoded, Error> {
    let mut problems = vec![];
    let Value::Object(patch) = document::parse(patch, &mut problems)? else {
        return Err(Error::Malformed("a strategic merge patch must be an object".into()));
    };
    let Value::Object(document) = tree(object)? else { return Err(Error::Malformed("the object is no map".into())) };
    let merged = strategic_merge::apply(object.body.ty(), document, patch)?;
    result(object, &Value::Object(merged), problems)
}

fn tree(object: &Object) -> Result<Value, Error> {
    // Our own writer made the text; the parser can only agree.
    serde_json::from_slice(&json::encode(object)).map_err(|error| Error::Malformed(error.to_string()))
}

fn result(object: &Object, document: &Value, mut problems: Vec<Problem>) -> Result<Decoded, Error> {
    let text = document.to_string();
    let mut decoded = json::decode(object.body.ty(), text.as_bytes(), Options::CHECKED).map_err(Error::Result)?;
    problems.append(&mut decoded.problems);
    decoded.problems = problems;
    Ok(decoded)
}

#[cfg(test)]
mod tests;
