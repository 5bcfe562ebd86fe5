//! The label selector grammar: a lexer and a parser by recursive descent.

use super::{Operator, Requirement, SelectorError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Closed,
    Comma,
    DoesNotExist,
    DoubleEquals,
    Equals,
    Greater,
    Identifier,
    In,
    Less,
    NotEquals,
    NotIn,
    Open,
    Error,
    End,
}

type Lexeme<'a> = (Token, &'a str);

/// `in` and `notin` are words of the grammar only where an operator may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    KeyAndOperator,
    Values,
}

fn symbol(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::Closed,
        "," => Token::Comma,
        "!" => Token::DoesNotExist,
        "==" => Token::DoubleEquals,
        "=" => Token::Equals,
        ">" => Token::Greater,
        "<" => Token::Less,
        "!=" => Token::NotEquals,
        "(" => Token::Open,
        _ => return None,
    })
}

const fn is_symbol(byte: u8) -> bool {
    matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

struct Parser<'a> {
    rest: &'a str,
}

fn error<T>(found: &str, expected: &str) -> Result<T, SelectorError> {
    Err(SelectorError(format!("found '{found}', expected: {expected}")))
}

impl<'a> Parser<'a> {
    fn peek(&self, context: Context) -> (Lexeme<'a>, &'a str) {
        let text = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(&first) = text.as_bytes().first() else { return ((Token::End, ""), text) };
        let stop = |byte: u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n') || is_symbol(byte);
        let end = if !is_symbol(first) {
            text.bytes().position(stop).unwrap_or(text.len())
        } else if text.len() > 1 && text.is_char_boundary(2) && symbol(&text[..2]).is_some() {
            2
        } else {
            1
        };
        let (literal, rest) = text.split_at(end);
        let token = match literal {
            "in" if context == Context::KeyAndOperator => Token::In,
            "notin" if context == Context::KeyAndOperator => Token::NotIn,
            _ if is_symbol(first) => symbol(literal).unwrap_or(Token::Error),
            _ => Token::Identifier,
        };
        ((token, literal), rest)
    }

    fn look(&self) -> Lexeme<'a> {
        self.peek(Context::Values).0
    }

    fn take(&mut self, context: Context) -> Lexeme<'a> {
        let (lexeme, rest) = self.peek(context);
        self.rest = rest;
        lexeme
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let (mut token, mut key) = self.take(Context::Values);
        let negated = token == Token::DoesNotExist;
        if negated {
            (token, key) = self.take(Context::Values);
        }
        if token != Token::Identifier {
            return error(key, "identifier");
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist);
        }
        if matches!(self.look().0, Token::End | Token::Comma) {
            return Requirement::new(key, Operator::Exists);
        }
        let (operator, literal) = self.take(Context::KeyAndOperator);
        let operator = match operator {
            Token::In => Operator::In(self.values()?),
            Token::NotIn => Operator::NotIn(self.values()?),
            Token::Equals | Token::DoubleEquals => Operator::In(vec![self.exact()?]),
            Token::NotEquals => Operator::NotIn(vec![self.exact()?]),
            Token::Greater => Operator::GreaterThan(self.number()?),
            Token::Less => Operator::LessThan(self.number()?),
            Token::Closed
            | Token::Comma
            | Token::DoesNotExist
            | Token::Identifier
            | Token::Open
            | Token::Error
            | Token::End => return error(literal, "in, notin, =, ==, !=, gt, lt"),
        };
        Requirement::new(key, operator)
    }

    fn exact(&mut self) -> Result<String, SelectorError> {
        if matches!(self.look().0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.take(Context::Values) {
            (Token::Identifier, literal) => Ok(literal.to_owned()),
            (_, literal) => error(literal, "identifier"),
        }
    }

    fn number(&mut self) -> Result<i64, SelectorError> {
        self.exact()?.parse().map_err(|_| {
            SelectorError("values[0]: Invalid value: for 'Gt', 'Lt' operators, the value must be an integer".to_owned())
        })
    }

    /// `(a, b)`; an empty place between commas is the empty value.
    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        let (token, literal) = self.take(Context::Values);
        if token != Token::Open {
            return Err(SelectorError(format!("found '{literal}' expected: '('")));
        }
        let mut values = Vec::new();
        let mut expect_value = true;
        loop {
            match self.take(Context::Values) {
                (Token::Identifier, literal) if expect_value => {
                    values.push(literal.to_owned());
                    expect_value = false;
                }
                (Token::Identifier, literal) => return error(literal, "',' or ')'"),
                (Token::Comma, _) => {
                    if expect_value {
                        values.push(String::new());
                    }
                    expect_value = true;
                }
                (Token::Closed, _) => {
                    if expect_value && !values.is_empty() {
                        values.push(String::new());
                    }
                    values.sort();
                    values.dedup();
                    return Ok(values);
                }
                (_, literal) => return error(literal, "',', ')' or identifier"),
            }
        }
    }
}

pub(super) fn labels(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { rest: text };
    let mut requirements = Vec::new();
    loop {
        match parser.look() {
            (Token::Identifier | Token::DoesNotExist, _) => {
                let requirement = parser.requirement();
                requirements.push(requirement.map_err(|e| SelectorError(format!("unable to parse requirement: {e}")))?);
            }
            (Token::End, _) => return Ok(requirements),
            (_, literal) => return error(literal, "!, identifier, or 'end of string'"),
        }
        match parser.take(Context::Values) {
            (Token::End, _) => return Ok(requirements),
            (Token::Comma, _) => match parser.look() {
                (Token::Identifier | Token::DoesNotExist, _) => {}
                (_, literal) => return error(literal, "identifier after ','"),
            },
            (_, literal) => return error(literal, "',' or 'end of string'"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_in_upstreams_words() {
        for (selector, want) in [
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a,", "found '', expected: identifier after ','"),
            (",a", "found ',', expected: !, identifier, or 'end of string'"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in (x", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
            (
                "a in ()",
                "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
            ),
            ("!=a", "found '!=', expected: !, identifier, or 'end of string'"),
        ] {
            assert_eq!(labels(selector).unwrap_err().to_string(), want, "{selector}");
        }
        let bad_value = labels("a=b@c").unwrap_err().to_string();
        assert!(
            bad_value.starts_with(
                "unable to parse requirement: values[0][a]: Invalid value: \"b@c\": a valid label must be"
            )
        );
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(text in "[a-c=!(),<> in\u{e9}]{0,20}") {
            if let Ok(requirements) = labels(&text) {
                for requirement in requirements {
                    proptest::prop_assert!(labels(&requirement.to_string()).is_ok());
                }
            }
        }
    }
}
