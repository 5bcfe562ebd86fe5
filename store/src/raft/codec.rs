//! Append requests and their answers in a compact form of our own: they are nearly all of the traffic between members.
//!
//! ```text
//! request   vote | previous? | commit? | count u32 | count x (term u64, index u64, kind u8, length u32, bytes)
//! answer    0 last? | 1 conflict | 2 vote
//! vote      term u64, member u64, committed u8          x?   0 or 1, then x          numbers are little-endian
//! ```

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};

use super::{
    log_storage::{decode_payload, encode_payload},
    type_config::{Entry, LogId, Types, Vote},
};
use crate::wal::EntryKind;

const ENTRY_HEADER: usize = 8 + 8 + 1 + 4;

pub(crate) fn encode_append(request: &AppendEntriesRequest<Types>) -> io::Result<Bytes> {
    let payloads =
        request.entries.iter().map(|entry| encode_payload(&entry.payload)).collect::<io::Result<Vec<_>>>()?;
    let size: usize = payloads.iter().map(|(_, data)| ENTRY_HEADER + data.len()).sum();
    let mut out = BytesMut::with_capacity(size + 64);
    put_vote(&request.vote, &mut out);
    put_optional(request.prev_log_id, &mut out);
    put_optional(request.leader_commit, &mut out);
    out.put_u32_le(u32::try_from(payloads.len()).map_err(io::Error::other)?);
    for (entry, (kind, data)) in request.entries.iter().zip(&payloads) {
        put_log_id(entry.log_id, &mut out);
        out.put_u8(*kind as u8);
        out.put_u32_le(u32::try_from(data.len()).map_err(io::Error::other)?);
        out.put_slice(data);
    }
    Ok(out.freeze())
}

pub(crate) fn decode_append(mut bytes: Bytes) -> io::Result<AppendEntriesRequest<Types>> {
    let from = &mut bytes;
    let vote = get_vote(from)?;
    let prev_log_id = get_optional(from)?;
    let leader_commit = get_optional(from)?;
    let count = from.try_get_u32_le()? as usize;
    // A count no message could hold is refused before anything is reserved for it.
    if count > from.len() / ENTRY_HEADER {
        return Err(malformed("more entries than bytes"));
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let log_id = get_log_id(from)?;
        let kind = EntryKind::from_byte(from.try_get_u8()?).ok_or_else(|| malformed("an unknown kind of entry"))?;
        let length = from.try_get_u32_le()? as usize;
        let data = from.get(..length).ok_or_else(|| malformed("an entry longer than its message"))?;
        // A copy: what is applied lives long, and must not keep the whole message in memory.
        let data = Bytes::copy_from_slice(data);
        from.advance(length);
        entries.push(Entry { log_id, payload: decode_payload(kind, data)? });
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

pub(crate) fn encode_answer(answer: &StreamAppendResult<Types>) -> Bytes {
    let mut out = BytesMut::with_capacity(32);
    match answer {
        Ok(last) => {
            out.put_u8(0);
            put_optional(*last, &mut out);
        }
        Err(StreamAppendError::Conflict(at)) => {
            out.put_u8(1);
            put_log_id(*at, &mut out);
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            out.put_u8(2);
            put_vote(vote, &mut out);
        }
    }
    out.freeze()
}

pub(crate) fn decode_answer(mut bytes: Bytes) -> io::Result<StreamAppendResult<Types>> {
    let from = &mut bytes;
    Ok(match from.try_get_u8()? {
        0 => Ok(get_optional(from)?),
        1 => Err(StreamAppendError::Conflict(get_log_id(from)?)),
        2 => Err(StreamAppendError::HigherVote(get_vote(from)?)),
        _ => return Err(malformed("an unknown kind of answer")),
    })
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn put_vote(vote: &Vote, out: &mut BytesMut) {
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.voted_for);
    out.put_u8(u8::from(vote.committed));
}

fn get_vote(from: &mut Bytes) -> io::Result<Vote> {
    let (term, node) = (from.try_get_u64_le()?, from.try_get_u64_le()?);
    Ok(match from.try_get_u8()? {
        0 => Vote::new(term, node),
        _ => Vote::new_committed(term, node),
    })
}

fn put_log_id(id: LogId, out: &mut BytesMut) {
    out.put_u64_le(id.leader_id.term);
    out.put_u64_le(id.index);
}

fn get_log_id(from: &mut Bytes) -> io::Result<LogId> {
    Ok(LogId::new_term_index(from.try_get_u64_le()?, from.try_get_u64_le()?))
}

fn put_optional(id: Option<LogId>, out: &mut BytesMut) {
    out.put_u8(u8::from(id.is_some()));
    if let Some(id) = id {
        put_log_id(id, out);
    }
}

fn get_optional(from: &mut Bytes) -> io::Result<Option<LogId>> {
    if from.try_get_u8()? == 0 { Ok(None) } else { get_log_id(from).map(Some) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openraft::{EntryPayload, Membership};

    use super::*;
    use crate::raft::type_config::{MemberInfo, Payload};

    fn request() -> AppendEntriesRequest<Types> {
        let id = |index| LogId::new_term_index(3, index);
        let member = MemberInfo {
            name: "a".into(),
            peer_urls: vec!["https://b".into()],
            client_urls: Vec::new(),
            replaces: None,
        };
        let membership = Membership::new(vec![[1].into()], BTreeMap::from([(1, member)])).unwrap();
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Payload(Bytes::from_static(b"command"))),
            EntryPayload::Membership(membership),
        ];
        let entries =
            payloads.into_iter().zip(5..).map(|(payload, index)| Entry { log_id: id(index), payload }).collect();
        AppendEntriesRequest { vote: Vote::new_committed(3, 1), prev_log_id: Some(id(4)), entries, leader_commit: None }
    }

    #[test]
    fn a_request_survives_and_no_part_of_it_decodes() {
        let request = request();
        let bytes = encode_append(&request).unwrap();
        let back = decode_append(bytes.clone()).unwrap();
        assert_eq!((back.vote, back.prev_log_id, back.leader_commit), (request.vote, request.prev_log_id, None));
        assert_eq!(back.entries, request.entries);
        for length in 0..bytes.len() {
            assert!(decode_append(bytes.slice(..length)).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn answers_survive() {
        let id = LogId::new_term_index(2, 9);
        let answers = [
            Ok(None),
            Ok(Some(id)),
            Err(StreamAppendError::Conflict(id)),
            Err(StreamAppendError::HigherVote(Vote::new(4, 2))),
        ];
        for answer in answers {
            assert_eq!(decode_answer(encode_answer(&answer)).unwrap(), answer);
        }
    }
}
