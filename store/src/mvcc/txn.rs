//! Puts, deletions and transactions, as one revision each.
//!
//! As in etcd, the compares of a transaction, nested ones included, look at the state before it; whatever can fail is
//! checked before the first change; a range inside it sees the changes before it.

use std::{cmp::Ordering, sync::Arc};

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        Compare, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
        RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
        compare::{CompareResult, CompareTarget, TargetUnion},
        request_op::Request,
        response_op::Response,
    },
    mvccpb::KeyValue,
};

use crate::{
    error::Error,
    lease::Leases,
    mvcc::{Mvcc, Value, Writer, range::KeyRange, revision::Record},
};

/// Sets one key.
pub(crate) fn put(mvcc: &mut Mvcc, leases: &mut Leases, request: &PutRequest) -> Result<PutResponse, Error> {
    check_put(mvcc, leases, request)?;
    let mut change = Change { writer: mvcc.write(), leases, before: None };
    let mut response = change.put(request);
    response.header = header(change.writer.finish());
    Ok(response)
}

/// Deletes the keys of one range.
pub(crate) fn delete_range(mvcc: &mut Mvcc, leases: &mut Leases, request: &DeleteRangeRequest) -> DeleteRangeResponse {
    let mut change = Change { writer: mvcc.write(), leases, before: None };
    let mut response = change.delete_range(request);
    response.header = header(change.writer.finish());
    response
}

/// Runs a transaction.
pub(crate) fn txn(mvcc: &mut Mvcc, leases: &mut Leases, request: &TxnRequest) -> Result<TxnResponse, Error> {
    let path = Path::of(mvcc, request);
    check_ops(mvcc, leases, path.ops(request), &path)?;
    let before = reads_the_past(path.ops(request), &path).then(|| mvcc.clone());
    let mut change = Change { writer: mvcc.write(), leases, before };
    let mut response = change.txn(request, &path)?;
    response.header = header(change.writer.finish());
    Ok(response)
}

/// Answers a transaction that changes nothing, from a key space that nobody changes.
pub(crate) fn read_only(mvcc: &Mvcc, request: &TxnRequest) -> Result<TxnResponse, Error> {
    let mut copy = mvcc.clone();
    txn(&mut copy, &mut Leases::default(), request)
}

#[allow(clippy::unnecessary_wraps, reason = "the shape every response field has")]
fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

/// Which branch a transaction takes, and each transaction nested in that branch, in order.
struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

impl Path {
    fn of(mvcc: &Mvcc, request: &TxnRequest) -> Self {
        let succeeded = request.compare.iter().all(|compare| holds(mvcc, compare));
        let mut path = Self { succeeded, nested: Vec::new() };
        let nested = path.ops(request).iter().filter_map(|op| match &op.request {
            Some(Request::RequestTxn(nested)) => Some(Self::of(mvcc, nested)),
            _ => None,
        });
        path.nested = nested.collect();
        path
    }

    fn ops<'a>(&self, request: &'a TxnRequest) -> &'a [RequestOp] {
        if self.succeeded { &request.success } else { &request.failure }
    }
}

fn holds(mvcc: &Mvcc, compare: &Compare) -> bool {
    if compare.range_end.is_empty() {
        return match mvcc.get(&compare.key) {
            Some(record) => matches(compare, &record.kv),
            None => matches_missing(compare),
        };
    }
    let range = KeyRange::new(compare.key.clone(), compare.range_end.clone());
    let mut records = mvcc.iter_at(&range, i64::MAX).peekable();
    if records.peek().is_none() {
        return matches_missing(compare);
    }
    records.all(|record| matches(compare, &record.kv))
}

/// A key that does not exist has version and revisions 0, and no value at all, not even an empty one.
fn matches_missing(compare: &Compare) -> bool {
    compare.target() != CompareTarget::Value && matches(compare, &KeyValue::default())
}

fn matches(compare: &Compare, kv: &KeyValue) -> bool {
    let union = &compare.target_union;
    let number = |actual: i64, pick: fn(&TargetUnion) -> Option<i64>| {
        actual.cmp(&union.as_ref().and_then(pick).unwrap_or_default())
    };
    let ordering = match compare.target() {
        CompareTarget::Version => {
            number(kv.version, |union| if let TargetUnion::Version(n) = union { Some(*n) } else { None })
        }
        CompareTarget::Create => {
            number(kv.create_revision, |union| if let TargetUnion::CreateRevision(n) = union { Some(*n) } else { None })
        }
        CompareTarget::Mod => {
            number(kv.mod_revision, |union| if let TargetUnion::ModRevision(n) = union { Some(*n) } else { None })
        }
        CompareTarget::Lease => {
            number(kv.lease, |union| if let TargetUnion::Lease(n) = union { Some(*n) } else { None })
        }
        CompareTarget::Value => {
            let value = if let Some(TargetUnion::Value(value)) = union { &**value } else { &[] };
            (*kv.value).cmp(value)
        }
    };
    match compare.result() {
        CompareResult::Equal => ordering == Ordering::Equal,
        CompareResult::Greater => ordering == Ordering::Greater,
        CompareResult::Less => ordering == Ordering::Less,
        CompareResult::NotEqual => ordering != Ordering::Equal,
    }
}

/// Calls the function for each plain operation that will run.
fn each_op<'a>(ops: &'a [RequestOp], path: &Path, visit: &mut impl FnMut(&'a Request)) {
    let mut paths = path.nested.iter();
    for request in ops.iter().filter_map(|op| op.request.as_ref()) {
        match request {
            Request::RequestTxn(nested) => {
                if let Some(path) = paths.next() {
                    each_op(path.ops(nested), path, visit);
                }
            }
            Request::RequestRange(_) | Request::RequestPut(_) | Request::RequestDeleteRange(_) => visit(request),
        }
    }
}

fn check_ops(mvcc: &Mvcc, leases: &Leases, ops: &[RequestOp], path: &Path) -> Result<(), Error> {
    let mut result = Ok(());
    each_op(ops, path, &mut |request| {
        let checked = match request {
            Request::RequestPut(put) => check_put(mvcc, leases, put),
            // As in etcd, where a range of its own takes a negative revision for the current one.
            Request::RequestRange(range) if range.revision < 0 => {
                Err(Error::Compacted { compact_revision: mvcc.compacted })
            }
            Request::RequestRange(range) => mvcc.readable(range.revision).map(|_| ()),
            Request::RequestDeleteRange(_) | Request::RequestTxn(_) => Ok(()),
        };
        if result.is_ok() {
            result = checked;
        }
    });
    result
}

fn check_put(mvcc: &Mvcc, leases: &Leases, request: &PutRequest) -> Result<(), Error> {
    if request.lease != 0 && leases.get(request.lease).is_none() {
        return Err(Error::LeaseNotFound);
    }
    if (request.ignore_value || request.ignore_lease) && mvcc.get(&request.key).is_none() {
        return Err(Error::KeyNotFound);
    }
    Ok(())
}

fn reads_the_past(ops: &[RequestOp], path: &Path) -> bool {
    let mut found = false;
    each_op(ops, path, &mut |request| {
        found |= matches!(request, Request::RequestRange(range) if range.revision > 0);
    });
    found
}

/// One revision in the making, and the leases its keys hang on.
struct Change<'a> {
    writer: Writer<'a>,
    leases: &'a mut Leases,
    /// The state before, for ranges that name a revision.
    before: Option<Mvcc>,
}

impl Change<'_> {
    fn put(&mut self, request: &PutRequest) -> PutResponse {
        let old = self.writer.mvcc.get(&request.key).cloned();
        let old_lease = old.as_ref().map_or(0, |record| record.kv.lease);
        let lease = if request.ignore_lease { old_lease } else { request.lease };
        let value = match &old {
            Some(record) if request.ignore_value => Value::Same(record.kv.value.clone()),
            _ => Value::New(&request.value),
        };
        let record = self.writer.put(&request.key, value, lease, old.clone());
        if lease != old_lease {
            self.leases.detach(old_lease, &record.kv.key);
            self.leases.attach(lease, record.kv.key.clone());
        }
        let prev_kv = old.filter(|_| request.prev_kv).map(|record| record.kv.clone());
        PutResponse { header: header(self.writer.revision()), prev_kv }
    }

    fn delete_range(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let gone = if request.range_end.is_empty() {
            self.delete(&request.key).into_iter().collect::<Vec<_>>()
        } else {
            let range = KeyRange::new(request.key.clone(), request.range_end.clone());
            let keys: Vec<Bytes> =
                self.writer.mvcc.iter_at(&range, i64::MAX).map(|record| record.kv.key.clone()).collect();
            keys.iter().filter_map(|key| self.delete(key)).collect()
        };
        let deleted = i64::try_from(gone.len()).unwrap_or(i64::MAX);
        let shown = gone.iter().filter(|_| request.prev_kv);
        let prev_kvs = shown.map(|record| record.kv.clone()).collect();
        DeleteRangeResponse { header: header(self.writer.revision()), deleted, prev_kvs }
    }

    fn delete(&mut self, key: &[u8]) -> Option<Arc<Record>> {
        let record = self.writer.delete(key)?;
        self.leases.detach(record.kv.lease, &record.kv.key);
        Some(record)
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        let mvcc = self.before.as_ref().filter(|_| request.revision > 0).unwrap_or(self.writer.mvcc);
        mvcc.range(request, self.writer.revision())
    }

    fn txn(&mut self, request: &TxnRequest, path: &Path) -> Result<TxnResponse, Error> {
        let mut nested = path.nested.iter();
        let mut responses = Vec::new();
        for op in path.ops(request) {
            let response = match &op.request {
                Some(Request::RequestPut(put)) => Some(Response::ResponsePut(self.put(put))),
                Some(Request::RequestDeleteRange(range)) => {
                    Some(Response::ResponseDeleteRange(self.delete_range(range)))
                }
                Some(Request::RequestRange(range)) => Some(Response::ResponseRange(self.range(range)?)),
                Some(Request::RequestTxn(txn)) => match nested.next() {
                    Some(path) => Some(Response::ResponseTxn(self.txn(txn, path)?)),
                    None => None,
                },
                None => None,
            };
            responses.push(ResponseOp { response });
        }
        Ok(TxnResponse { header: header(self.writer.revision()), succeeded: path.succeeded, responses })
    }
}

/// Deletes keys because their lease ended: one revision for all of them.
pub(crate) fn delete_keys(mvcc: &mut Mvcc, keys: &[Bytes]) -> i64 {
    let mut writer = mvcc.write();
    for key in keys {
        writer.delete(key);
    }
    writer.finish()
}
