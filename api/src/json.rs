//! Kubernetes JSON to nodes and back.
//!
//! Reading checks every name against the schema and reports unknown and duplicate fields with their full paths, as the
//! API's field validation words them; type errors read as Go's. Keys are case-sensitive, null is absence, and zero
//! values of fields that are no pointers become absence. Writing reproduces upstream's bytes: field order, omission
//! rules and escapes, so that equal objects have equal text.

mod decode;
mod encode;
mod scalar;
mod scan;

pub(crate) use decode::same_as_absent;
pub use decode::{Decoded, Options, Problem, TypeMeta, decode, decode_struct, peek_type_meta};
pub(crate) use encode::{absent_is_omitted, omitted, push_int};
pub use encode::{encode, encode_struct, pretty, write_node, write_object, write_string, write_struct};
pub(crate) use scalar::{check_quantity, format_duration, format_time, parse_duration, parse_time};
pub(crate) use scan::{Scanner, compact};

/// Why a JSON document could not be read, worded as Go words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no JSON.
    #[error("invalid character {found} {context}")]
    Syntax {
        /// The character, quoted.
        found: String,
        /// Where it stood.
        context: String,
    },
    /// The text ends too early.
    #[error("unexpected end of JSON input")]
    Truncated,
    /// Lists and structs are nested too deeply.
    #[error("exceeded max depth")]
    TooDeep,
    /// A value of the wrong type for a field.
    #[error("json: cannot unmarshal {found} into Go struct field {place} of type {expected}")]
    Field {
        /// What stood there.
        found: String,
        /// Innermost struct and path.
        place: String,
        /// The Go type of the field.
        expected: String,
    },
    /// A value of the wrong type outside any field.
    #[error("json: cannot unmarshal {found} into Go value of type {expected}")]
    Value {
        /// What stood there.
        found: String,
        /// The Go type.
        expected: String,
    },
    /// Text that its field cannot hold: a malformed time, quantity, duration or base64.
    #[error("{0}")]
    Text(String),
}

#[cfg(test)]
mod tests;
