//! Address ranges, IPv4 and IPv6 alike.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    /// All zero behind the prefix.
    pub address: IpAddr,
    /// How many bits are fixed.
    pub prefix: u8,
}

/// The text is not a range.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an address range such as 10.244.0.0/16")]
pub struct ParseError(String);

impl Cidr {
    fn bits(self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    fn number(self) -> u128 {
        match self.address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        }
    }

    fn of(number: u128, like: Self, prefix: u8) -> Self {
        let address = if like.address.is_ipv4() {
            IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)))
        } else {
            IpAddr::V6(Ipv6Addr::from(number))
        };
        Self { address, prefix }
    }

    /// Whether two ranges share an address.
    pub fn overlaps(self, other: Self) -> bool {
        if self.bits() != other.bits() {
            return false;
        }
        let shift = u32::from(self.bits() - self.prefix.min(other.prefix));
        self.number().checked_shr(shift) == other.number().checked_shr(shift) || shift >= 128
    }

    /// The lowest part of the given prefix that overlaps with none of `taken`. `taken` is sorted.
    pub fn first_free(self, prefix: u8, taken: &[Self]) -> Option<Self> {
        if prefix < self.prefix || prefix > self.bits() {
            return None;
        }
        let step = 1u128.checked_shl(u32::from(self.bits() - prefix))?;
        let count = 1u128.checked_shl(u32::from(prefix - self.prefix)).unwrap_or(u128::MAX);
        let mut candidates = (0..count).map(|index| Self::of(self.number() + index * step, self, prefix));
        candidates.find(|candidate| !taken.iter().any(|other| other.overlaps(*candidate)))
    }
}

impl FromStr for Cidr {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parsed = || {
            let (address, prefix) = text.split_once('/')?;
            let cidr = Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
            let host_bits = u32::from(cidr.bits().checked_sub(cidr.prefix)?);
            let number = cidr.number().checked_shr(host_bits).unwrap_or(0).checked_shl(host_bits).unwrap_or(0);
            Some(Self::of(number, cidr, cidr.prefix))
        };
        parsed().ok_or_else(|| ParseError(text.to_owned()))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_part_is_found() {
        for (range, prefix, taken, expect) in [
            ("10.244.0.0/16", 24, vec![], Some("10.244.0.0/24")),
            ("10.244.0.0/16", 24, vec!["10.244.0.0/24", "10.244.1.0/24"], Some("10.244.2.0/24")),
            ("10.244.0.0/16", 24, vec!["10.244.0.0/25"], Some("10.244.1.0/24")),
            ("10.244.0.0/24", 24, vec!["10.244.0.0/24"], None),
            ("10.244.0.0/24", 16, vec![], None),
            ("fd00::/56", 64, vec!["fd00::/64"], Some("fd00:0:0:1::/64")),
            ("fd00::/56", 64, vec!["10.0.0.0/8"], Some("fd00::/64")),
        ] {
            let taken: Vec<Cidr> = taken.iter().map(|text| text.parse().unwrap()).collect();
            let found = range.parse::<Cidr>().unwrap().first_free(prefix, &taken);
            assert_eq!(found.map(|cidr| cidr.to_string()).as_deref(), expect, "{range} {prefix} {taken:?}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["10.0.0.0", "10.0.0.0/33", "x/8", "fd00::/129", ""] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        assert_eq!("10.1.2.3/16".parse::<Cidr>().unwrap().to_string(), "10.1.0.0/16");
    }
}
