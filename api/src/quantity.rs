//! Resource quantities: `100m`, `1.5Gi`, `12e6`.
//!
//! A [`Quantity`] is an exact count of billionths and the suffix family it was written in. Its text is canonical: no
//! fraction, the largest suffix that loses nothing, so that two spellings of one amount are stored alike. As
//! upstream, anything finer than a billionth is rounded up and anything beyond 2^63-1 is cut to it.

use std::cmp::Ordering;
use std::fmt;

const NANO_PER_UNIT: i128 = 1_000_000_000;
const MAX_NANO: i128 = i64::MAX as i128 * NANO_PER_UNIT;

/// The suffix family of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Ki Mi Gi Ti Pi Ei`
    BinarySi,
    /// `n u m (none) k M G T P E`
    DecimalSi,
    /// `e3`, `E6`
    DecimalExponent,
}

/// An exact amount of something.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

/// Why a text is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No quantity at all.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Form,
    /// The digits make no number.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// The letters make no suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// A power that a suffix stands for.
enum Power {
    Two(u32),
    Ten(i32),
}

fn suffix(text: &str) -> Option<(Power, Format)> {
    let binary = |exponent| Some((Power::Two(exponent), Format::BinarySi));
    let decimal = |exponent| Some((Power::Ten(exponent), Format::DecimalSi));
    match text {
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        _ => {
            let exponent = text.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
            Some((Power::Ten(exponent), Format::DecimalExponent))
        }
    }
}

const fn decimal_suffix(exponent: i32) -> Option<&'static str> {
    Some(match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        0 => "",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => return None,
    })
}

/// The digits of a number as billionths times `10^exponent`, saturating, fractions rounded away from zero.
fn scale(whole: &str, fraction: &str, power: &Power) -> i128 {
    let mut value: i128 = 0;
    let mut exponent: i32 = 9;
    for digit in whole.bytes().chain(fraction.bytes()) {
        match value.checked_mul(10).and_then(|value| value.checked_add(i128::from(digit - b'0'))) {
            Some(next) => value = next,
            None => return MAX_NANO,
        }
    }
    exponent = exponent.saturating_sub(i32::try_from(fraction.len()).unwrap_or(i32::MAX));
    match power {
        Power::Two(bits) => match value.checked_mul(1_i128 << bits) {
            Some(scaled) => value = scaled,
            None => return MAX_NANO,
        },
        Power::Ten(power) => exponent = exponent.saturating_add(*power),
    }
    if value == 0 {
        return 0;
    }
    let factor = 10_i128.checked_pow(exponent.unsigned_abs());
    match (exponent >= 0, factor) {
        (true, Some(factor)) => value.saturating_mul(factor),
        (true, None) => MAX_NANO,
        (false, Some(factor)) => value / factor + i128::from(value % factor != 0),
        (false, None) => 1,
    }
}

impl std::str::FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
            None => return Err(ParseError::Form),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, letters) = unsigned.split_at(end);
        let is_suffix_char = |c: char| "eEinumkKMGTP+-".contains(c) || c.is_ascii_digit();
        if number.is_empty() || !letters.chars().all(is_suffix_char) {
            return Err(ParseError::Form);
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || whole.is_empty() && fraction.is_empty() {
            return Err(ParseError::Number);
        }
        let (power, format) = suffix(letters).ok_or(ParseError::Suffix)?;
        let nano = scale(whole, fraction, &power).min(MAX_NANO);
        Ok(Self { nano: if negative { -nano } else { nano }, format })
    }
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nano: 0, format: Format::DecimalSi };

    /// So many whole units.
    pub const fn from_units(units: i64) -> Self {
        Self { nano: units as i128 * NANO_PER_UNIT, format: Format::DecimalSi }
    }

    /// So many thousandths.
    pub const fn from_milli(milli: i64) -> Self {
        Self { nano: milli as i128 * (NANO_PER_UNIT / 1000), format: Format::DecimalSi }
    }

    /// So many bytes, shown with binary suffixes.
    pub const fn from_bytes(bytes: i64) -> Self {
        Self { nano: bytes as i128 * NANO_PER_UNIT, format: Format::BinarySi }
    }

    /// The suffix family.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Whole units, rounded up.
    pub fn value(&self) -> i64 {
        self.ceil(NANO_PER_UNIT)
    }

    /// Thousandths, rounded up.
    pub fn milli_value(&self) -> i64 {
        self.ceil(NANO_PER_UNIT / 1000)
    }

    /// Whether it is a whole number of units.
    pub const fn is_integer(&self) -> bool {
        self.nano % NANO_PER_UNIT == 0
    }

    /// Whether it is a whole number of thousandths.
    pub const fn is_milli(&self) -> bool {
        self.nano % (NANO_PER_UNIT / 1000) == 0
    }

    /// Whether it is nothing.
    pub const fn is_zero(&self) -> bool {
        self.nano == 0
    }

    /// -1, 0 or 1.
    pub const fn sign(&self) -> i128 {
        self.nano.signum()
    }

    fn ceil(&self, unit: i128) -> i64 {
        let up = self.nano.div_euclid(unit) + i128::from(self.nano.rem_euclid(unit) != 0);
        i64::try_from(up).unwrap_or(if up > 0 { i64::MAX } else { i64::MIN })
    }

    fn write_decimal(&self, f: &mut fmt::Formatter<'_>, format: Format) -> fmt::Result {
        let (mut mantissa, mut exponent) = (self.nano, -9);
        while mantissa % 1000 == 0 {
            mantissa /= 1000;
            exponent += 3;
        }
        match (format, decimal_suffix(exponent)) {
            (_, _) if exponent == 0 => write!(f, "{mantissa}"),
            (Format::DecimalExponent, _) | (_, None) => write!(f, "{mantissa}e{exponent}"),
            (_, Some(suffix)) => write!(f, "{mantissa}{suffix}"),
        }
    }
}

/// The canonical form.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        let small = self.nano.abs() < 1024 * NANO_PER_UNIT;
        if self.format != Format::BinarySi || small || !self.is_integer() {
            let format = if self.format == Format::BinarySi { Format::DecimalSi } else { self.format };
            return self.write_decimal(f, format);
        }
        let (mut mantissa, mut thousands) = (self.nano / NANO_PER_UNIT, 0);
        while mantissa % 1024 == 0 && thousands < 6 {
            mantissa /= 1024;
            thousands += 1;
        }
        write!(f, "{mantissa}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][thousands])
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

/// Nothing.
impl Default for Quantity {
    fn default() -> Self {
        Self { nano: 0, format: Format::DecimalSi }
    }
}

/// So many whole units.
impl From<u32> for Quantity {
    fn from(units: u32) -> Self {
        Self { nano: i128::from(units) * NANO_PER_UNIT, format: Format::DecimalSi }
    }
}

impl std::ops::Add for Quantity {
    type Output = Self;
    /// The sum, in the left side's family unless that is nothing.
    fn add(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nano: (self.nano + other.nano).clamp(-MAX_NANO, MAX_NANO), format }
    }
}

impl std::ops::Sub for Quantity {
    type Output = Self;
    /// The difference, in the left side's family unless that is nothing.
    fn sub(self, other: Self) -> Self {
        self + Self { nano: -other.nano, format: other.format }
    }
}

/// The canonical form of a quantity's text.
pub fn canonical(text: &str) -> Result<String, ParseError> {
    text.trim().parse::<Quantity>().map(|quantity| quantity.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_forms() {
        for (text, want) in [
            ("0", "0"),
            ("0Mi", "0"),
            ("1.5Gi", "1536Mi"),
            ("0.1", "100m"),
            ("1000m", "1"),
            ("1024", "1024"),
            ("1000", "1k"),
            ("1024Ki", "1Mi"),
            ("0.5Ki", "512"),
            ("1.0001Ki", "1024102400u"),
            ("1e3", "1e3"),
            ("12E6", "12e6"),
            ("100e-3", "100e-3"),
            ("10e0", "10"),
            ("+5", "5"),
            ("-5m", "-5m"),
            (".5", "500m"),
            ("5.", "5"),
            ("0.0000000001", "1n"),
            ("1500000Ki", "1500000Ki"),
            ("9223372036854775807", "9223372036854775807"),
            ("99999999999999999999", "9223372036854775807"),
            ("16Ei", "9223372036854775807"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn bad_quantities_say_why() {
        for (text, want) in [
            ("", ParseError::Form),
            ("abc", ParseError::Form),
            ("1 Gi", ParseError::Form),
            ("1x", ParseError::Form),
            ("1.2.3", ParseError::Number),
            (".", ParseError::Number),
            ("1K", ParseError::Suffix),
            ("1Kii", ParseError::Suffix),
            ("1e", ParseError::Suffix),
        ] {
            assert_eq!(canonical(text), Err(want), "{text}");
        }
    }

    #[test]
    fn arithmetic_is_exact_and_rounds_up_only_when_read() {
        let quantity = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!((quantity("0.1") + quantity("200m")).to_string(), "300m");
        assert_eq!((quantity("1Gi") - quantity("512Mi")).to_string(), "512Mi");
        assert_eq!(quantity("1100m").value(), 2);
        assert_eq!(quantity("-1100m").value(), -1);
        assert_eq!(quantity("1").milli_value(), 1000);
        assert_eq!(quantity("1Ki"), Quantity::from_units(1024));
        assert!(quantity("999m") < quantity("1"));
    }

    proptest! {
        #[test]
        fn canonical_text_is_a_fixed_point(nano in -1_000_000_000_000_000_000_i128..1_000_000_000_000_000_000, kind in 0..3) {
            let format = [Format::BinarySi, Format::DecimalSi, Format::DecimalExponent][usize::try_from(kind).unwrap()];
            let quantity = Quantity { nano, format };
            let again: Quantity = quantity.to_string().parse().unwrap();
            prop_assert_eq!(again, quantity);
            prop_assert_eq!(again.to_string(), quantity.to_string());
        }
    }
}
