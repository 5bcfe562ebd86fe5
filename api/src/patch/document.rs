//! Patch bodies as JSON trees, with repeated keys reported.

use serde_json::{Map, Value};

use super::Error;
use crate::json::{self, Problem, Scanner};

/// Patches nest at most this deep; the deepest built-in type needs less than 30.
const DEPTH_MAX: usize = 200;

pub(super) fn parse(bytes: &[u8], problems: &mut Vec<Problem>) -> Result<Value, Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader { scan: Scanner::new(&text), path: vec![], problems };
    let value = reader.value().map_err(Error::Syntax)?;
    reader.scan.end().map_err(Error::Syntax)?;
    Ok(value)
}

struct Reader<'a, 'p> {
    scan: Scanner<'a>,
    path: Vec<String>,
    problems: &'p mut Vec<Problem>,
}

impl Reader<'_, '_> {
    fn value(&mut self) -> Result<Value, json::Error> {
        if self.path.len() > DEPTH_MAX {
            return Err(json::Error::TooDeep);
        }
        match self.scan.peek()? {
            b'{' => self.map(),
            b'[' => self.list(),
            b'"' => Ok(Value::String(self.scan.string()?.into_owned())),
            _ => {
                let text = self.scan.skip()?;
                serde_json::from_str(text).map_err(|error| json::Error::Text(error.to_string()))
            }
        }
    }

    fn map(&mut self) -> Result<Value, json::Error> {
        let mut map = Map::new();
        let mut more = self.scan.open(b'}')?;
        while more {
            let key = self.scan.key()?.into_owned();
            let dot = if self.path.is_empty() { "" } else { "." };
            self.path.push(format!("{dot}{key}"));
            let value = self.value()?;
            if map.insert(key, value).is_some() {
                self.problems.push(Problem::Duplicate(self.path.concat()));
            }
            self.path.pop();
            more = self.scan.more(b'}')?;
        }
        Ok(Value::Object(map))
    }

    fn list(&mut self) -> Result<Value, json::Error> {
        let mut items = vec![];
        let mut more = self.scan.open(b']')?;
        while more {
            self.path.push(format!("[{}]", items.len()));
            items.push(self.value()?);
            self.path.pop();
            more = self.scan.more(b']')?;
        }
        Ok(Value::Array(items))
    }
}
