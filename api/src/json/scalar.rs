//! Text with a meaning: times, durations, quantities and base64, checked and brought to Go's form.

use std::borrow::Cow;

use base64::Engine as _;
use jiff::Timestamp;

use super::Error;

/// Seconds and nanoseconds of an RFC 3339 time.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, Error> {
    let problem = || {
        let layout = "2006-01-02T15:04:05Z07:00";
        Error::Text(format!("parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\""))
    };
    if text.as_bytes().get(10) != Some(&b'T') {
        return Err(problem());
    }
    text.parse().map_err(|_| problem())
}

/// A time in the form Go writes: UTC, to the second or (`micro`) to the microsecond.
pub(super) fn time(text: Cow<'_, str>, micro: bool) -> Result<Box<str>, Error> {
    let time = parse_time(&text)?;
    let canonical = match (text.len(), micro) {
        (20, false) => text.ends_with('Z'),
        (27, true) => text.ends_with('Z') && text.as_bytes()[19] == b'.',
        _ => false,
    };
    Ok(if canonical { text.into() } else { format_time(time, micro).into() })
}

/// Writes a time as Go does.
pub(crate) fn format_time(time: Timestamp, micro: bool) -> String {
    let layout = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    time.strftime(layout).to_string()
}

/// Nanoseconds of a Go duration.
pub(crate) fn parse_duration(text: &str) -> Result<i64, Error> {
    let problem = |what: &str| Error::Text(format!("time: {what} duration {text:?}"));
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(problem("invalid"));
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|char: char| char.is_ascii_digit() || char == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(problem("missing unit in")),
            _ => return Err(Error::Text(format!("time: unknown unit {unit:?} in duration {text:?}"))),
        };
        total += scaled(number, scale).ok_or_else(|| problem("invalid"))?;
        if total > i128::from(i64::MAX) + 1 {
            return Err(problem("invalid"));
        }
        rest = tail;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| problem("invalid"))
}

fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 20 {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
    let fraction = &fraction[..fraction.len().min(18)];
    let places = u32::try_from(fraction.len()).ok()?;
    Some(digits(whole)? * scale + digits(fraction)? * scale / 10_i128.pow(places))
}

/// Writes nanoseconds as Go's `Duration.String`.
pub(crate) fn format_duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".into();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let total = nanos.unsigned_abs();
    if total < 1_000_000_000 {
        let (unit, scale, places) = match total {
            0..1_000 => ("ns", 1, 0),
            1_000..1_000_000 => ("µs", 1_000, 3),
            _ => ("ms", 1_000_000, 6),
        };
        return format!("{sign}{}{unit}", decimal(total, scale, places));
    }
    let (hours, minutes) = (total / 3_600_000_000_000, total / 60_000_000_000 % 60);
    let seconds = decimal(total % 60_000_000_000, 1_000_000_000, 9);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(value: u64, scale: u64, places: usize) -> String {
    if value.is_multiple_of(scale) {
        return (value / scale).to_string();
    }
    let text = format!("{}.{:0places$}", value / scale, value % scale);
    text.trim_end_matches('0').to_owned()
}

/// A duration in Go's form.
pub(super) fn duration(text: &str) -> Result<Box<str>, Error> {
    Ok(format_duration(parse_duration(text)?).into())
}

/// Demands the grammar of a quantity; its value is the business of the kinds.
pub(super) fn quantity(text: Cow<'_, str>) -> Result<Box<str>, Error> {
    let bytes = text.as_bytes();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let number = bytes[sign..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let digits = bytes[sign..sign + number].iter().filter(|byte| byte.is_ascii_digit()).count();
    let suffix = text.get(sign + number..).unwrap_or("?");
    let known = match suffix.as_bytes() {
        [] | [b'n' | b'u' | b'm' | b'k' | b'M' | b'G' | b'T' | b'P' | b'E'] => true,
        [b'K' | b'M' | b'G' | b'T' | b'P' | b'E', b'i'] => true,
        [b'e' | b'E', exponent @ ..] => {
            let exponent = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
            !exponent.is_empty() && exponent.len() < 10 && exponent.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    if digits == 0 || number - digits > 1 || !known {
        let pattern = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";
        return Err(Error::Text(format!("quantities must match the regular expression '{pattern}'")));
    }
    Ok(text.into())
}

/// A quantity that came by another way than JSON.
pub(crate) fn check_quantity(text: &str) -> Result<crate::Node, Error> {
    quantity(Cow::Borrowed(text)).map(crate::Node::Str)
}

/// Base64 text in standard form.
pub(super) fn bytes(text: Cow<'_, str>) -> Result<Box<str>, Error> {
    let text = if text.contains(['\n', '\r']) { Cow::Owned(text.replace(['\n', '\r'], "")) } else { text };
    match base64::engine::general_purpose::STANDARD.decode(text.as_bytes()) {
        Ok(_) => Ok(text.into()),
        Err(base64::DecodeError::InvalidByte(at, _)) => {
            Err(Error::Text(format!("illegal base64 data at input byte {at}")))
        }
        Err(_) => Err(Error::Text(format!("illegal base64 data at input byte {}", text.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write_as_go() {
        let table = [
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("90s", 90_000_000_000, "1m30s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("300ms", 300_000_000, "300ms"),
            ("1us", 1_000, "1µs"),
            ("5ns", 5, "5ns"),
            ("-2m", -120_000_000_000, "-2m0s"),
            ("0", 0, "0s"),
        ];
        for (text, nanos, written) in table {
            assert_eq!(parse_duration(text), Ok(nanos), "{text}");
            assert_eq!(format_duration(nanos), written);
        }
        for bad in ["", "1", "s", "1x", "1h-", "9999999h9999999h", "."] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_become_utc() {
        let read = |text: &'static str, micro| time(text.into(), micro).map(String::from);
        assert_eq!(read("2026-01-02T03:04:05Z", false).unwrap(), "2026-01-02T03:04:05Z");
        assert_eq!(read("2026-01-02T03:04:05.9+02:00", false).unwrap(), "2026-01-02T01:04:05Z");
        assert_eq!(read("2026-01-02T03:04:05Z", true).unwrap(), "2026-01-02T03:04:05.000000Z");
        assert_eq!(read("2026-01-02T03:04:05.123456Z", true).unwrap(), "2026-01-02T03:04:05.123456Z");
        assert!(read("2026-01-02", false).is_err() && read("2026-13-02T03:04:05Z", false).is_err());
    }

    #[test]
    fn quantities_must_be_well_formed() {
        for good in ["1", "100m", "1.5Gi", "-3", "1e3", "1E3", "1E", ".5", "0", "12e-6", "1.", "4Ki"] {
            assert!(quantity(good.into()).is_ok(), "{good}");
        }
        for bad in ["", "x", "1Q", "1.2.3", "1 Gi", "--1", "1ki", "e3", "1mi"] {
            assert!(quantity(bad.into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn base64_is_checked() {
        assert_eq!(&*bytes("aGk=".into()).unwrap(), "aGk=");
        assert_eq!(&*bytes("aG\nk=".into()).unwrap(), "aGk=");
        assert_eq!(bytes("a!".into()).unwrap_err().to_string(), "illegal base64 data at input byte 1");
    }
}
