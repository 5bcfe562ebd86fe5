//! How long a request may take that does not stay open: a minute, or less if the client says so by `?timeout=`.

use std::time::Duration;

use api::status::Status;

use crate::{
    error::{Error, Result},
    request_info::query_pairs,
};

const LONGEST: Duration = Duration::from_secs(60);

/// The time the query allows. Zero, less than zero and too much all mean the usual time.
pub(crate) fn of(query: &str) -> Result<Duration> {
    let Some((_, text)) = query_pairs(query).find(|(key, _)| key == "timeout") else { return Ok(LONGEST) };
    if text.is_empty() {
        return Ok(LONGEST);
    }
    let seconds = seconds(&text).ok_or_else(|| {
        let quoted = api::validation::quoted(&text);
        Error::from(Status::bad_request(format!(
            "invalid timeout specified in the request URL - time: invalid duration {quoted}"
        )))
    })?;
    Ok(if seconds > 0.0 && seconds < LONGEST.as_secs_f64() { Duration::from_secs_f64(seconds) } else { LONGEST })
}

/// The answer to a request whose time is over.
pub(crate) fn exceeded() -> Error {
    Status::timeout("request did not complete within the allotted timeout", 0).into()
}

/// Seconds of a duration as Go writes it: numbers with units, as in `1m30s` or `1.5h`; only 0 needs no unit.
fn seconds(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut total = 0.0;
    loop {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        if after.is_empty() {
            return Some(sign * total);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_writes_them() {
        for (text, expected) in [
            ("32s", Some(32.0)),
            ("1m30s", Some(90.0)),
            ("1.5h", Some(5400.0)),
            ("200ms", Some(0.2)),
            ("0", Some(0.0)),
            ("-1s", Some(-1.0)),
            ("", None),
            ("32", None),
            ("s", None),
            ("1x", None),
            ("1.2.3s", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn a_client_can_only_shorten_the_time() {
        for (query, expected) in
            [("", 60), ("timeout=", 60), ("limit=5&timeout=10s", 10), ("timeout=0s", 60), ("timeout=1h", 60)]
        {
            assert_eq!(of(query).unwrap().as_secs(), expected, "{query}");
        }
        let message = of("timeout=soon").unwrap_err().to_string();
        assert_eq!(message, "invalid timeout specified in the request URL - time: invalid duration \"soon\"");
    }
}
