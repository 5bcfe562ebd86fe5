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
    check_txn(request, TXN_OPS_MAX)?;
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

fn check_txn(request: &TxnRequest, ops_max: usize) -> Result<(), Error> {
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
            Some(Request::RequestTxn(nested)) => check_txn(nested, ops_left)?,
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
        if let Some(Request::RequestDeleteRange(delete)) = &op.request {
            touched.deletes.push(KeyRange::new(delete.key.clone(), delete.range_end.clone()));
        }
    }
    for op in ops {
        if let Some(Request::RequestTxn(nested)) = &op.request {
            let (mut then, other) = (check_overlaps(&nested.success)?, check_overlaps(&nested.failure)?);
            for key in &then.puts {
                touched.put(key)?;
            }
            touched.deletes.append(&mut then.deletes);
            // Only one of the branches runs: both may put the same key.
            for key in other.puts.into_iter().filter(|key| !then.puts.contains(*key)) {
                touched.put(key)?;
            }
            touched.deletes.extend(other.deletes);
        }
    }
    for op in ops {
        if let Some(Request::RequestPut(put)) = &op.request {
            touched.put(&put.key)?;
        }
    }
    Ok(touched)
}
