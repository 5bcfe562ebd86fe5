//! Field errors: what is wrong with which field, in Kubernetes' words.
//!
//! Kinds collect every problem of an object in [`Errors`] and never stop at the first. A [`Path`] is a chain of
//! borrowed steps on the stack, so that a valid object costs no allocation. Turning a list into a `metav1.Status`
//! is the work of [`crate::status`].

use std::fmt;

/// Where in an object a problem is: `spec.containers[0].ports[1].hostPort`.
#[derive(Clone, Copy, Debug)]
pub enum Path<'a> {
    /// The object itself; its fields have no prefix.
    Root,
    /// A field of an object.
    Field(&'a Path<'a>, &'a str),
    /// An element of a list.
    Index(&'a Path<'a>, usize),
    /// An entry of a map.
    Key(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    /// A field below this one.
    pub const fn field(&'a self, name: &'a str) -> Path<'a> {
        Path::Field(self, name)
    }

    /// An element of this list.
    pub const fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    /// An entry of this map.
    pub const fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => f.write_str(name),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(parent, key) => write!(f, "{parent}[{key}]"),
        }
    }
}

/// The kinds of problem a field can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// Refers to something that does not exist.
    NotFound,
    /// Missing.
    Required,
    /// Stands twice where once is allowed.
    Duplicate,
    /// Malformed, out of range or in conflict with another field.
    Invalid,
    /// Not one of a fixed set of values.
    NotSupported,
    /// Well formed, but not allowed here or now.
    Forbidden,
    /// More bytes than allowed.
    TooLong,
    /// More items than allowed.
    TooMany,
    /// Of the wrong JSON type.
    TypeInvalid,
    /// The server failed to check.
    Internal,
}

impl ErrorType {
    /// The machine-readable `reason` of a cause.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// The offending value as it is shown: strings quoted, numbers and booleans bare, anything else verbatim.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Shown in Go's quotes.
    Str(String),
    /// Shown as it is: numbers, booleans, quantities, JSON of lists and objects.
    Text(String),
}

impl Value {
    /// Shown as it prints.
    pub fn text(value: impl fmt::Display) -> Self {
        Self::Text(value.to_string())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Str(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::text(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::text(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::text(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => write_quoted(f, text),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Go's `%q`, which is what users of Kubernetes see: control characters escaped, everything printable as it is.
fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c if (c as u32) < 0x20 || c as u32 == 0x7f => write!(f, "\\x{:02x}", c as u32)?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// `text` in quotes as Kubernetes messages show strings.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// One problem of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What sort of problem.
    pub kind: ErrorType,
    /// The path of the field.
    pub field: String,
    /// The value, where it helps.
    pub value: Option<Value>,
    /// More words, or empty.
    pub detail: String,
}

impl FieldError {
    /// The message without the path: `Invalid value: "x": must be y`.
    pub fn body(&self) -> String {
        let mut body = self.kind.words().to_owned();
        if let Some(value) = &self.value {
            body.push_str(": ");
            body.push_str(&value.to_string());
        }
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.body()) } else { write!(f, "{}: {}", self.field, self.body()) }
    }
}

/// All problems found in an object, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors(Vec<FieldError>);

impl Errors {
    /// No problem yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether the object is valid.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many problems there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The problems.
    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.0.iter()
    }

    /// Adds a problem.
    pub fn push(&mut self, kind: ErrorType, path: &Path<'_>, value: Option<Value>, detail: impl Into<String>) {
        self.0.push(FieldError { kind, field: path.to_string(), value, detail: detail.into() });
    }

    /// The value is malformed.
    pub fn invalid(&mut self, path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(ErrorType::Invalid, path, Some(value.into()), detail);
    }

    /// The value is malformed in each of these ways.
    pub fn invalid_each(&mut self, path: &Path<'_>, value: &str, details: Vec<String>) {
        for detail in details {
            self.invalid(path, value, detail);
        }
    }

    /// The field must be given.
    pub fn required(&mut self, path: &Path<'_>, detail: impl Into<String>) {
        self.push(ErrorType::Required, path, None, detail);
    }

    /// The value was given before.
    pub fn duplicate(&mut self, path: &Path<'_>, value: impl Into<Value>) {
        self.push(ErrorType::Duplicate, path, Some(value.into()), "");
    }

    /// The field may not be given, or not changed.
    pub fn forbidden(&mut self, path: &Path<'_>, detail: impl Into<String>) {
        self.push(ErrorType::Forbidden, path, None, detail);
    }

    /// The value refers to something that is not there.
    pub fn not_found(&mut self, path: &Path<'_>, value: impl Into<Value>) {
        self.push(ErrorType::NotFound, path, Some(value.into()), "");
    }

    /// The value is none of `supported`, which must be sorted as it is to be shown.
    pub fn not_supported(&mut self, path: &Path<'_>, value: impl Into<Value>, supported: &[&str]) {
        let list: Vec<String> = supported.iter().map(|value| quoted(value)).collect();
        self.push(ErrorType::NotSupported, path, Some(value.into()), format!("supported values: {}", list.join(", ")));
    }

    /// The value has more than `max` bytes.
    pub fn too_long(&mut self, path: &Path<'_>, max: usize) {
        self.push(ErrorType::TooLong, path, None, format!("may not be more than {max} bytes"));
    }

    /// The list has more than `max` items.
    pub fn too_many(&mut self, path: &Path<'_>, actual: usize, max: usize) {
        let items = if max == 1 { "item" } else { "items" };
        self.push(ErrorType::TooMany, path, Some(Value::from(actual)), format!("must have at most {max} {items}"));
    }
}

impl Extend<FieldError> for Errors {
    fn extend<T: IntoIterator<Item = FieldError>>(&mut self, errors: T) {
        self.0.extend(errors);
    }
}

impl IntoIterator for Errors {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The list as one message: bare for one problem, in brackets for several, repeated messages once.
impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut messages: Vec<String> = Vec::with_capacity(self.0.len());
        for message in self.0.iter().map(ToString::to_string) {
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        match messages.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_print_as_in_kubernetes() {
        let spec = Path::Root.field("spec");
        let containers = spec.field("containers");
        assert_eq!(containers.index(2).field("name").to_string(), "spec.containers[2].name");
        assert_eq!(Path::Root.field("data").key("a.b").to_string(), "data[a.b]");
    }

    #[test]
    fn messages_print_as_in_kubernetes() {
        let mut errors = Errors::new();
        let root = Path::Root;
        errors.invalid(&root.field("a"), "x\"y\n", "must be z");
        assert_eq!(errors.to_string(), r#"a: Invalid value: "x\"y\n": must be z"#);
        errors.required(&root.field("b"), "");
        errors.required(&root.field("b"), "");
        errors.not_supported(&root.field("c"), "Foo", &["Always", "Never"]);
        errors.too_many(&root.field("d"), 3, 1);
        errors.invalid(&root.field("e"), 7_i64, "must be less");
        assert_eq!(
            errors.to_string(),
            r#"[a: Invalid value: "x\"y\n": must be z, b: Required value, c: Unsupported value: "Foo": supported values: "Always", "Never", d: Too many: 3: must have at most 1 item, e: Invalid value: 7: must be less]"#
        );
    }
}
