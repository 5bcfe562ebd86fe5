//! Names and identities nobody can guess to be taken.

use api::surroundings::Surroundings;

/// Letters that form no words, as upstream's generated names use them.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five letters for a generated name.
pub(crate) fn suffix(chance: &Surroundings) -> String {
    let letter = |_| usize::try_from(chance.pick(0..LETTERS.len() as u128)).map_or('b', |at| char::from(LETTERS[at]));
    (0..5).map(letter).collect()
}

/// A random (version 4) UUID.
pub(crate) fn uuid(chance: &Surroundings) -> String {
    let bits = u128::from(chance.random()) << 64 | u128::from(chance.random());
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_version_four() {
        let chance = Surroundings::real();
        let uuid = uuid(&chance);
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert_ne!(uuid, super::uuid(&chance));
        assert_eq!(suffix(&chance).len(), 5);
    }
}
