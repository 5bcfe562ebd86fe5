//! What may be proposed, and what is refused before it reaches the log.
//!
//! `validate` looks at the request alone; what depends on the state (leases, revisions, existing keys) is decided by
//! `apply`, the same on every member.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;
use proto::{
    etcdserverpb::{
        DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
        range_request::{SortOrder, SortTarget},
        request_op::Request,
    },
    raftpb::{Command, command::Body},
};

use crate::{error::Error, mvcc::range::KeyRange};

/// What this build understands. A command of a higher level stops the member.
pub const FEATURE_LEVEL: u32 = 1;
/// Operations of one transaction, as etcd limits them.
const TXN_OPS_MAX: usize = 128;
/// Transactions inside each other. A message of more levels than protobuf's decoders take (100, and a nested transaction
/// adds two) would pass the port and then stop every member that reads it from the log.
const TXN_DEPTH_MAX: usize = 32;
/// Bytes of one encoded request, as etcd limits them (1.5 MiB).
pub const REQUEST_BYTES_MAX: usize = 1536 * 1024;

/// Whether the transaction can change nothing, whatever its compares say.
pub fn is_read_only(request: &TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).all(|op| match &op.request {
        Some(Request::RequestRange(_)) | None => true,
        Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) => false,
        Some(Request::RequestTxn(nested)) => is_read_only(nested),
    })
}

/// Whether every read of it may be answered from the state at hand.
pub fn is_serializable(request: &TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).all(|op| match &op.request {
        Some(Request::RequestRange(range)) => range.serializable,
        Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) => false,
        Some(Request::RequestTxn(nested)) => is_serializable(nested),
        None => true,
    })
}

/// Whether a command can make the state grow: it needs room on every member's disk.
pub(crate) fn grows(body: &Body) -> bool {
    match body {
        Body::Put(_) | Body::LeaseGrant(_) => true,
        Body::Txn(request) => puts(&request.success) || puts(&request.failure),
        Body::DeleteRange(_)
        | Body::Compaction(_)
        | Body::LeaseRevoke(_)
        | Body::SessionEnd(_)
        | Body::HashCheck(_)
        | Body::Alarm(_) => false,
    }
}

fn puts(ops: &[RequestOp]) -> bool {
    ops.iter().any(|op| match &op.request {
        Some(Request::RequestPut(_)) => true,
        Some(Request::RequestTxn(nested)) => puts(&nested.success) || puts(&nested.failure),
        Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => false,
    })
}

/// The most operations of a brief transaction.
const BRIEF_OPS_MAX: usize = 8;

/// Whether a command looks at few keys and no range, so that applying it takes microseconds whatever the state holds.
pub(crate) fn is_brief(body: &Body) -> bool {
    match body {
        Body::Put(_) | Body::LeaseGrant(_) | Body::HashCheck(_) => true,
        Body::DeleteRange(request) => request.range_end.is_empty(),
        Body::Txn(request) => {
            let mut ops = request.success.iter().chain(&request.failure);
            request.compare.len() + request.success.len() + request.failure.len() <= BRIEF_OPS_MAX
                && request.compare.iter().all(|compare| compare.range_end.is_empty())
                && ops.all(|op| match &op.request {
                    Some(Request::RequestPut(_)) | None => true,
                    Some(Request::RequestRange(request)) => request.range_end.is_empty(),
                    Some(Request::RequestDeleteRange(request)) => request.range_end.is_empty(),
                    Some(Request::RequestTxn(_)) => false,
                })
        }
        Body::Compaction(_) | Body::LeaseRevoke(_) | Body::SessionEnd(_) | Body::Alarm(_) => false,
    }
}

/// Checks the body of a command before it is proposed.
pub fn validate(command: &Command) -> Result<(), Error> {
    match &command.body {
        Some(Body::Put(put)) => validate_put(put)?,
        Some(Body::DeleteRange(range)) => validate_delete_range(range)?,
        Some(Body::Txn(txn)) => validate_txn(txn)?,
        Some(
            Body::Compaction(_)
            | Body::LeaseGrant(_)
            | Body::LeaseRevoke(_)
            | Body::SessionEnd(_)
            | Body::HashCheck(_)
            | Body::Alarm(_),
        ) => {}
        None => return Err(Error::Invalid("a command needs a body".to_owned())),
    }
    if command.encoded_len() > REQUEST_BYTES_MAX {
        return Err(Error::RequestTooLarge);
    }
    Ok(())
}

/// Checks a range request.
pub fn validate_range(request: &RangeRequest) -> Result<(), Error> {
    check_key(&request.key)?;
    if SortOrder::try_from(request.sort_order).is_err() || SortTarget::try_from(request.sort_target).is_err() {
        return Err(Error::InvalidSortOption);
    }
    Ok(())
}

/// Checks a transaction, one that only reads included.
pub fn validate_txn(request: &TxnRequest) -> Result<(), Error> {
    check_txn(request, TXN_OPS_MAX, TXN_DEPTH_MAX)?;
    check_overlaps(&request.success)?;
    check_overlaps(&request.failure)?;
    Ok(())
}

fn validate_put(request: &PutRequest) -> Result<(), Error> {
    check_key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Error::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Error::LeaseProvided);
    }
    Ok(())
}

fn validate_delete_range(request: &DeleteRangeRequest) -> Result<(), Error> {
    check_key(&request.key)
}

fn check_key(key: &[u8]) -> Result<(), Error> {
    if key.is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

fn check_txn(request: &TxnRequest, ops_max: usize, depth_max: usize) -> Result<(), Error> {
    let depth_left = depth_max.checked_sub(1).ok_or(Error::TooManyOps)?;
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    let ops_left = ops_max.checked_sub(ops).ok_or(Error::TooManyOps)?;
    for compare in &request.compare {
        check_key(&compare.key)?;
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(range)) => validate_range(range)?,
            Some(Request::RequestPut(put)) => validate_put(put)?,
            Some(Request::RequestDeleteRange(range)) => validate_delete_range(range)?,
            Some(Request::RequestTxn(nested)) => check_txn(nested, ops_left, depth_left)?,
            None => return Err(Error::KeyNotFound),
        }
    }
    Ok(())
}

/// Keys that one branch may put, and ranges that it may delete.
#[derive(Default)]
struct Touched<'a> {
    puts: BTreeSet<&'a Bytes>,
    deletes: Vec<KeyRange>,
}

impl<'a> Touched<'a> {
    fn put(&mut self, key: &'a Bytes) -> Result<(), Error> {
        if self.deletes.iter().any(|range| range.contains(key)) || !self.puts.insert(key) {
            return Err(Error::DuplicateKey);
        }
        Ok(())
    }
}

/// Refuses a branch that could put one key twice, or put and delete it, by etcd's rules.
fn check_overlaps(ops: &[RequestOp]) -> Result<Touched<'_>, Error> {
    let mut touched = Touched::default();
    for op in ops {
        // As in etcd, a deletion of everything from a key on may stand beside puts: what counts is their order.
        if let Some(Request::RequestDeleteRange(delete)) = &op.request
            && *delete.range_end != [0]
        {
            touched.deletes.push(KeyRange::new(delete.key.clone(), delete.range_end.clone()));
        }
    }
    for op in ops {
        if let Some(Request::RequestTxn(nested)) = &op.request {
            let (then, other) = (check_overlaps(&nested.success)?, check_overlaps(&nested.failure)?);
            for key in &then.puts {
                touched.put(key)?;
            }
            // Only one of the branches runs: both may put the same key, or one put what the other deletes.
            for key in other.puts.into_iter().filter(|key| !then.puts.contains(*key)) {
                touched.put(key)?;
            }
            touched.deletes.extend(then.deletes.into_iter().chain(other.deletes));
        }
    }
    for op in ops {
        if let Some(Request::RequestPut(put)) = &op.request {
            touched.put(&put.key)?;
        }
    }
    Ok(touched)
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::Compare;

    use super::*;

    fn put(key: &str) -> RequestOp {
        op(Request::RequestPut(PutRequest { key: key.to_owned().into(), ..PutRequest::default() }))
    }

    fn delete(key: &str, end: &str) -> RequestOp {
        let (key, range_end) = (key.to_owned().into(), end.to_owned().into());
        op(Request::RequestDeleteRange(DeleteRangeRequest { key, range_end, prev_kv: false }))
    }

    fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        op(Request::RequestTxn(TxnRequest { success, failure, ..TxnRequest::default() }))
    }

    fn op(request: Request) -> RequestOp {
        RequestOp { request: Some(request) }
    }

    fn check(ops: Vec<RequestOp>) -> Result<(), Error> {
        validate_txn(&TxnRequest { success: ops, ..TxnRequest::default() })
    }

    #[test]
    fn what_looks_at_a_range_is_not_brief() {
        let range = |end: &str| {
            op(Request::RequestRange(RangeRequest { range_end: end.to_owned().into(), ..RangeRequest::default() }))
        };
        let compare = |end: &str| Compare { range_end: end.to_owned().into(), ..Compare::default() };
        let cases = [
            (vec![], vec![put("a"), range(""), delete("b", "")], true),
            (vec![compare("")], vec![], true),
            (vec![compare("z")], vec![], false),
            (vec![], vec![put("a"), range("z")], false),
            (vec![], vec![delete("a", "z")], false),
            (vec![], vec![nested(vec![], vec![])], false),
            (vec![], vec![put("a"); BRIEF_OPS_MAX + 1], false),
        ];
        for (compare, failure, brief) in cases {
            let request = TxnRequest { compare, failure, ..TxnRequest::default() };
            assert_eq!(is_brief(&Body::Txn(request.clone())), brief, "{request:?}");
        }
    }

    #[test]
    fn a_branch_touches_each_key_once() {
        let twice = Err(Error::DuplicateKey);
        let cases = [
            (vec![put("a"), put("b")], Ok(())),
            (vec![put("a"), put("a")], twice.clone()),
            (vec![put("b"), delete("a", "c")], twice.clone()),
            (vec![put("c"), delete("a", "c")], Ok(())),
            (vec![delete("a", "c"), delete("b", "d")], Ok(())),
            (vec![delete("a", "\0"), put("b")], Ok(())),
            // Only one branch of a nested transaction runs.
            (vec![nested(vec![put("a")], vec![put("a")])], Ok(())),
            (vec![nested(vec![delete("a", "")], vec![put("a")])], Ok(())),
            (vec![nested(vec![put("a")], vec![]), put("a")], twice.clone()),
            (vec![nested(vec![], vec![put("a")]), nested(vec![put("a")], vec![])], twice.clone()),
            (vec![nested(vec![delete("a", "")], vec![]), put("a")], twice.clone()),
            (vec![delete("a", "b"), nested(vec![put("a")], vec![])], twice),
        ];
        for (ops, expected) in cases {
            assert_eq!(check(ops.clone()), expected, "{ops:?}");
        }
    }

    #[test]
    fn operations_are_counted_along_the_nesting() {
        let many = |n: usize| (0..n).map(|n| put(&n.to_string())).collect::<Vec<_>>();
        assert_eq!(check(many(TXN_OPS_MAX)), Ok(()));
        assert_eq!(check(many(TXN_OPS_MAX + 1)), Err(Error::TooManyOps));
        assert_eq!(check(vec![nested(many(TXN_OPS_MAX - 1), vec![])]), Ok(()));
        assert_eq!(check(vec![nested(many(TXN_OPS_MAX), vec![])]), Err(Error::TooManyOps));
    }

    #[test]
    fn what_passes_can_be_read_back_however_deep_it_is() {
        let nest = |depth| (1..depth).fold(vec![put("a")], |ops, _| vec![nested(ops, vec![])]);
        let txn = |depth| TxnRequest { success: nest(depth), ..TxnRequest::default() };
        let logged = |depth| Command { body: Some(Body::Txn(txn(depth))), ..Command::default() }.encode_to_vec();
        assert_eq!(validate_txn(&txn(TXN_DEPTH_MAX)), Ok(()));
        assert!(Command::decode(&*logged(TXN_DEPTH_MAX)).is_ok());
        assert_eq!(validate_txn(&txn(TXN_DEPTH_MAX + 1)), Err(Error::TooManyOps));
        // What the limit is for: some depth passes the port, and could not be read from the log.
        let fatal = (1..99).find(|depth| Command::decode(&*logged(*depth)).is_err()).unwrap();
        assert!(TxnRequest::decode(&*txn(fatal).encode_to_vec()).is_ok() && fatal > TXN_DEPTH_MAX, "{fatal}");
    }

    #[test]
    fn what_only_the_request_tells_is_refused_before_the_log() {
        let of = |put: PutRequest| validate(&Command { body: Some(Body::Put(put)), ..Command::default() });
        let key = Bytes::from_static(b"a");
        let valued = PutRequest { key: key.clone(), value: key.clone(), ignore_value: true, ..PutRequest::default() };
        let leased = PutRequest { key: key.clone(), lease: 1, ignore_lease: true, ..PutRequest::default() };
        let large = PutRequest { key: key.clone(), value: vec![0; REQUEST_BYTES_MAX].into(), ..PutRequest::default() };
        assert_eq!(of(PutRequest::default()), Err(Error::EmptyKey));
        assert_eq!(of(valued), Err(Error::ValueProvided));
        assert_eq!(of(leased), Err(Error::LeaseProvided));
        assert_eq!(of(large), Err(Error::RequestTooLarge));
        assert_eq!(
            validate_range(&RangeRequest { key: key.clone(), sort_order: 9, ..RangeRequest::default() }),
            Err(Error::InvalidSortOption)
        );
        let compare = vec![Compare::default()];
        assert_eq!(validate_txn(&TxnRequest { compare, ..TxnRequest::default() }), Err(Error::EmptyKey));
    }

    #[test]
    fn a_transaction_that_may_write_is_not_read_only() {
        let get = op(Request::RequestRange(RangeRequest { key: "a".into(), ..RangeRequest::default() }));
        let txn = |success, failure| TxnRequest { success, failure, ..TxnRequest::default() };
        assert!(is_read_only(&txn(vec![get.clone(), nested(vec![get.clone()], vec![])], vec![])));
        assert!(!is_read_only(&txn(vec![get.clone()], vec![nested(vec![], vec![put("a")])])));
        assert!(!is_read_only(&txn(vec![delete("a", "")], vec![get.clone()])));
        let old = RangeRequest { key: "a".into(), serializable: true, ..RangeRequest::default() };
        let old = op(Request::RequestRange(old));
        assert!(is_serializable(&txn(vec![old.clone(), nested(vec![old.clone()], vec![])], vec![])));
        assert!(!is_serializable(&txn(vec![old], vec![get])));
    }
}
