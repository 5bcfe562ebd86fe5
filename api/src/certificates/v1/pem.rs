//! PEM: what stands between `BEGIN` and `END`. Nothing here understands what the blocks hold.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// One block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    /// What the block says it is.
    pub(super) label: &'a str,
    /// Whether lines with a colon stand before the data.
    pub(super) has_headers: bool,
    /// The data, if it is base64.
    pub(super) data: Option<Vec<u8>>,
}

/// The blocks of a text; whatever stands around them is left out, and so is a block that never ends.
pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(label) = line.trim_end().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let (mut has_headers, mut data, mut ended) = (false, String::new(), false);
        for line in lines.by_ref().map(str::trim) {
            if line == end {
                ended = true;
                break;
            }
            if line.contains(':') {
                has_headers = true;
            } else {
                data.push_str(line);
            }
        }
        if ended {
            blocks.push(Block { label, has_headers, data: STANDARD.decode(data).ok() });
        }
    }
    blocks
}

/// Whether the bytes are one DER sequence from end to end, as every certificate and every request for one is.
pub(super) fn is_sequence(der: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = der else { return false };
    if *first < 0x80 {
        return rest.len() == usize::from(*first);
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 || rest.len() < count {
        return false;
    }
    let (length, body) = rest.split_at(count);
    body.len() == length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_in_the_text_around_them() {
        let text = "words\n-----BEGIN A-----\nMAA=\n-----END A-----\n\n-----BEGIN B-----\nk: v\nMAA=\n-----END B-----\n-----BEGIN C-----\n";
        let found = blocks(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], Block { label: "A", has_headers: false, data: Some(vec![0x30, 0]) });
        assert!(found[1].has_headers);
        assert!(is_sequence(&[0x30, 0]) && is_sequence(&[0x30, 0x81, 1, 9]));
        for bad in [&[0x30][..], &[0x31, 0], &[0x30, 1], &[0x30, 0x80], &[0x30, 0x82, 0]] {
            assert!(!is_sequence(bad), "{bad:?}");
        }
    }
}
