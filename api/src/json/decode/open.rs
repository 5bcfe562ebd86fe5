//! Values whose shape is known only at run time: plain JSON, cut down to what their schema has.

use super::{DEPTH_MAX, Decoder, PROBLEMS_MAX, Problem, Step};
use crate::json::Error;
use crate::node::{Map, Node};
use crate::structural::{Property, prune};

impl Decoder<'_> {
    /// Reads a property of a custom resource and drops what its schema does not name.
    pub(super) fn open(&mut self, property: &Property) -> Result<Node, Error> {
        let mut value = self.any()?;
        let path = self.path_text();
        let schema = property.schema();
        prune(schema.property(property.name()), &mut value, &path, &mut |path| {
            if self.options.check && self.problems.len() < PROBLEMS_MAX {
                self.problems.push(Problem::Unknown(path.to_owned()));
            }
        });
        Ok(value)
    }

    /// Reads a member that the type has no field for, but a place: its field `index`.
    pub(super) fn rest(&mut self, index: u16, key: &str, fields: &mut Vec<(u16, Node)>) -> Result<(), Error> {
        self.path.push(Step::Key(key.into()));
        let value = self.any()?;
        self.path.pop();
        let position = fields.iter().position(|(present, _)| *present == index).unwrap_or_else(|| {
            fields.push((index, Node::Map(Map::default())));
            fields.len() - 1
        });
        let repeated = fields[position].1.as_map_mut().is_some_and(|map| map.insert(key, value).is_some());
        if repeated {
            self.problem(key, Problem::Duplicate);
        }
        Ok(())
    }

    fn any(&mut self) -> Result<Node, Error> {
        if self.path.len() > DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        match self.scan.peek()? {
            b'{' => self.any_map(),
            b'[' => {
                let mut items = vec![];
                let mut more = self.scan.open(b']')?;
                while more {
                    self.path.push(Step::Index(items.len()));
                    items.push(self.any()?);
                    self.path.pop();
                    more = self.scan.more(b']')?;
                }
                Ok(Node::List(items))
            }
            b'"' => Ok(Node::Str(self.scan.string()?.into())),
            b't' => self.scan.literal("true").map(|()| Node::Bool(true)),
            b'f' => self.scan.literal("false").map(|()| Node::Bool(false)),
            b'n' => self.scan.literal("null").map(|()| Node::Null),
            b'-' | b'0'..=b'9' => {
                let text = self.scan.number()?;
                if let Ok(value) = text.parse() {
                    return Ok(Node::Int(value));
                }
                let value = text.parse().ok().filter(|value: &f64| value.is_finite()).map(Node::Float);
                value.ok_or_else(|| self.type_error(format!("number {text}"), "float64".into()))
            }
            _ => Err(self.scan.unexpected("looking for beginning of value")),
        }
    }

    fn any_map(&mut self) -> Result<Node, Error> {
        let mut entries: Vec<(Box<str>, Node)> = vec![];
        let mut sorted = true;
        let mut more = self.scan.open(b'}')?;
        while more {
            let key: Box<str> = self.scan.key()?.into();
            self.path.push(Step::Key(key.clone()));
            let value = self.any()?;
            self.path.pop();
            sorted &= entries.last().is_none_or(|(last, _)| *last < key);
            entries.push((key, value));
            more = self.scan.more(b'}')?;
        }
        if !sorted {
            self.report_repeated(&entries);
        }
        Ok(Node::Map(Map::from_entries(entries)))
    }
}
