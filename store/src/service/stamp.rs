//! The stamps that clients may give their writes themselves.
//!
//! A client that gets no answer does not know whether its write was applied. One that stamps its writes sends the same again, to
//! any member, and gets the first answer: `kontiki-session` is a number drawn at random once, `kontiki-sequence` counts its writes
//! from 1, and `kontiki-acknowledged-below` says of which of them it has the answers, so that those are forgotten.

use tonic::{Status, metadata::MetadataMap};

use crate::{Proposal, Stamp};

const SESSION: &str = "kontiki-session";
const SEQUENCE: &str = "kontiki-sequence";
const ACKNOWLEDGED_BELOW: &str = "kontiki-acknowledged-below";

/// How a write with these metadata is proposed.
pub(super) fn proposal(metadata: &MetadataMap) -> Result<Proposal, Status> {
    let stamp = match (number(metadata, SESSION)?, number(metadata, SEQUENCE)?) {
        (None, None) => None,
        (Some(session), Some(sequence)) if session > 0 && sequence > 0 => {
            let acknowledged_below = number(metadata, ACKNOWLEDGED_BELOW)?.unwrap_or_default();
            Some(Stamp { session, sequence, acknowledged_below })
        }
        _ => {
            return Err(Status::invalid_argument(format!(
                "{SESSION} and {SEQUENCE} are numbers from 1 on, and go together"
            )));
        }
    };
    Ok(Proposal { stamp, ..Proposal::default() })
}

fn number(metadata: &MetadataMap, name: &str) -> Result<Option<u64>, Status> {
    let Some(value) = metadata.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| Status::invalid_argument(format!("{name} is not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_whole_or_absent() {
        let of = |pairs: &[(&'static str, &str)]| {
            let mut metadata = MetadataMap::new();
            pairs.iter().for_each(|(name, value)| drop(metadata.insert(*name, value.parse().unwrap())));
            proposal(&metadata).map(|proposal| proposal.stamp)
        };
        assert_eq!(of(&[]).unwrap(), None);
        let stamp = Stamp { session: 7, sequence: 3, acknowledged_below: 2 };
        assert_eq!(of(&[(SESSION, "7"), (SEQUENCE, "3"), (ACKNOWLEDGED_BELOW, "2")]).unwrap(), Some(stamp));
        for bad in [
            &[(SESSION, "7")][..],
            &[(SEQUENCE, "1")],
            &[(SESSION, "0"), (SEQUENCE, "1")],
            &[(SESSION, "x"), (SEQUENCE, "1")],
        ] {
            assert_eq!(of(bad).unwrap_err().code(), tonic::Code::InvalidArgument, "{bad:?}");
        }
    }
}
