//! What arrives from a wire or a disk may be anything: it is refused or taken, but nothing panics, and little memory is
//! taken before it is known to be needed.
//!
//! Every run draws the same bytes. `KONTIKI_FUZZ_ROUNDS` looks further.

use bytes::{BufMut, Bytes, BytesMut};
use openraft::{Membership, raft::AppendEntriesRequest};
use prost::Message;
use proto::{
    etcdserverpb::{
        AlarmRequest, CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest,
        PutRequest, RangeRequest, RequestOp, TxnRequest, compare::TargetUnion, request_op::Request,
    },
    raftpb::{Command, HashCheck, SessionEnd, command::Body},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    command::validate,
    raft::{
        codec,
        type_config::{Entry, LogId, MemberInfo, Payload, Types, Vote},
    },
    rows::{Collector, Meta, Owner, RowCursor, decode_record},
    snapshot::{SnapshotSink, SnapshotSource},
    state_machine::StateMachine,
    view::View,
};

const OWNER: Owner = Owner { cluster_id: 1, member_id: 2 };

pub(crate) fn rounds(default: usize) -> usize {
    std::env::var("KONTIKI_FUZZ_ROUNDS").map_or(default, |text| text.parse().unwrap())
}

/// Changes something about the bytes: a bit, a few bytes, a length, an end, or all of them.
pub(crate) fn mutate(random: &mut SmallRng, bytes: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=bytes.len());
        let end = (at + random.random_range(0..9)).min(bytes.len());
        match random.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..end, [])),
            2 => bytes.insert(at, random.random()),
            3 => bytes[at..end].fill(0xff),
            4 => bytes[at..end].fill(0),
            5 => bytes[at..end].iter_mut().for_each(|byte| *byte = random.random()),
            6 => *bytes = (0..random.random_range(0..200)).map(|_| random.random()).collect(),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.random_range(0..8);
                }
            }
        }
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// A command of every kind, with numbers from the edges.
fn commands() -> Vec<Command> {
    let mut bodies = Vec::new();
    for number in [0, 1, -1, 3, i64::MAX, i64::MIN] {
        let put = PutRequest { key: "k".into(), value: "v".into(), lease: number, prev_kv: true, ..Default::default() };
        let range = RangeRequest {
            key: "a".into(),
            range_end: "z".into(),
            limit: number,
            revision: number,
            max_mod_revision: number,
            sort_order: 2,
            sort_target: 3,
            ..RangeRequest::default()
        };
        let delete = DeleteRangeRequest { key: "k".into(), range_end: "l".into(), prev_kv: true };
        let union = TargetUnion::ModRevision(number);
        let compare = Compare { key: "k".into(), target: 2, target_union: Some(union), ..Compare::default() };
        let nested =
            TxnRequest { success: vec![op(Request::RequestDeleteRange(delete.clone()))], ..Default::default() };
        let txn = TxnRequest {
            compare: vec![compare],
            success: vec![op(Request::RequestPut(put.clone())), op(Request::RequestRange(range))],
            failure: vec![op(Request::RequestTxn(nested))],
        };
        bodies.extend([
            Body::Put(put),
            Body::DeleteRange(delete),
            Body::Txn(txn),
            Body::Compaction(CompactionRequest { revision: number, physical: true }),
            Body::LeaseGrant(LeaseGrantRequest { id: number, ttl: number }),
            Body::LeaseRevoke(LeaseRevokeRequest { id: number }),
            Body::SessionEnd(SessionEnd { session: number.cast_unsigned() }),
            Body::HashCheck(HashCheck { index: number.cast_unsigned(), ..HashCheck::default() }),
            Body::Alarm(AlarmRequest { action: 1, member_id: number.cast_unsigned(), alarm: 2 }),
        ]);
    }
    let stamped = |(n, body): (u64, Body)| Command {
        session: n % 5,
        sequence: n.wrapping_mul(u64::MAX / 3),
        acknowledged_below: n,
        feature_level: 1,
        fence_term: None,
        body: Some(body),
    };
    (0..).zip(bodies).map(stamped).collect()
}

/// A state that holds some of everything.
fn state() -> StateMachine {
    let state = StateMachine::new();
    for (index, command) in (1..).zip(commands()) {
        state.apply(1, index, &command).unwrap();
    }
    state
}

#[test]
fn commands_of_any_bytes_are_applied_or_refused() {
    let mut random = SmallRng::seed_from_u64(1);
    let samples: Vec<_> = commands().iter().map(Message::encode_to_vec).collect();
    let state = state();
    let (mut index, mut decoded, mut passed) = (1000, 0, 0);
    for _ in 0..rounds(60_000) {
        let mut bytes = samples[random.random_range(0..samples.len())].clone();
        mutate(&mut random, &mut bytes);
        let Ok(command) = Command::decode(Bytes::from(bytes)) else { continue };
        decoded += 1;
        passed += usize::from(validate(&command).is_ok());
        index += 1;
        // Whatever stands in the log is applied, checked or not.
        let answer = state.apply(2, index, &command);
        assert!(answer.is_ok() || command.body.is_none() || command.feature_level > 1);
    }
    assert!(decoded > 5_000 && passed > 3_000, "{decoded} decoded, {passed} passed: too few to say anything");
}

#[test]
fn messages_between_members_of_any_bytes_are_refused() {
    let mut random = SmallRng::seed_from_u64(2);
    let member = MemberInfo { name: "a".into(), ..MemberInfo::default() };
    let membership = Membership::new(vec![[1].into()], std::collections::BTreeMap::from([(1, member)])).unwrap();
    let id = |index| LogId::new_term_index(3, index);
    let entries = vec![
        Entry { log_id: id(5), payload: openraft::EntryPayload::Blank },
        Entry { log_id: id(6), payload: openraft::EntryPayload::Normal(Payload(Bytes::from_static(b"command"))) },
        Entry { log_id: id(7), payload: openraft::EntryPayload::Membership(membership) },
    ];
    let request: AppendEntriesRequest<Types> = AppendEntriesRequest {
        vote: Vote::new_committed(3, 1),
        prev_log_id: Some(id(4)),
        entries,
        leader_commit: Some(id(2)),
    };
    let samples = [codec::encode_append(&request).unwrap().to_vec(), codec::encode_answer(&Ok(Some(id(9)))).to_vec()];
    let mut refused = 0;
    for _ in 0..rounds(60_000) {
        let mut bytes = samples[random.random_range(0..samples.len())].clone();
        mutate(&mut random, &mut bytes);
        let bytes = Bytes::from(bytes);
        if let Ok(request) = codec::decode_append(bytes.clone()) {
            assert!(request.entries.capacity() <= bytes.len(), "room was made for more than there can be");
        } else {
            refused += 1;
        }
        drop(codec::decode_answer(bytes));
    }
    assert!(refused > 10_000, "{refused}");
}

fn rows_of(view: &View) -> Vec<u8> {
    let (mut cursor, mut rows) = (RowCursor::default(), Vec::new());
    while cursor.fill(view.state(), &mut rows, usize::MAX) > 0 {}
    rows
}

#[test]
fn rows_of_any_bytes_make_a_state_or_none() {
    let mut random = SmallRng::seed_from_u64(3);
    let view = state().view();
    let meta = Meta::of(view.state(), OWNER).encode();
    let mut rest = Bytes::from(rows_of(&view));
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let length = bytes::Buf::get_u32(&mut rest) as usize;
        rows.push(rest.split_to(length).to_vec());
    }
    assert!(rows.len() > 20);
    let mut made = 0;
    for _ in 0..rounds(3_000) {
        let mut changed = meta.clone();
        if random.random_range(0..4) == 0 {
            mutate(&mut random, &mut changed);
        }
        let Ok(meta) = Meta::decode(changed.into()) else { continue };
        let mut collector = Collector::default();
        for row in &rows {
            let mut row = row.clone();
            if random.random_range(0..10) == 0 {
                mutate(&mut random, &mut row);
            }
            let mut row = Bytes::from(row);
            drop(decode_record(row.clone()));
            if !row.is_empty() {
                let tag = bytes::Buf::get_u8(&mut row);
                drop(collector.add(tag, row));
            }
        }
        made += usize::from(collector.finish(meta).is_ok());
    }
    assert!(made > 0, "not even what was left as it was made a state");
}

/// A part of a snapshot with sums that are right, whatever it holds.
fn block(raw: &[u8], told: usize) -> Vec<u8> {
    let packed = zstd::bulk::compress(raw, 1).unwrap();
    let mut to = BytesMut::new();
    to.put_u8(1);
    to.put_u32(u32::try_from(told).unwrap());
    to.put_u32(u32::try_from(packed.len()).unwrap());
    to.put_u32(crc32fast::hash(&packed));
    to.put_slice(&packed);
    to.to_vec()
}

#[test]
fn snapshots_of_any_bytes_are_refused() {
    let mut random = SmallRng::seed_from_u64(4);
    let view = state().view();
    let whole: Vec<Vec<u8>> = SnapshotSource::new(view.clone(), OWNER).map(|part| part.unwrap().to_vec()).collect();
    let rows = rows_of(&view);
    // Unpacks to far more than it says, and than a part may hold.
    let bomb = block(&vec![0; 4 << 20], 1 << 18);
    for _ in 0..rounds(1_000) {
        let mut stream = match random.random_range(0..3) {
            0 => whole.concat(),
            // The sums are right: what they protect is not.
            1 => {
                let mut rows = rows.clone();
                mutate(&mut random, &mut rows);
                [whole[0].clone(), block(&rows, rows.len()), whole[whole.len() - 1].clone()].concat()
            }
            _ => [whole[0].clone(), bomb.clone()].concat(),
        };
        if random.random_range(0..2) == 0 {
            mutate(&mut random, &mut stream);
        }
        let mut sink = SnapshotSink::new(OWNER.cluster_id);
        let taken = stream.chunks(random.random_range(1..5000)).try_for_each(|piece| sink.push(piece));
        let restored = taken.and_then(|()| sink.finish());
        assert_eq!(restored.is_ok(), stream == whole.concat(), "only what was written is taken");
    }
}
