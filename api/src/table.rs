//! The Table form: what `kubectl get` prints, one row an object.
//!
//! Columns and rows are data here; `meta.k8s.io/v1 Table` and its encodings are made by the API server.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::object::Object;
use crate::time;

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// The heading, before kubectl puts it into capitals.
    pub name: &'static str,
    /// `string`, `integer`, `boolean`, ...
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `name` for the column that names the object.
    pub format: &'static str,
    /// What the column says.
    pub description: &'static str,
    /// 0 is always shown, 1 only on wide output.
    pub priority: i32,
}

/// A text column that is always shown.
pub const fn column(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", format: "", description, priority: 0 }
}

/// A number column that is always shown.
pub const fn integer(name: &'static str, description: &'static str) -> Column {
    Column { kind: "integer", ..column(name, description) }
}

/// A truth column that is always shown.
pub const fn boolean(name: &'static str, description: &'static str) -> Column {
    Column { kind: "boolean", ..column(name, description) }
}

/// A text column of the wide output.
pub const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { priority: 1, ..column(name, description) }
}

/// The column of `metadata.name`.
pub const fn name_column() -> Column {
    Column { format: "name", ..column("Name", "The name of the object, unique among its kind in its namespace.") }
}

/// The column of the time since `metadata.creationTimestamp`.
pub const fn age_column() -> Column {
    column("Age", "How long ago the server created the object, by the server's clock.")
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Text.
    Str(String),
    /// A number.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A number that is no integer.
    Number(f64),
    /// Nothing.
    Null,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Null => Ok(()),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// A condition of a row: kubectl hides rows of completed objects on request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowCondition {
    /// `Completed`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `True`.
    pub status: &'static str,
    /// Machine-readable.
    pub reason: &'static str,
    /// For people.
    pub message: &'static str,
}

/// One row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// One cell for each column.
    pub cells: Vec<Cell>,
    /// What is to be said of the object as a whole.
    pub conditions: Vec<RowCondition>,
}

impl Row {
    /// A row of these cells.
    pub fn of<const N: usize>(cells: [Cell; N]) -> Self {
        Self { cells: Vec::from(cells), conditions: Vec::new() }
    }

    /// The cell of the AGE column.
    pub fn age(object: &Object, now: Timestamp) -> Cell {
        Cell::Str(time::age(Some(object.str_at("metadata.creationTimestamp")), now))
    }
}

/// `items` joined, or `<none>`.
pub(crate) fn list_or_none<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.into_iter().collect();
    if items.is_empty() { "<none>".to_owned() } else { items.join(",") }
}

/// `text`, or `<none>`.
pub(crate) fn or_none(text: &str) -> Cell {
    if text.is_empty() { "<none>".into() } else { text.into() }
}
