//! `IntOrString`: a count, or a percentage of one.

/// A number or a string, as maxSurge, maxUnavailable and targetPort take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntOrString {
    /// A plain number.
    Int(i64),
    /// A percentage or a name.
    Str(String),
}

/// Which way a fraction of a whole goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the next greater number.
    Up,
    /// To the next smaller number.
    Down,
}

impl IntOrString {
    /// The percentage, if this is one.
    pub fn percent(&self) -> Option<i64> {
        match self {
            Self::Int(_) => None,
            Self::Str(text) => text.strip_suffix('%')?.parse().ok(),
        }
    }

    /// The number itself, or the percentage of `total`; nothing if it is a name.
    pub fn scaled(&self, total: i64, rounding: Rounding) -> Option<i64> {
        let Self::Int(number) = self else {
            let product = self.percent()?.checked_mul(total)?;
            return Some(match rounding {
                Rounding::Up => product.checked_add(99)?.div_euclid(100),
                Rounding::Down => product.div_euclid(100),
            });
        };
        Some(*number)
    }
}

impl std::fmt::Display for IntOrString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Str(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_the_way_asked() {
        let quarter = IntOrString::Str("25%".into());
        assert_eq!(quarter.scaled(10, Rounding::Up), Some(3));
        assert_eq!(quarter.scaled(10, Rounding::Down), Some(2));
        assert_eq!(IntOrString::Int(4).scaled(10, Rounding::Up), Some(4));
        assert_eq!(IntOrString::Str("http".into()).scaled(10, Rounding::Up), None);
        assert_eq!(IntOrString::Str(format!("{}%", i64::MAX)).scaled(10, Rounding::Up), None);
    }
}
