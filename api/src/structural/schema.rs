//! The shape of a value, as far as it matters at run time. Descriptions stay with the definition.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;

use crate::node::Node;

/// What a value and everything below it may be.
#[derive(Debug, Default)]
pub struct Structural {
    pub(crate) ty: JsonType,
    pub(crate) nullable: bool,
    pub(crate) default: Option<Node>,
    /// Whether this schema or one below has a default.
    pub(crate) defaults_below: bool,
    pub(crate) properties: BTreeMap<Box<str>, Self>,
    pub(crate) additional: Additional,
    pub(crate) items: Option<Box<Self>>,
    pub(crate) preserve: bool,
    pub(crate) embedded: bool,
    pub(crate) int_or_string: bool,
    pub(crate) list_type: ListType,
    pub(crate) list_map_keys: Box<[Box<str>]>,
    /// Whether ownership sees a map as one value.
    pub(crate) atomic: bool,
    pub(crate) rules: Option<Box<Rules>>,
}

/// The types of JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum JsonType {
    /// Not said.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    /// A word that names no type; nothing is of it.
    Unknown,
}

/// What an object may have beside its properties.
#[derive(Debug, Default)]
pub(crate) enum Additional {
    /// Nothing.
    #[default]
    Nothing,
    /// Whatever there is.
    Anything,
    /// Values of this shape.
    Of(Box<Structural>),
}

/// How field ownership sees a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// One value.
    #[default]
    Atomic,
    /// Distinct scalars.
    Set,
    /// Objects told apart by their keys.
    Map,
}

/// What is demanded of a value besides its type.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) variants: Vec<Node>,
    pub(crate) format: Box<str>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) minimum: Option<(f64, bool)>,
    pub(crate) maximum: Option<(f64, bool)>,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) length: (Option<usize>, Option<usize>),
    pub(crate) items: (Option<usize>, Option<usize>),
    pub(crate) properties: (Option<usize>, Option<usize>),
    pub(crate) required: Vec<Box<str>>,
    pub(crate) all_of: Vec<Structural>,
    pub(crate) any_of: Vec<Structural>,
    pub(crate) one_of: Vec<Structural>,
    pub(crate) not: Option<Structural>,
}

/// A regular expression, compiled when first needed: most are never met by a value.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    /// Whether the text has a match; one that cannot be compiled is matched by everything.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.text).ok());
        compiled.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

impl Rules {
    /// Whether there is a rule for a whole object besides which members it must have.
    pub(crate) fn are_more_than_required(&self) -> bool {
        self.properties != (None, None)
            || self.not.is_some()
            || [&self.all_of, &self.any_of, &self.one_of].iter().any(|schemas| !schemas.is_empty())
    }
}

impl Structural {
    /// The shape of a property; `None` if the schema says nothing of it.
    pub fn property(&self, name: &str) -> Option<&Self> {
        self.properties.get(name)
    }

    /// The shape of a member of an object: a property, or what additional ones must be.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        match (self.properties.get(name), &self.additional) {
            (Some(property), _) => Some(property),
            (None, Additional::Of(schema)) => Some(schema),
            (None, _) => None,
        }
    }

    /// The shape of the elements of a list.
    pub(crate) fn element(&self) -> Option<&Self> {
        self.items.as_deref()
    }

    /// The names of the properties.
    pub fn property_names(&self) -> impl Iterator<Item = &str> {
        self.properties.keys().map(|name| &**name)
    }

    /// Whether unknown members are kept.
    pub fn preserves_unknown_fields(&self) -> bool {
        self.preserve
    }

    /// Whether a field selector may name a field of this shape.
    pub(crate) fn is_selectable(&self) -> bool {
        matches!(self.ty, JsonType::String | JsonType::Boolean | JsonType::Integer)
    }

    /// The shape at a simple path such as `spec.color`.
    pub(crate) fn at<'s>(&'s self, path: &[&str]) -> Option<&'s Self> {
        path.iter().try_fold(self, |schema, name| schema.property(name))
    }
}
