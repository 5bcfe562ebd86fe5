//! FieldsV1: the JSON form of a field set.

use super::{FieldSet, Step};
use crate::json::{self, Scanner};
use crate::managed_fields::path_element::PathElement;

/// Paths nest at most this deep; the deepest built-in type needs less than 30.
const DEPTH_MAX: usize = 200;

/// Why FieldsV1 could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no JSON.
    #[error(transparent)]
    Json(#[from] json::Error),
    /// A key is not one of `.`, `f:`, `k:`, `v:` and `i:`.
    #[error("invalid path element {0:?} in fieldsV1")]
    Element(String),
}

impl FieldSet {
    /// Reads FieldsV1.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut scan = Scanner::new(text);
        let (_, set) = read(&mut scan, 0)?;
        scan.end()?;
        Ok(set)
    }

    /// Writes FieldsV1.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(256);
        self.write(false, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn write(&self, member: bool, out: &mut Vec<u8>) {
        out.push(b'{');
        // A member without anything below it needs no dot.
        if member && !self.is_empty() {
            out.extend_from_slice(b"\".\":{}");
        }
        for step in &self.steps {
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            step.element.write(out);
            out.push(b':');
            step.below.write(step.member, out);
        }
        out.push(b'}');
    }
}

/// Reads an object: whether it has the dot, and what else it has.
fn read(scan: &mut Scanner<'_>, depth: usize) -> Result<(bool, FieldSet), Error> {
    if depth > DEPTH_MAX {
        return Err(json::Error::TooDeep.into());
    }
    if scan.peek()? != b'{' {
        return Err(scan.unexpected("looking for beginning of object").into());
    }
    let (mut dot, mut steps, mut sorted) = (false, Vec::<Step>::new(), true);
    let mut more = scan.open(b'}')?;
    while more {
        let key = scan.key()?;
        if key == "." {
            dot = true;
            scan.pass()?;
        } else {
            let element = PathElement::parse(&key).ok_or_else(|| Error::Element(key.into_owned()))?;
            let (member, below) = read(scan, depth + 1)?;
            sorted &= steps.last().is_none_or(|last| last.element < element);
            let member = member || below.is_empty();
            steps.push(Step { element, member, below });
        }
        more = scan.more(b'}')?;
    }
    if !sorted {
        steps.sort_by(|a, b| a.element.cmp(&b.element));
        steps.dedup_by(|a, b| a.element == b.element);
    }
    Ok((dot, FieldSet { steps }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_survive_the_round_trip() {
        let table = [
            "{}",
            r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:replicas":{}}}"#,
            r#"{"f:l":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}},"v:\"x\"":{},"v:5":{},"i:3":{}}}"#,
        ];
        for text in table {
            let set = FieldSet::parse(text).unwrap();
            assert_eq!(FieldSet::parse(&set.to_json()).unwrap(), set, "{text}");
        }
        assert_eq!(FieldSet::parse(table[1]).unwrap().to_json(), table[1]);
    }

    #[test]
    fn broken_text_is_refused() {
        for bad in ["", "[]", r#"{"x:a":{}}"#, r#"{"k:[]":{}}"#, r#"{"f:a":1}"#, r#"{"é":{}}"#] {
            assert!(FieldSet::parse(bad).is_err(), "{bad}");
        }
    }
}
