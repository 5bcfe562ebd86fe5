//! RFC 6902 operations on a JSON tree.

use serde_json::Value;

use super::{Error, JSON_PATCH_OPERATIONS_MAX};

/// What `copy` operations may add in total, so that a small patch cannot make a huge object.
const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

pub(super) enum Operation {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

pub(super) fn parse(patch: Value) -> Result<Vec<Operation>, Error> {
    let Value::Array(operations) = patch else {
        return Err(Error::Malformed("a JSON patch must be a list of operations".into()));
    };
    if operations.len() > JSON_PATCH_OPERATIONS_MAX {
        return Err(Error::TooManyOperations(operations.len()));
    }
    operations.into_iter().map(operation).collect()
}

fn operation(mut operation: Value) -> Result<Operation, Error> {
    let mut text = |key: &str| match operation.get_mut(key).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(Error::Malformed(format!("JSON patch operation needs the text {key:?}"))),
    };
    let (op, path) = (text("op")?, text("path")?);
    match op.as_str() {
        "remove" => return Ok(Operation::Remove { path }),
        "move" => return Ok(Operation::Move { from: text("from")?, path }),
        "copy" => return Ok(Operation::Copy { from: text("from")?, path }),
        _ => {}
    }
    let value = operation.get_mut("value").map(Value::take).unwrap_or_default();
    match op.as_str() {
        "add" => Ok(Operation::Add { path, value }),
        "replace" => Ok(Operation::Replace { path, value }),
        "test" => Ok(Operation::Test { path, value }),
        _ => Err(Error::Inapplicable(format!("Unexpected kind: {op}"))),
    }
}

pub(super) fn apply(document: &mut Value, operations: Vec<Operation>) -> Result<(), Error> {
    let mut copied = 0;
    for operation in operations {
        match operation {
            Operation::Add { path, value } => add(document, &path, value)?,
            Operation::Remove { path } => drop(remove(document, &path, "remove")?),
            Operation::Replace { path, value } => {
                let slot = document.pointer_mut(&path).ok_or_else(|| missing("replace", &path))?;
                *slot = value;
            }
            Operation::Move { from, path } => {
                let value = remove(document, &from, "move")?;
                add(document, &path, value)?;
            }
            Operation::Copy { from, path } => {
                let value = document.pointer(&from).ok_or_else(|| missing("copy", &from))?.clone();
                copied += value.to_string().len();
                if copied > COPIED_BYTES_MAX {
                    return Err(Error::Inapplicable(format!(
                        "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {COPIED_BYTES_MAX}"
                    )));
                }
                add(document, &path, value)?;
            }
            Operation::Test { path, value } => {
                // An absent value passes for null.
                if document.pointer(&path).unwrap_or(&Value::Null) != &value {
                    return Err(Error::Inapplicable(format!("testing value {path} failed: test failed")));
                }
            }
        }
    }
    Ok(())
}

fn missing(operation: &str, path: &str) -> Error {
    Error::Inapplicable(format!("{operation} operation does not apply: doc is missing path: {path}: missing value"))
}

/// The container that a pointer's last step addresses, and that step unescaped.
fn parent<'v>(document: &'v mut Value, path: &str, operation: &str) -> Result<(&'v mut Value, String), Error> {
    let (parent, last) = path.rsplit_once('/').ok_or_else(|| missing(operation, path))?;
    let container = document.pointer_mut(parent).ok_or_else(|| missing(operation, path))?;
    Ok((container, last.replace("~1", "/").replace("~0", "~")))
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), Error> {
    if path.is_empty() {
        *document = value;
        return Ok(());
    }
    let (container, key) = parent(document, path, "add")?;
    match container {
        Value::Object(map) => drop(map.insert(key, value)),
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let index = key.parse::<usize>().ok().filter(|index| *index <= items.len());
            items.insert(index.ok_or_else(|| missing("add", path))?, value);
        }
        _ => return Err(missing("add", path)),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str, operation: &str) -> Result<Value, Error> {
    let (container, key) = parent(document, path, operation)?;
    match container {
        Value::Object(map) => map.remove(&key).ok_or_else(|| missing(operation, path)),
        Value::Array(items) => {
            let index = key.parse::<usize>().ok().filter(|index| *index < items.len());
            Ok(items.remove(index.ok_or_else(|| missing(operation, path))?))
        }
        _ => Err(missing(operation, path)),
    }
}
