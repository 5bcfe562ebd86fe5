//! Field selectors against the header of a stored object: nothing is decoded to select it.

use super::Kind;
use crate::selector::{FieldSelector, SelectorError};
use crate::stored::Header;

/// A field that field selectors can name, besides `metadata.name` and `metadata.namespace`.
#[derive(Clone, Copy, Debug)]
pub struct SelectableField {
    /// How selectors call it.
    pub label: &'static str,
    /// Where its value is.
    pub path: &'static str,
    /// The label of the field that counts where this one is empty; or empty.
    pub fallback: &'static str,
    /// The value where nothing is.
    pub absent: &'static str,
}

impl SelectableField {
    /// A text field that selectors call by its path.
    pub const fn text(path: &'static str) -> Self {
        Self { label: path, path, fallback: "", absent: "" }
    }

    /// A truth value that selectors call by its path.
    pub const fn bool(path: &'static str) -> Self {
        Self { absent: "false", ..Self::text(path) }
    }
}

/// The paths of fields, in their order.
pub const fn field_paths<const N: usize>(fields: &[SelectableField; N]) -> [&'static str; N] {
    let mut paths = [""; N];
    let mut index = 0;
    while index < N {
        paths[index] = fields[index].path;
        index += 1;
    }
    paths
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Name,
    Namespace,
    Field { index: usize, fallback: Option<usize>, absent: &'static str },
}

impl Source {
    fn value(self, header: &Header) -> &str {
        let field = |index: usize| header.fields.get(index).map_or("", |value| &**value);
        match self {
            Self::Name => &header.name,
            Self::Namespace => &header.namespace,
            Self::Field { index, fallback, absent } => match (field(index), fallback.map_or("", field)) {
                ("", "") => absent,
                ("", fallback) => fallback,
                (value, _) => value,
            },
        }
    }
}

/// A field selector with its fields looked up once, so that matching compares texts only.
#[derive(Clone, Debug, Default)]
pub struct FieldFilter {
    terms: Vec<(Source, bool, Box<str>)>,
}

impl FieldFilter {
    /// Looks the fields up; fails on one that the kind does not offer.
    pub fn new(kind: &Kind, selector: &FieldSelector) -> Result<Self, SelectorError> {
        selector.check(|label| kind.is_selectable(label))?;
        let find = |label: &str| kind.selectable.iter().position(|field| field.label == label);
        let source = |label: &str| match label {
            "metadata.namespace" => Source::Namespace,
            label => find(label).map_or(Source::Name, |index| {
                let field = &kind.selectable[index];
                Source::Field { index, fallback: find(field.fallback), absent: field.absent }
            }),
        };
        let term = |term: &crate::selector::FieldTerm| (source(&term.field), term.equal, term.value.as_str().into());
        Ok(Self { terms: selector.terms().iter().map(term).collect() })
    }

    /// Whether an object with this header is selected. The header must have been made with the kind's `field_paths`.
    pub fn matches(&self, header: &Header) -> bool {
        self.terms.iter().all(|(source, equal, value)| (source.value(header) == &**value) == *equal)
    }
}
