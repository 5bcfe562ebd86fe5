//! YAML bodies (`application/yaml`, server-side apply): read into JSON text, then decoded like any JSON; and written from
//! JSON text, for who asks for YAML.
//!
//! Only the form matters here; names, types and repeated keys are checked by the one decoder in [`json`](crate::json).
//! Anchors and aliases are bounded by the parser's budget.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

use crate::json;

/// Why a YAML document could not be read.
#[derive(Debug, thiserror::Error)]
#[error("error converting YAML to JSON: {0}")]
pub struct Error(#[from] Box<serde_saphyr::Error>);

/// The JSON text of a YAML document. JSON itself passes unchanged in meaning.
pub fn to_json(yaml: &str) -> Result<Vec<u8>, Error> {
    let Text(text) = serde_saphyr::from_str_with_options(yaml, options()).map_err(Box::new)?;
    Ok(text)
}

/// The YAML of a JSON text, keys in their order. What is no JSON stays as it is, which is YAML too.
pub fn from_json(json: Vec<u8>) -> Vec<u8> {
    let value: Option<serde_json::Value> = serde_json::from_slice(&json).ok();
    let yaml = value.and_then(|value| serde_saphyr::to_string(&value).ok());
    yaml.map_or(json, String::into_bytes)
}

/// As upstream's reader: repeated keys are passed on for the JSON decoder to report, and 0644 is octal.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
        legacy_octal_numbers: true,
    }
}

/// Collects a document as JSON text, keeping the order of its keys.
struct Text(Vec<u8>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text(b"null".to_vec()))
    }

    fn visit_none<E>(self) -> Result<Text, E> {
        Ok(Text(b"null".to_vec()))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
        Ok(Text(if value { b"true".to_vec() } else { b"false".to_vec() }))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Text, E> {
        Ok(Text(value.to_string().into_bytes()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Text, E> {
        Ok(Text(value.to_string().into_bytes()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Text, E> {
        if !value.is_finite() {
            return Err(E::custom("numbers must be finite"));
        }
        let mut out = vec![];
        json::write_node(&mut out, &crate::schema::FieldKind::Float, &crate::Node::Float(value));
        Ok(Text(out))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        let mut out = vec![];
        json::write_string(&mut out, text);
        Ok(Text(out))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Text, A::Error> {
        let mut out = vec![b'['];
        while let Some(Text(item)) = items.next_element()? {
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(&item);
        }
        out.push(b']');
        Ok(Text(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Text, A::Error> {
        let mut out = vec![b'{'];
        while let Some(Text(key)) = entries.next_key()? {
            if out.len() > 1 {
                out.push(b',');
            }
            // A key such as 1 or true is text in JSON.
            if key.first() == Some(&b'"') {
                out.extend_from_slice(&key);
            } else {
                out.push(b'"');
                out.extend_from_slice(&key);
                out.push(b'"');
            }
            out.push(b':');
            let Text(value) = entries.next_value()?;
            out.extend_from_slice(&value);
        }
        out.push(b'}');
        Ok(Text(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> String {
        String::from_utf8(to_json(yaml).unwrap()).unwrap()
    }

    #[test]
    fn manifests_become_json() {
        let yaml = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  labels: {a: \"1\", b: 'x y'}\nspec:\n  priority: 5\n  \
                    hostNetwork: true\n  nodeName: ~\n  containers:\n  - name: c\n    args: [\"a\", 'b']\n    command:\n    - |\n      two\n      lines\n";
        let expected = concat!(
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","labels":{"a":"1","b":"x y"}},"spec":{"priority":5,"#,
            r#""hostNetwork":true,"nodeName":null,"containers":[{"name":"c","args":["a","b"],"command":["two\nlines\n"]}]}}"#
        );
        assert_eq!(read(yaml), expected);
    }

    #[test]
    fn json_is_yaml() {
        assert_eq!(read(r#"{"a":{"b":[1,"2",null,true,1.5]}}"#), r#"{"a":{"b":[1,"2",null,true,1.5]}}"#);
    }

    #[test]
    fn repeated_keys_and_old_notations_are_passed_on() {
        assert_eq!(read("a: 1\na: 2"), r#"{"a":1,"a":2}"#);
        assert_eq!(read("a: 0644"), r#"{"a":420}"#);
        assert_eq!(read("a: yes"), r#"{"a":true}"#);
        assert_eq!(read("a: \"yes\"\nb: on x\n1: c"), r#"{"a":"yes","b":"on x","1":"c"}"#);
    }

    #[test]
    fn broken_documents_are_refused() {
        for bad in ["a: [1", "a: b: c", "{"] {
            assert!(to_json(bad).is_err(), "{bad}");
        }
    }
}
