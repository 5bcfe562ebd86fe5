//! Version 2 as protobuf: the message `openapi.v2.Document` of google/gnostic, which kubectl up to 1.28 insists on.
//!
//! Only what our documents hold is written; the numbers are those of OpenAPIv2.proto.

use serde_json::{Map, Value};

/// A protobuf message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap_or(0));
    }

    fn bytes(&mut self, tag: u64, bytes: &[u8]) -> &mut Self {
        self.number(tag << 3 | 2);
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn message(&mut self, tag: u64, message: &Self) -> &mut Self {
        self.bytes(tag, &message.0)
    }

    fn bool(&mut self, tag: u64, value: Option<&Value>) -> &mut Self {
        if value.and_then(Value::as_bool) == Some(true) {
            self.number(tag << 3);
            self.number(1);
        }
        self
    }

    fn text(&mut self, tag: u64, value: Option<&Value>) -> &mut Self {
        if let Some(text) = value.and_then(Value::as_str) {
            self.bytes(tag, text.as_bytes());
        }
        self
    }

    fn texts(&mut self, tag: u64, value: Option<&Value>) -> &mut Self {
        for text in value.and_then(Value::as_array).into_iter().flatten() {
            self.text(tag, Some(text));
        }
        self
    }

    /// `repeated Named* tag` with name = 1 and value = 2.
    fn named<'a>(
        &mut self,
        tag: u64,
        entries: impl IntoIterator<Item = (&'a String, &'a Value)>,
        encode: impl Fn(&Value) -> Self,
    ) -> &mut Self {
        for (name, value) in entries {
            let mut entry = Self::default();
            entry.bytes(1, name.as_bytes()).message(2, &encode(value));
            self.message(tag, &entry);
        }
        self
    }

    fn extensions(&mut self, tag: u64, fields: &Value) -> &mut Self {
        let extensions = fields.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("x-"));
        self.named(tag, extensions, any)
    }
}

/// JSON is YAML.
fn any(value: &Value) -> Message {
    let mut message = Message::default();
    message.bytes(2, value.to_string().as_bytes());
    message
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// The document as a message.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut info = Message::default();
    info.text(1, document["info"].get("title")).text(2, document["info"].get("version"));
    let mut paths = Message::default();
    paths.named(2, entries(document.get("paths")), path_item);
    let mut definitions = Message::default();
    definitions.named(1, entries(document.get("definitions")), schema);
    let mut message = Message::default();
    message.text(1, document.get("swagger")).message(2, &info).message(8, &paths).message(9, &definitions);
    message.0
}

fn path_item(item: &Value) -> Message {
    let mut message = Message::default();
    for (tag, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(value) = item.get(method) {
            message.message(tag, &operation(value));
        }
    }
    parameters(&mut message, 9, item);
    message
}

fn operation(value: &Value) -> Message {
    let mut message = Message::default();
    message
        .texts(1, value.get("tags"))
        .text(3, value.get("description"))
        .text(5, value.get("operationId"))
        .texts(6, value.get("produces"))
        .texts(7, value.get("consumes"));
    parameters(&mut message, 8, value);
    let mut responses = Message::default();
    responses.named(1, entries(value.get("responses")), response);
    message.message(9, &responses).texts(10, value.get("schemes")).extensions(13, value);
    message
}

fn response(value: &Value) -> Message {
    let mut inner = Message::default();
    inner.text(1, value.get("description"));
    if let Some(shape) = value.get("schema") {
        let mut item = Message::default();
        item.message(1, &schema(shape));
        inner.message(2, &item);
    }
    let mut message = Message::default();
    message.message(1, &inner);
    message
}

fn parameters(message: &mut Message, tag: u64, holder: &Value) {
    for value in holder.get("parameters").and_then(Value::as_array).into_iter().flatten() {
        let mut parameter = Message::default();
        if value["in"] == "body" {
            let mut body = Message::default();
            body.text(2, value.get("name")).text(3, value.get("in")).bool(4, value.get("required"));
            if let Some(shape) = value.get("schema") {
                body.message(5, &schema(shape));
            }
            parameter.message(1, &body);
        } else {
            parameter.message(2, &non_body(value));
        }
        let mut item = Message::default();
        item.message(1, &parameter);
        message.message(tag, &item);
    }
}

fn non_body(value: &Value) -> Message {
    let mut inner = Message::default();
    inner
        .bool(1, value.get("required"))
        .text(2, value.get("in"))
        .text(3, value.get("description"))
        .text(4, value.get("name"));
    let mut message = Message::default();
    if value["in"] == "path" {
        inner.text(5, value.get("type")).bool(19, value.get("uniqueItems"));
        message.message(4, &inner);
    } else {
        inner.text(6, value.get("type")).bool(20, value.get("uniqueItems"));
        message.message(3, &inner);
    }
    message
}

fn schema(value: &Value) -> Message {
    let mut message = Message::default();
    message.text(1, value.get("$ref")).text(2, value.get("format")).text(4, value.get("description"));
    if let Some(default) = value.get("default") {
        message.message(5, &any(default));
    }
    message.texts(19, value.get("required"));
    for value in value.get("enum").and_then(Value::as_array).into_iter().flatten() {
        message.message(20, &any(value));
    }
    if let Some(inner) = value.get("additionalProperties") {
        let mut item = Message::default();
        item.message(1, &schema(inner));
        message.message(21, &item);
    }
    if let Some(kind) = value.get("type") {
        let mut item = Message::default();
        item.text(1, Some(kind));
        message.message(22, &item);
    }
    if let Some(inner) = value.get("items") {
        let mut item = Message::default();
        item.message(1, &schema(inner));
        message.message(23, &item);
    }
    if value.get("properties").is_some() {
        let mut properties = Message::default();
        properties.named(1, entries(value.get("properties")), schema);
        message.message(25, &properties);
    }
    message.extensions(31, value);
    message
}
