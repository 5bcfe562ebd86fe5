//! The lexical side of JSON: strings, numbers, literals and whole values to be skipped.

use std::borrow::Cow;

use super::Error;

/// Nesting allowed in one document; upstream's limit, which no real object comes near.
const DEPTH_MAX: usize = 10_000;

/// A cursor over JSON text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space, not consumed.
    pub(crate) fn peek(&mut self) -> Result<u8, Error> {
        while let Some(byte) = self.byte() {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(Error::Truncated)
    }

    pub(crate) fn advance(&mut self) {
        self.at += 1;
    }

    /// The error for the character at the cursor.
    pub(crate) fn unexpected(&self, context: &str) -> Error {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None => Error::Truncated,
            Some('\'') => Error::Syntax { found: "'\\''".into(), context: context.into() },
            Some('"') => Error::Syntax { found: "'\"'".into(), context: context.into() },
            Some(found) => Error::Syntax { found: format!("'{}'", found.escape_debug()), context: context.into() },
        }
    }

    /// Demands that nothing but white space follows.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            Err(_) => Ok(()),
            Ok(_) => Err(self.unexpected("after top-level value")),
        }
    }

    /// Steps into an object or list: true if an element follows, false at once after `close`.
    pub(crate) fn open(&mut self, close: u8) -> Result<bool, Error> {
        self.advance();
        if self.peek()? == close {
            self.advance();
            return Ok(false);
        }
        Ok(true)
    }

    /// After an element: true if another follows.
    pub(crate) fn more(&mut self, close: u8) -> Result<bool, Error> {
        match self.peek()? {
            b',' => {
                self.advance();
                Ok(true)
            }
            byte if byte == close => {
                self.advance();
                Ok(false)
            }
            _ if close == b'}' => Err(self.unexpected("after object key:value pair")),
            _ => Err(self.unexpected("after array element")),
        }
    }

    /// An object key and its colon.
    pub(crate) fn key(&mut self) -> Result<Cow<'a, str>, Error> {
        if self.peek()? != b'"' {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        let key = self.string()?;
        if self.peek()? != b':' {
            return Err(self.unexpected("after object key"));
        }
        self.advance();
        Ok(key)
    }

    /// A string; the cursor stands on its quote.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let Some(length) = bytes[start.min(bytes.len())..].iter().position(is_special) else {
            return Err(Error::Truncated);
        };
        self.at = start + length;
        if bytes[self.at] == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..start + length]));
        }
        let mut text = String::with_capacity(length + 16);
        text.push_str(&self.text[start..self.at]);
        loop {
            match self.byte().ok_or(Error::Truncated)? {
                b'"' => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                b'\\' => {
                    self.at += 1;
                    self.escape(&mut text)?;
                }
                0..=0x1f => return Err(self.unexpected("in string literal")),
                _ => {
                    let rest = &bytes[self.at..];
                    let length = rest.iter().position(is_special).ok_or(Error::Truncated)?;
                    text.push_str(&self.text[self.at..self.at + length]);
                    self.at += length;
                }
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), Error> {
        let char = match self.byte().ok_or(Error::Truncated)? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                let char = self.unicode()?;
                text.push(char);
                return Ok(());
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        text.push(char);
        Ok(())
    }

    /// The character of `\uXXXX`, possibly of a surrogate pair; a lone surrogate becomes U+FFFD as in Go.
    fn unicode(&mut self) -> Result<char, Error> {
        let first = self.hex4()?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.byte().ok_or(Error::Truncated)?;
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(self.unexpected("in \\u hexadecimal character escape"));
            };
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// A number; the cursor stands on its first character.
    pub(crate) fn number(&mut self) -> Result<&'a str, Error> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, context: &str) -> Result<(), Error> {
        let start = self.at;
        self.digits();
        if self.at == start { Err(self.unexpected(context)) } else { Ok(()) }
    }

    /// `true`, `false` or `null`; the cursor stands on its first character.
    pub(crate) fn literal(&mut self, word: &'static str) -> Result<(), Error> {
        for expected in word.bytes() {
            if self.byte() != Some(expected) {
                let context = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(self.unexpected(&context));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Skips a value of any kind and returns its text. Nesting costs no stack.
    pub(crate) fn skip(&mut self) -> Result<&'a str, Error> {
        self.peek()?;
        let start = self.at;
        let mut open: Vec<u8> = vec![];
        loop {
            match self.peek()? {
                b'{' => {
                    open.push(b'}');
                    if self.open(b'}')? {
                        self.skip_key()?;
                        continue;
                    }
                    open.pop();
                }
                b'[' => {
                    open.push(b']');
                    if self.open(b']')? {
                        continue;
                    }
                    open.pop();
                }
                _ => self.skip_scalar()?,
            }
            if open.len() > DEPTH_MAX {
                return Err(Error::TooDeep);
            }
            while let Some(close) = open.last().copied() {
                if self.more(close)? {
                    if close == b'}' {
                        self.skip_key()?;
                    }
                    break;
                }
                open.pop();
            }
            if open.is_empty() {
                return Ok(&self.text[start..self.at]);
            }
        }
    }

    /// Skips a value.
    pub(crate) fn pass(&mut self) -> Result<(), Error> {
        self.skip().map(|_| ())
    }

    /// Skips a string without making its text, but not without checking its escapes.
    fn skip_string(&mut self) -> Result<(), Error> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            let rest = bytes.get(self.at..).ok_or(Error::Truncated)?;
            self.at += rest.iter().position(is_special).ok_or(Error::Truncated)?;
            match bytes[self.at] {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\'
                    if matches!(
                        bytes.get(self.at + 1),
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
                    ) =>
                {
                    self.at += 2;
                }
                b'\\' if bytes.get(self.at + 1) == Some(&b'u') => {
                    self.at += 2;
                    self.hex4()?;
                }
                b'\\' => {
                    self.at += 1;
                    return Err(self.unexpected("in string escape code"));
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    /// Skips an object key and its colon.
    fn skip_key(&mut self) -> Result<(), Error> {
        if self.peek()? != b'"' {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        self.skip_string()?;
        if self.peek()? != b':' {
            return Err(self.unexpected("after object key"));
        }
        self.advance();
        Ok(())
    }

    fn skip_scalar(&mut self) -> Result<(), Error> {
        match self.peek()? {
            b'"' => self.skip_string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }
}

/// Whether a byte ends a run of plain characters in a string.
fn is_special(byte: &u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// JSON text without white space and with HTML characters escaped, as Go writes raw values.
pub(crate) fn compact(text: &str) -> Box<str> {
    let special = |byte: u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b'<' | b'>' | b'&');
    if !text.bytes().any(special) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for char in text.chars() {
        match char {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            ' ' | '\n' | '\r' | '\t' if !quoted => {}
            _ => out.push(char),
        }
        if char == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && char == '\\' && !escaped;
    }
    out.into()
}
