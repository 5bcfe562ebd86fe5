//! What a client is told beside the answer, as `Warning` headers: every text once, in order, and never more than a
//! block of headers can bear. The bounds are upstream's.

use http::{HeaderMap, HeaderValue, header};
use parking_lot::Mutex;

/// More characters than this, and every text is cut.
const TOTAL: usize = 4 * 1024;
/// What is left of a text that is cut.
const CUT: usize = 256;

/// The warnings of one request.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Adds a text, unless it is there already.
    pub(crate) fn add(&self, text: impl Into<String>) {
        let (text, mut texts) = (text.into(), self.0.lock());
        if !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }

    /// Writes one header for each text.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let texts = self.0.lock();
        let total: usize = texts.iter().map(|text| text.chars().count()).sum();
        let room = if total > TOTAL { CUT } else { TOTAL };
        let mut written = 0;
        for text in texts.iter() {
            if written >= TOTAL {
                return;
            }
            written += text.chars().count().min(room);
            if let Ok(value) = HeaderValue::from_bytes(line(text, room).as_bytes()) {
                headers.append(header::WARNING, value);
            }
        }
    }
}

/// Code 299, no agent, the text in quotes. A header has no room for control characters.
fn line(text: &str, room: usize) -> String {
    let mut line = String::from("299 - \"");
    for character in text.chars().take(room) {
        match character {
            '"' | '\\' => line.extend(['\\', character]),
            control if control.is_control() => line.push(' '),
            other => line.push(other),
        }
    }
    line.push('"');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(texts: impl IntoIterator<Item = String>) -> Vec<String> {
        let (warnings, mut headers) = (Warnings::default(), HeaderMap::new());
        texts.into_iter().for_each(|text| warnings.add(text));
        warnings.write(&mut headers);
        let values = headers.get_all(header::WARNING).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }

    #[test]
    fn every_text_is_written_once_and_quoted() {
        let texts = ["a \"b\"\nc", "ü", "a \"b\"\nc", ""].map(str::to_owned);
        assert_eq!(written(texts), [r#"299 - "a \"b\" c""#, r#"299 - "ü""#]);
    }

    #[test]
    fn many_words_are_cut_and_then_left_out() {
        let long = |at: usize| format!("{at:03}{}", "x".repeat(300));
        assert_eq!(written((0..13).map(long))[0].len(), 303 + r#"299 - """#.len(), "they all have room");
        let lines = written((0..100).map(long));
        assert_eq!((lines.len(), lines[0].len()), (TOTAL / CUT, CUT + r#"299 - """#.len()));
    }
}
