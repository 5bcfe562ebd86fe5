//! The part of JSONPath that definitions of custom resources use to point at a value: fields, elements, and elements
//! that have a field of a given value. `.status.conditions[?(@.type=="Ready")].status` is about the longest there is.

use std::borrow::Cow;

use crate::node::Node;
use crate::object::Object;

/// A path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(Box<str>),
    /// An element; negative numbers count from the end.
    Element(i64),
    /// Every element, or every value of a map.
    All,
    /// The elements whose field at a path is (true) or is not (false) a value.
    Where(Vec<Step>, bool, Node),
    /// The elements that have something at a path.
    Having(Vec<Step>),
}

impl JsonPath {
    /// Reads a path, which begins with a dot. `Err` says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('.') {
            return Err("must begin with a dot".to_owned());
        }
        let mut reader = Reader { rest: text };
        let steps = reader.steps("")?;
        match steps.is_empty() || !reader.rest.is_empty() {
            true => Err(format!("cannot read {:?}", reader.rest)),
            false => Ok(Self { steps }),
        }
    }

    /// The names of the fields, if there is nothing but fields in the path.
    pub fn fields(&self) -> Option<Vec<&str>> {
        fn field(step: &Step) -> Option<&str> {
            match step {
                Step::Field(name) => Some(name),
                _ => None,
            }
        }
        self.steps.iter().map(field).collect()
    }

    /// The first value that the path leads to.
    pub fn first<'o>(&self, object: &'o Object) -> Option<Cow<'o, Node>> {
        let (first, rest) = self.steps.split_first()?;
        let Step::Field(name) = first else { return None };
        let owned = |text: &str| rest.is_empty().then(|| Cow::Owned(Node::Str(text.into())));
        match &**name {
            "apiVersion" => owned(&object.api_version),
            "kind" => owned(&object.kind),
            name => walk(object.body.member(name)?, rest).map(Cow::Borrowed),
        }
    }
}

/// The first value at the end of `steps`.
fn walk<'n>(node: &'n Node, steps: &[Step]) -> Option<&'n Node> {
    let Some((step, rest)) = steps.split_first() else { return Some(node) };
    match step {
        Step::Field(name) => walk(node.get(name)?, rest),
        Step::Element(index) => {
            let items = node.items();
            let from_end = usize::try_from(index.unsigned_abs()).ok()?;
            let at = if *index < 0 { items.len().checked_sub(from_end)? } else { from_end };
            walk(items.get(at)?, rest)
        }
        Step::All => match node {
            Node::Map(map) => map.iter().find_map(|(_, value)| walk(value, rest)),
            other => other.items().iter().find_map(|item| walk(item, rest)),
        },
        Step::Where(path, equal, wanted) => node
            .items()
            .iter()
            .filter(|item| walk(item, path).is_some_and(|found| (found == wanted) == *equal))
            .find_map(|item| walk(item, rest)),
        Step::Having(path) => {
            node.items().iter().filter(|item| walk(item, path).is_some()).find_map(|item| walk(item, rest))
        }
    }
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    /// Reads steps up to the end, or up to one of the characters `stop`.
    fn steps(&mut self, stop: &str) -> Result<Vec<Step>, String> {
        let mut steps = vec![];
        while let Some(c) = self.rest.chars().next() {
            match c {
                c if stop.contains(c) => break,
                '.' => {
                    self.rest = &self.rest[1..];
                    if self.rest.starts_with('[') || self.rest.is_empty() {
                        continue;
                    }
                    if let Some(rest) = self.rest.strip_prefix('*') {
                        self.rest = rest;
                        steps.push(Step::All);
                    } else {
                        steps.push(Step::Field(self.name(stop)?));
                    }
                }
                '[' => {
                    self.rest = &self.rest[1..];
                    steps.push(self.bracket()?);
                }
                _ => return Err(format!("unexpected {c:?}")),
            }
        }
        Ok(steps)
    }

    /// A field's name; a backslash takes the character behind it as it is.
    fn name(&mut self, stop: &str) -> Result<Box<str>, String> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' => {
                    end = at;
                    break;
                }
                c if stop.contains(c) || c.is_whitespace() => {
                    end = at;
                    break;
                }
                c => name.push(c),
            }
        }
        self.rest = &self.rest[end..];
        if name.is_empty() { Err("a field has no name".to_owned()) } else { Ok(name.into()) }
    }

    fn bracket(&mut self) -> Result<Step, String> {
        if let Some(rest) = self.rest.strip_prefix("?(@") {
            self.rest = rest;
            let step = self.filter()?;
            self.expect(")]")?;
            return Ok(step);
        }
        let (inner, rest) = self.rest.split_once(']').ok_or("a bracket is not closed")?;
        self.rest = rest;
        if inner == "*" {
            return Ok(Step::All);
        }
        if let Some(name) = unquoted(inner) {
            return Ok(Step::Field(name.into()));
        }
        inner.parse().map(Step::Element).map_err(|_| format!("cannot read [{inner}]"))
    }

    fn filter(&mut self) -> Result<Step, String> {
        let path = self.steps("=!) ")?;
        self.rest = self.rest.trim_start();
        let equal = if self.rest.starts_with("==") {
            true
        } else if self.rest.starts_with("!=") {
            false
        } else {
            return Ok(Step::Having(path));
        };
        self.rest = self.rest[2..].trim_start();
        let value = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let (text, rest) = self.rest[1..].split_once(quote).ok_or("a text is not closed")?;
                self.rest = rest;
                Node::Str(text.into())
            }
            _ => {
                let end = self.rest.find([')', ' ']).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                match word {
                    "true" => Node::Bool(true),
                    "false" => Node::Bool(false),
                    word => word.parse().map(Node::Int).map_err(|_| format!("cannot read {word:?}"))?,
                }
            }
        };
        self.rest = self.rest.trim_start();
        Ok(Step::Where(path, equal, value))
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(text).ok_or_else(|| format!("expected {text:?}"))?;
        Ok(())
    }
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Options, decode};
    use crate::schema::types;

    #[test]
    fn paths_lead_to_the_first_value() {
        let text = br#"{"kind":"Pod","metadata":{"name":"a","annotations":{"a.b/c":"x"}},"spec":{"containers":[
            {"name":"c","image":"i"},{"name":"d","image":"j"}]},"status":{"conditions":[
            {"type":"Ready","status":"True"},{"type":"Other","status":"False"}]}}"#;
        let pod = decode(&types::CORE_V1_POD, text, Options::LENIENT).unwrap().object;
        let table = [
            (".metadata.name", Some("a")),
            (".kind", Some("Pod")),
            (".metadata.annotations.a\\.b/c", Some("x")),
            (".metadata.annotations['a.b/c']", Some("x")),
            (".spec.containers[1].image", Some("j")),
            (".spec.containers[-1].image", Some("j")),
            (".spec.containers[*].name", Some("c")),
            (".status.conditions[?(@.type==\"Other\")].status", Some("False")),
            (".status.conditions[?(@.type != 'Ready')].status", Some("False")),
            (".status.conditions[?(@.reason)].status", None),
            (".spec.nodeName", None),
            (".spec.containers[7].name", None),
        ];
        for (path, want) in table {
            let found = JsonPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let found = found.first(&pod).map(|node| node.as_str().unwrap_or("?").to_owned());
            assert_eq!(found.as_deref(), want, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["", "spec", ".", ".spec[", ".spec[x]", ".a[?(@.b==)]", ".a[?(@.b==\"c\"]", ".a b"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
        assert_eq!(JsonPath::parse(".spec.replicas").unwrap().fields(), Some(vec!["spec", "replicas"]));
        assert_eq!(JsonPath::parse(".spec[0]").unwrap().fields(), None);
    }
}
