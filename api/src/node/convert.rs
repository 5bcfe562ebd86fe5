//! Plain values to nodes.

use super::{Map, Node, Struct};

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Node {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Node {
    fn from(value: i32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<f64> for Node {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

impl From<Box<str>> for Node {
    fn from(text: Box<str>) -> Self {
        Self::Str(text)
    }
}

impl From<Struct> for Node {
    fn from(value: Struct) -> Self {
        Self::Struct(value)
    }
}

impl From<Map> for Node {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Node {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}
