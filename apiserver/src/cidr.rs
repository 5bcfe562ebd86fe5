//! An address range: `10.96.0.0/12`, `fd00::/108`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A range of addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    base: IpAddr,
    bits: u8,
}

/// The text is no address range.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no address range such as 10.96.0.0/12 or fd00::/108")]
pub struct BadCidr(String);

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let bad = || BadCidr(text.to_owned());
        let (base, bits) = text.split_once('/').ok_or_else(bad)?;
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let bits: u8 = bits.parse().map_err(|_| bad())?;
        let width: u8 = if base.is_ipv4() { 32 } else { 128 };
        if bits > width {
            return Err(bad());
        }
        let mask = if bits == 0 { 0 } else { u128::MAX << (width - bits) };
        Ok(Self { base: with_number(base, number(base) & mask), bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl Cidr {
    /// The address at this place in the range, counted from its base.
    pub fn nth(&self, place: u128) -> Option<IpAddr> {
        (place < self.size()).then(|| with_number(self.base, number(self.base) + place))
    }

    /// How many addresses there are.
    pub fn size(&self) -> u128 {
        let width: u8 = if self.base.is_ipv4() { 32 } else { 128 };
        1_u128.checked_shl(u32::from(width - self.bits)).unwrap_or(u128::MAX)
    }

    /// True when the address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.base.is_ipv4() == address.is_ipv4()
            && number(address).checked_sub(number(self.base)).is_some_and(|place| place < self.size())
    }

    /// True when the range holds IPv4 addresses.
    pub fn is_ipv4(&self) -> bool {
        self.base.is_ipv4()
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn with_number(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_from_the_base() {
        let range: Cidr = "10.96.0.7/16".parse().unwrap();
        assert_eq!(range.to_string(), "10.96.0.0/16");
        assert_eq!(range.nth(1), "10.96.0.1".parse().ok());
        assert_eq!(range.nth(65536), None);
        assert!(range.contains("10.96.255.255".parse().unwrap()));
        assert!(!range.contains("10.97.0.0".parse().unwrap()));
        let six: Cidr = "fd00::/108".parse().unwrap();
        assert_eq!((six.nth(1), six.size()), ("fd00::1".parse().ok(), 1 << 20));
        assert_eq!("0.0.0.0/0".parse::<Cidr>().unwrap().size(), 1 << 32);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "::/129"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
