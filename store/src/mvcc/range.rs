//! Reading ranges of keys, at the current revision or an older one.
//!
//! At the current revision a page costs O(log n + page), its total count included. At an older one, a count costs the
//! number of changes since then or the size of the range, whichever is smaller.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proto::{
    etcdserverpb::{
        RangeRequest, RangeResponse, ResponseHeader,
        range_request::{SortOrder, SortTarget},
    },
    mvccpb::KeyValue,
};

use crate::{
    error::Error,
    mvcc::{Mvcc, revision::Record},
};

/// A set of keys as etcd writes it: one key, all keys from one on, or a half-open interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    start: Bytes,
    end: End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Single,
    Open,
    Before(Bytes),
}

impl KeyRange {
    /// The range of a request: an empty `range_end` means one key, a single zero byte means "and all after it".
    pub fn new(key: Bytes, range_end: Bytes) -> Self {
        let end = match &*range_end {
            [] => End::Single,
            [0] => End::Open,
            _ => End::Before(range_end),
        };
        Self { start: key, end }
    }

    /// Every key that starts with these bytes.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self { start: Bytes::copy_from_slice(prefix), end: prefix_end(prefix).map_or(End::Open, End::Before) }
    }

    /// The `range_end` of a request for it.
    pub(crate) fn requested_end(&self) -> Bytes {
        match &self.end {
            End::Single => Bytes::new(),
            End::Open => Bytes::from_static(&[0]),
            End::Before(end) => end.clone(),
        }
    }

    /// The key, if it is one only.
    pub(crate) fn single(&self) -> Option<&Bytes> {
        matches!(self.end, End::Single).then_some(&self.start)
    }

    /// What all its keys begin with, if it is all keys that begin so.
    pub(crate) fn as_prefix(&self) -> Option<&Bytes> {
        match &self.end {
            End::Before(end) if prefix_end(&self.start).as_ref() == Some(end) => Some(&self.start),
            _ => None,
        }
    }

    /// The part of it from this key on.
    pub(crate) fn from(self, start: &[u8]) -> Self {
        Self { start: Bytes::copy_from_slice(start), end: self.end }
    }

    /// Whether the key belongs to it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start <= key && self.is_before_end(key)
    }

    fn is_before_end(&self, key: &[u8]) -> bool {
        match &self.end {
            End::Single => key == self.start,
            End::Open => true,
            End::Before(end) => key < &**end,
        }
    }

    /// The ranks of the first key of it, and of the first key after it.
    fn ranks(&self, mvcc: &Mvcc) -> (usize, usize) {
        let from = mvcc.current.rank(&self.start, false);
        let to = match &self.end {
            End::Single => mvcc.current.rank(&self.start, true),
            End::Open => mvcc.current.len(),
            End::Before(end) => mvcc.current.rank(end, false).max(from),
        };
        (from, to)
    }
}

/// The end of the range of all keys with this prefix, unless that is the end of all keys.
fn prefix_end(prefix: &[u8]) -> Option<Bytes> {
    let keep = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=keep].to_vec();
    end[keep] += 1;
    Some(end.into())
}

impl Mvcc {
    /// How many keys of the range were live at the revision.
    pub(crate) fn count(&self, range: &KeyRange, revision: i64) -> usize {
        let (from, to) = range.ranks(self);
        let now = to - from;
        if revision >= self.revision {
            return now;
        }
        let changes = self.log.len() - self.log.rank(revision, true);
        if changes > now + self.past.len() {
            return self.iter_at(range, revision).count();
        }
        // The first change of a key since then knows whether the key was there.
        let mut was = BTreeMap::new();
        for batch in self.log.iter_from(revision + 1) {
            for event in batch.events.iter().filter(|event| range.contains(event.key())) {
                was.entry(&**event.key()).or_insert(event.previous.is_some());
            }
        }
        let gone = was.iter().filter(|(key, was)| **was && self.get(key).is_none()).count();
        let new = was.iter().filter(|(key, was)| !**was && self.get(key).is_some()).count();
        now + gone - new
    }

    /// The keys of the range that were live at the revision, in order.
    pub(crate) fn iter_at<'a>(
        &'a self,
        range: &'a KeyRange,
        revision: i64,
    ) -> Box<dyn Iterator<Item = &'a Arc<Record>> + 'a> {
        let current = self.current.iter_from(&range.start).map(|current| &current.0);
        let current = current.take_while(|record| range.is_before_end(&record.kv.key));
        if revision >= self.revision {
            return Box::new(current);
        }
        let current = current.filter(move |record| record.kv.mod_revision <= revision);
        Box::new(Merged { current: current.peekable(), past: self.past_live(range, revision).peekable() })
    }

    /// The keys of the range whose version at the revision has been superseded or deleted since.
    fn past_live<'a>(&'a self, range: &'a KeyRange, revision: i64) -> impl Iterator<Item = &'a Arc<Record>> + 'a {
        let mut next = self.past.iter_from((&range.start, 0, 0)).next();
        let keys = std::iter::from_fn(move || {
            let key = &next?.0.kv.key;
            let mut after = self.past.iter_from((key, i64::MAX, u32::MAX));
            next = after.next();
            Some(key).filter(|key| range.is_before_end(key))
        });
        keys.filter_map(move |key| {
            let record = self.past_at(key, revision).filter(|record| !record.tombstone)?;
            // The same version is not superseded if a newer one that is live now was there already.
            let superseded_since = self.get(key).is_none_or(|now| now.kv.mod_revision > revision);
            superseded_since.then_some(record)
        })
    }

    /// Answers a range request as etcd does. `header_revision` is the revision the answer tells.
    pub(crate) fn range(&self, request: &RangeRequest, header_revision: i64) -> Result<RangeResponse, Error> {
        let revision = if request.revision <= 0 { i64::MAX } else { self.readable(request.revision)? };
        let range = KeyRange::new(request.key.clone(), request.range_end.clone());
        let count = self.count(&range, revision);
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let mut response = RangeResponse {
            header: Some(ResponseHeader { revision: header_revision, ..ResponseHeader::default() }),
            count: i64::try_from(count).unwrap_or(i64::MAX),
            ..RangeResponse::default()
        };
        if request.count_only {
            return Ok(response);
        }
        let mut records = self.select(request, &range, revision, limit);
        response.more = records.len() > limit;
        records.truncate(limit);
        response.kvs = records.into_iter().map(|record| shown(&record.kv, request.keys_only)).collect();
        Ok(response)
    }

    /// What the request asks for, sorted, and at least one more than the limit where there is more.
    fn select<'a>(
        &'a self,
        request: &RangeRequest,
        range: &'a KeyRange,
        revision: i64,
        limit: usize,
    ) -> Vec<&'a Arc<Record>> {
        let filtered = request.min_mod_revision | request.max_mod_revision != 0
            || request.min_create_revision | request.max_create_revision != 0;
        let (order, target) = (request.sort_order(), request.sort_target());
        let by_key = target == SortTarget::Key;
        if !filtered && by_key && order != SortOrder::Descend {
            return self.iter_at(range, revision).take(limit.saturating_add(1)).collect();
        }
        if !filtered && by_key && revision >= self.revision {
            let (from, to) = range.ranks(self);
            let first = to.saturating_sub(limit.saturating_add(1)).max(from);
            let mut last: Vec<_> = self.current.iter_at(first).take(to - first).map(|current| &current.0).collect();
            last.reverse();
            return last;
        }
        let mut records: Vec<_> = self.iter_at(range, revision).filter(|record| admits(request, &record.kv)).collect();
        match target {
            SortTarget::Key => {}
            SortTarget::Version => records.sort_by_key(|record| record.kv.version),
            SortTarget::Create => records.sort_by_key(|record| record.kv.create_revision),
            SortTarget::Mod => records.sort_by_key(|record| record.kv.mod_revision),
            SortTarget::Value => records.sort_by(|a, b| a.kv.value.cmp(&b.kv.value)),
        }
        if order == SortOrder::Descend {
            records.reverse();
        }
        records
    }
}

fn admits(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within = |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

fn shown(kv: &KeyValue, keys_only: bool) -> KeyValue {
    let mut kv = kv.clone();
    if keys_only {
        kv.value = Bytes::new();
    }
    kv
}

/// Two ordered runs of distinct keys as one.
struct Merged<A: Iterator, B: Iterator> {
    current: std::iter::Peekable<A>,
    past: std::iter::Peekable<B>,
}

impl<'a, A, B> Iterator for Merged<A, B>
where
    A: Iterator<Item = &'a Arc<Record>>,
    B: Iterator<Item = &'a Arc<Record>>,
{
    type Item = &'a Arc<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        match (self.current.peek(), self.past.peek()) {
            (Some(a), Some(b)) if a.kv.key < b.kv.key => self.current.next(),
            (_, Some(_)) => self.past.next(),
            (_, None) => self.current.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_range_of_the_keys_that_start_with_it() {
        let cases: &[(&[u8], &[u8], bool)] = &[
            (b"a", b"a", true),
            (b"a", b"a\xff\xff", true),
            (b"a", b"b", false),
            (b"a\xff", b"a\xff\x01", true),
            (b"a\xff", b"b", false),
            (b"\xff\xff", b"\xff\xff\xff", true),
            (b"\xff\xff", b"\xff", false),
            (b"", b"anything", true),
        ];
        for (prefix, key, inside) in cases {
            assert_eq!(KeyRange::prefix(prefix).contains(key), *inside, "{prefix:?} {key:?}");
        }
        let single = KeyRange::new("a".into(), Bytes::new());
        assert!(single.contains(b"a") && !single.contains(b"a\0"));
        let open = KeyRange::new("b".into(), Bytes::from_static(&[0]));
        assert!(open.contains(b"z") && !open.contains(b"a"));
    }
}
