//! JSON text to nodes.

use std::borrow::Cow;
use std::fmt;

use super::scan::{Scanner, compact};
use super::{Error, scalar};
use crate::node::{Map, Node, Struct};
use crate::object::Object;
use crate::schema::{FieldDef, FieldKind, Type};

mod open;

/// Typed values nest at most this deep; the deepest built-in type needs less than 30.
const DEPTH_MAX: usize = 200;
/// Upstream stops counting strict errors here as well.
const PROBLEMS_MAX: usize = 100;

/// How to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Collect unknown and duplicate fields.
    pub check: bool,
    /// Keep zero values that Go would not tell from absence: server-side apply owns what was written.
    pub keep_zeros: bool,
}

impl Options {
    /// Collect unknown and duplicate fields.
    pub const CHECKED: Self = Self { check: true, keep_zeros: false };
    /// Drop unknown fields without a word.
    pub const LENIENT: Self = Self { check: false, keep_zeros: false };
}

/// A field that the schema does not know, or that was given twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Full path of an unknown field.
    Unknown(String),
    /// Full path of a repeated field.
    Duplicate(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(path) => write!(formatter, "unknown field {path:?}"),
            Self::Duplicate(path) => write!(formatter, "duplicate field {path:?}"),
        }
    }
}

/// The envelope of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeMeta {
    /// As in `apps/v1`; empty if absent.
    pub api_version: Box<str>,
    /// As in `Deployment`; empty if absent.
    pub kind: Box<str>,
}

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object; its envelope is as given, perhaps empty.
    pub object: Object,
    /// Unknown and duplicate fields, in the order of the text.
    pub problems: Vec<Problem>,
}

/// Reads kind and apiVersion alone.
pub fn peek_type_meta(bytes: &[u8]) -> Result<TypeMeta, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut scan = Scanner::new(&text);
    let mut found = TypeMeta::default();
    if scan.peek()? != b'{' {
        let found = value_name(scan.peek()?);
        return Err(Error::Value { found: found.into(), expected: "struct".into() });
    }
    let mut more = scan.open(b'}')?;
    while more {
        let key = scan.key()?;
        let slot = match &*key {
            "kind" => Some(&mut found.kind),
            "apiVersion" => Some(&mut found.api_version),
            _ => None,
        };
        match (slot, scan.peek()?) {
            (Some(slot), b'"') => *slot = scan.string()?.into(),
            (Some(_), byte) if byte != b'n' => {
                let place = format!("TypeMeta.{key}");
                return Err(Error::Field { found: value_name(byte).into(), place, expected: "string".into() });
            }
            _ => scan.pass()?,
        }
        more = scan.more(b'}')?;
    }
    scan.end()?;
    Ok(found)
}

/// Reads an object of a known type.
pub fn decode(ty: Type, bytes: &[u8], options: Options) -> Result<Decoded, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut decoder = Decoder::new(&text, options);
    let mut meta = TypeMeta::default();
    decoder.demand_object(ty)?;
    let body = decoder.fields(ty, Some(&mut meta))?;
    decoder.scan.end()?;
    let object = Object { api_version: meta.api_version, kind: meta.kind, body };
    Ok(Decoded { object, problems: decoder.problems })
}

/// Reads a struct that is no whole object.
pub fn decode_struct(ty: Type, bytes: &[u8], options: Options) -> Result<(Struct, Vec<Problem>), Error> {
    decode(ty, bytes, options).map(|decoded| (decoded.object.body, decoded.problems))
}

enum Step {
    Field(Type, &'static str),
    Index(usize),
    Key(Box<str>),
}

struct Decoder<'a> {
    scan: Scanner<'a>,
    options: Options,
    path: Vec<Step>,
    problems: Vec<Problem>,
}

fn value_name(first: u8) -> &'static str {
    match first {
        b'"' => "string",
        b't' | b'f' => "bool",
        b'{' => "object",
        b'[' => "array",
        b'n' => "null",
        _ => "number",
    }
}

impl<'a> Decoder<'a> {
    fn new(text: &'a str, options: Options) -> Self {
        Self { scan: Scanner::new(text), options, path: vec![], problems: vec![] }
    }

    fn demand_object(&mut self, ty: Type) -> Result<(), Error> {
        match self.scan.peek()? {
            b'{' => Ok(()),
            byte if matches!(byte, b'"' | b't' | b'f' | b'[' | b'n' | b'-' | b'0'..=b'9') => {
                Err(Error::Value { found: value_name(byte).into(), expected: ty.go_name() })
            }
            _ => Err(self.scan.unexpected("looking for beginning of value")),
        }
    }

    fn fields(&mut self, ty: Type, mut meta: Option<&mut TypeMeta>) -> Result<Struct, Error> {
        let mut fields: Vec<(u16, Node)> = Vec::with_capacity(ty.fields.len().min(8));
        let (mut hint, mut seen, mut ordered) = (0, 0_u128, true);
        let mut more = self.scan.open(b'}')?;
        while more {
            let key = self.scan.key()?;
            match ty.field_near(&key, hint) {
                Some((index, field)) => {
                    hint = index + 1;
                    let bit = 1_u128 << index.min(127);
                    let repeated = seen & bit != 0;
                    seen |= bit;
                    if repeated {
                        self.problem(field.name, Problem::Duplicate);
                    }
                    self.path.push(Step::Field(ty, field.name));
                    let value = self.field(field)?;
                    self.path.pop();
                    let Some(value) = value else {
                        more = self.scan.more(b'}')?;
                        continue;
                    };
                    if repeated {
                        fields.retain(|(present, _)| *present != index);
                    }
                    ordered &= fields.last().is_none_or(|(last, _)| *last < index);
                    fields.push((index, value));
                }
                None if ty.object && matches!(&*key, "kind" | "apiVersion") => {
                    self.envelope(&key, meta.as_deref_mut())?
                }
                None => match ty.rest() {
                    Some(index) => self.rest(index, &key, &mut fields)?,
                    None => {
                        self.problem(&key, Problem::Unknown);
                        self.scan.skip()?;
                    }
                },
            }
            more = self.scan.more(b'}')?;
        }
        if !ordered {
            fields.sort_unstable_by_key(|(index, _)| *index);
        }
        Ok(Struct::from_fields(ty, fields))
    }

    fn envelope(&mut self, key: &str, meta: Option<&mut TypeMeta>) -> Result<(), Error> {
        match self.scan.peek()? {
            b'n' => self.scan.literal("null"),
            b'"' => {
                let text = self.scan.string()?;
                if let Some(meta) = meta {
                    let slot = if key == "kind" { &mut meta.kind } else { &mut meta.api_version };
                    *slot = text.into();
                }
                Ok(())
            }
            byte => {
                let place = format!("TypeMeta.{key}");
                Err(Error::Field { found: value_name(byte).into(), place, expected: "string".into() })
            }
        }
    }

    /// The value of a field; `None` if it means the same as absence.
    fn field(&mut self, field: &'static FieldDef) -> Result<Option<Node>, Error> {
        if self.scan.peek()? == b'n' && !matches!(field.kind, FieldKind::Open(_)) {
            self.scan.literal("null")?;
            return Ok(None);
        }
        let value = self.value(&field.kind)?;
        let absent = !self.options.keep_zeros && same_as_absent(field, &value);
        Ok(if absent { None } else { Some(value) })
    }

    fn value(&mut self, kind: &'static FieldKind) -> Result<Node, Error> {
        let first = self.scan.peek()?;
        match (kind, first) {
            (FieldKind::Raw | FieldKind::FieldsV1, b'n') => self.scan.literal("null").map(|()| Node::Null),
            (FieldKind::Raw | FieldKind::FieldsV1, _) => Ok(Node::Raw(compact(self.scan.skip()?))),
            (FieldKind::Open(property), _) => self.open(property),
            (FieldKind::List(_), b'n') => self.scan.literal("null").map(|()| Node::Null),
            (_, b'n') => self.scan.literal("null").map(|()| Node::zero(kind)),
            (FieldKind::OrBool(_), b't') => self.scan.literal("true").map(|()| Node::Bool(true)),
            (FieldKind::OrBool(_), b'f') => self.scan.literal("false").map(|()| Node::Bool(false)),
            (FieldKind::OrList(ty), b'[') => self.structs(ty),
            (FieldKind::Struct(ty) | FieldKind::OrBool(ty) | FieldKind::OrList(ty), b'{') => {
                if self.path.len() > DEPTH_MAX {
                    return Err(Error::TooDeep);
                }
                self.fields(ty, None).map(Node::Struct)
            }
            (FieldKind::List(element), b'[') => self.list(element),
            (FieldKind::Map(value), b'{') => self.map(value),
            (FieldKind::Bool, b't') => self.scan.literal("true").map(|()| Node::Bool(true)),
            (FieldKind::Bool, b'f') => self.scan.literal("false").map(|()| Node::Bool(false)),
            (
                FieldKind::Int32 | FieldKind::Int64 | FieldKind::IntOrString | FieldKind::Float | FieldKind::Quantity,
                b'-' | b'0'..=b'9',
            ) => self.number(kind),
            (_, b'"') => self.text(kind),
            _ => Err(self.mismatch(kind, first)),
        }
    }

    fn number(&mut self, kind: &FieldKind) -> Result<Node, Error> {
        let text = self.scan.number()?;
        let value = match kind {
            FieldKind::Quantity => return scalar::quantity(Cow::Borrowed(text)).map(Node::Str),
            FieldKind::Float => text.parse().ok().filter(|value: &f64| value.is_finite()).map(Node::Float),
            FieldKind::Int64 => text.parse().ok().map(Node::Int),
            _ => text.parse::<i32>().ok().map(|value| Node::Int(value.into())),
        };
        let expected = if matches!(kind, FieldKind::IntOrString) { "int32".into() } else { kind.go_name() };
        value.ok_or_else(|| self.type_error(format!("number {text}"), expected))
    }

    fn text(&mut self, kind: &FieldKind) -> Result<Node, Error> {
        let text = match kind {
            FieldKind::String | FieldKind::IntOrString => self.scan.string()?.into(),
            FieldKind::Bytes => scalar::bytes(self.scan.string()?)?,
            FieldKind::Time => scalar::time(self.scan.string()?, false)?,
            FieldKind::MicroTime => scalar::time(self.scan.string()?, true)?,
            FieldKind::Duration => scalar::duration(&self.scan.string()?)?,
            FieldKind::Quantity => scalar::quantity(self.scan.string()?)?,
            _ => return Err(self.mismatch(kind, b'"')),
        };
        Ok(Node::Str(text))
    }

    fn structs(&mut self, ty: Type) -> Result<Node, Error> {
        let mut items = vec![];
        let mut more = self.scan.open(b']')?;
        while more {
            self.path.push(Step::Index(items.len()));
            let first = self.scan.peek()?;
            if first != b'{' {
                return Err(self.mismatch(&FieldKind::Struct(ty), first));
            }
            items.push(Node::Struct(self.fields(ty, None)?));
            self.path.pop();
            more = self.scan.more(b']')?;
        }
        Ok(Node::List(items))
    }

    fn list(&mut self, element: &'static FieldKind) -> Result<Node, Error> {
        let mut items = vec![];
        let mut more = self.scan.open(b']')?;
        while more {
            self.path.push(Step::Index(items.len()));
            items.push(self.value(element)?);
            self.path.pop();
            more = self.scan.more(b']')?;
        }
        Ok(Node::List(items))
    }

    fn map(&mut self, kind: &'static FieldKind) -> Result<Node, Error> {
        let nested = matches!(kind, FieldKind::Struct(_) | FieldKind::List(_) | FieldKind::Map(_));
        let mut entries: Vec<(Box<str>, Node)> = vec![];
        let mut sorted = true;
        let mut more = self.scan.open(b'}')?;
        while more {
            let key: Box<str> = self.scan.key()?.into();
            if nested {
                self.path.push(Step::Key(key.clone()));
            }
            let value = self.value(kind)?;
            if nested {
                self.path.pop();
            }
            sorted &= entries.last().is_none_or(|(last, _)| *last < key);
            entries.push((key, value));
            more = self.scan.more(b'}')?;
        }
        if !sorted {
            self.report_repeated(&entries);
        }
        Ok(Node::Map(Map::from_entries(entries)))
    }

    /// Reports the keys that stand more than once.
    fn report_repeated(&mut self, entries: &[(Box<str>, Node)]) {
        let mut keys: Vec<&str> = entries.iter().map(|(key, _)| &**key).collect();
        keys.sort_unstable();
        for pair in keys.windows(2).filter(|pair| pair[0] == pair[1]) {
            self.problem(pair[0], Problem::Duplicate);
        }
    }

    fn problem(&mut self, name: &str, make: fn(String) -> Problem) {
        if !self.options.check || self.problems.len() >= PROBLEMS_MAX {
            return;
        }
        let mut path = self.path_text();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        let problem = make(path);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn path_text(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            if !matches!(step, Step::Index(_)) && !text.is_empty() {
                text.push('.');
            }
            match step {
                Step::Field(_, name) => text.push_str(name),
                Step::Key(key) => text.push_str(key),
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }

    fn mismatch(&self, kind: &FieldKind, first: u8) -> Error {
        if !matches!(first, b'"' | b't' | b'f' | b'{' | b'[' | b'-' | b'0'..=b'9') {
            return self.scan.unexpected("looking for beginning of value");
        }
        let found = value_name(first);
        match kind {
            FieldKind::IntOrString => Error::Value { found: found.into(), expected: "int32".into() },
            FieldKind::Time | FieldKind::MicroTime | FieldKind::Duration => {
                Error::Value { found: found.into(), expected: "string".into() }
            }
            FieldKind::Quantity => Error::Text(
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".into(),
            ),
            _ => self.type_error(found.into(), kind.go_name()),
        }
    }

    /// Go names the innermost struct, then the fields from the root; indexes and map keys are left out.
    fn type_error(&self, found: String, expected: String) -> Error {
        let mut names = vec![];
        let mut owner = None;
        for step in &self.path {
            if let Step::Field(ty, name) = step {
                owner = Some(ty.name);
                names.push(*name);
            }
        }
        match owner {
            None => Error::Value { found, expected },
            Some(owner) => Error::Field { found, place: format!("{owner}.{}", names.join(".")), expected },
        }
    }
}

/// Whether Go cannot tell the field's value from absence.
pub(crate) fn same_as_absent(field: &FieldDef, value: &Node) -> bool {
    if field.pointer {
        return false;
    }
    match (&field.kind, value) {
        (FieldKind::List(_) | FieldKind::Map(_), value) => field.omit_empty && value.is_zero(),
        (FieldKind::Quantity, Node::Str(text)) => &**text == "0",
        (FieldKind::Duration, Node::Str(text)) => &**text == "0s",
        (_, Node::Struct(value)) => value.is_empty(),
        (_, value) => value.is_zero(),
    }
}
