use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::{
    etcdserverpb::{
        CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
        RangeRequest, RangeResponse, RequestOp, TxnRequest,
        compare::{CompareResult, CompareTarget, TargetUnion},
        range_request::{SortOrder, SortTarget},
        request_op::Request,
    },
    raftpb::command_response::Body as Answer,
};

use super::*;
use crate::{
    Event,
    checkpoint::{self, Memory},
    rows::Owner,
    snapshot::{SnapshotSink, SnapshotSource},
    watch::{Step, WatchItem},
};

mod checkpoints;
mod model;
mod watching;

const OWNER: Owner = Owner { cluster_id: 7, member_id: 9 };

fn put(key: &str, value: &str) -> command::Body {
    command::Body::Put(PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..PutRequest::default()
    })
}

fn delete(key: &str, end: &str) -> command::Body {
    let range = DeleteRangeRequest { key: key.to_owned().into(), range_end: end.to_owned().into(), prev_kv: true };
    command::Body::DeleteRange(range)
}

fn op(body: command::Body) -> RequestOp {
    let request = match body {
        command::Body::Put(put) => Request::RequestPut(put),
        command::Body::DeleteRange(range) => Request::RequestDeleteRange(range),
        command::Body::Txn(txn) => Request::RequestTxn(txn),
        other => panic!("{other:?} is no operation of a transaction"),
    };
    RequestOp { request: Some(request) }
}

fn get(key: &str) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestRange(RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() })),
    }
}

fn compact(revision: i64) -> command::Body {
    command::Body::Compaction(CompactionRequest { revision, physical: false })
}

fn grant(id: i64) -> command::Body {
    command::Body::LeaseGrant(LeaseGrantRequest { ttl: 10, id })
}

/// A machine and the log it has applied.
#[derive(Default)]
struct Bench {
    machine: StateMachine,
    index: u64,
}

impl Bench {
    fn run(&mut self, body: command::Body) -> Result<Answer, Error> {
        self.run_command(Command { body: Some(body), ..Command::default() })
    }

    fn run_command(&mut self, command: Command) -> Result<Answer, Error> {
        self.index += 1;
        match self.machine.apply(1, self.index, &command).unwrap().body.unwrap() {
            Answer::Error(error) => Err(error.into()),
            body => Ok(body),
        }
    }

    fn texts(&self, revision: i64) -> String {
        let request = all(revision);
        match self.machine.view().range(&request) {
            Ok(response) => shown(&response),
            Err(error) => error.to_string(),
        }
    }
}

fn all(revision: i64) -> RangeRequest {
    RangeRequest { key: vec![0].into(), range_end: vec![0].into(), revision, ..RangeRequest::default() }
}

fn shown(response: &RangeResponse) -> String {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let kvs: Vec<_> = response.kvs.iter().map(|kv| format!("{}={}", text(&kv.key), text(&kv.value))).collect();
    kvs.join(" ")
}

#[test]
fn each_change_is_one_revision_and_a_miss_is_none() {
    let mut bench = Bench::default();
    assert_eq!(bench.machine.view().revision(), 1);
    bench.run(put("a", "1")).unwrap();
    bench.run(put("b", "2")).unwrap();
    assert_eq!(bench.machine.view().revision(), 3);
    bench.run(delete("x", "")).unwrap();
    assert_eq!(bench.machine.view().revision(), 3);
    let Answer::DeleteRange(gone) = bench.run(delete("a", "z")).unwrap() else { panic!() };
    assert_eq!((gone.deleted, gone.prev_kvs.len(), gone.header.unwrap().revision), (2, 2, 4));
    assert_eq!((bench.texts(3), bench.texts(2), bench.texts(0)), ("a=1 b=2".into(), "a=1".into(), String::new()));
    assert_eq!(bench.texts(5), Error::FutureRevision.to_string());
    let kv = bench.machine.view().get_at(b"b", 3).unwrap().unwrap();
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (3, 3, 1));
}

#[test]
fn what_a_reader_holds_does_not_change() {
    let mut bench = Bench::default();
    let now = |view: &View| shown(&view.range(&all(0)).unwrap());
    let mut told = Vec::new();
    // Every third view is held, so that some changes are made in place and some on a copy.
    for round in 0..60 {
        let body = match round % 4 {
            3 => delete("k1", "k3"),
            _ => put(&format!("k{}", round % 7), &round.to_string()),
        };
        bench.run(body).unwrap();
        if round % 3 == 0 {
            let view = bench.machine.view();
            told.push((now(&view), view.hash(), view));
        }
    }
    for (text, hash, view) in told {
        assert_eq!((now(&view), view.hash()), (text, hash));
    }
}

#[test]
fn entries_are_applied_together_as_long_as_readers_may_wait_for_it() {
    let value = "v".repeat(BRIEF_BYTES_MAX / 2);
    let (small, large, range) = (put("k", "v"), put("k", &value), delete("a", "z"));
    for (bodies, expected) in [
        (vec![&small; 3], vec![(3, true)]),
        (vec![&small; BRIEF_ENTRIES_MAX + 1], vec![(BRIEF_ENTRIES_MAX, true), (1, true)]),
        (vec![&small, &range, &range, &small], vec![(1, true), (2, false), (1, true)]),
        (vec![&large, &large, &small], vec![(1, true), (2, true)]),
    ] {
        let commands: Vec<_> =
            bodies.into_iter().map(|body| Command { body: Some(body.clone()), ..Command::default() }).collect();
        let entries: Vec<_> = commands.iter().map(|command| (Position::default(), command)).collect();
        let (mut rest, mut portions) = (&entries[..], Vec::new());
        while !rest.is_empty() {
            let (together, brief) = portion(rest);
            portions.push((together, brief));
            rest = &rest[together..];
        }
        assert_eq!(portions, expected);
    }
}

#[test]
fn a_transaction_reads_its_own_writes_and_compares_the_state_before() {
    let mut bench = Bench::default();
    bench.run(put("a", "1")).unwrap();
    let missing = Compare {
        key: "n".into(),
        target: CompareTarget::Version.into(),
        target_union: Some(TargetUnion::Version(0)),
        ..Compare::default()
    };
    let nested = TxnRequest {
        compare: vec![missing.clone()],
        success: vec![op(put("m", "nested"))],
        failure: vec![op(put("m", "wrong"))],
    };
    let txn = TxnRequest {
        compare: vec![missing],
        success: vec![op(put("n", "new")), get("n"), op(command::Body::Txn(nested)), op(delete("a", "")), get("a")],
        failure: vec![],
    };
    let Answer::Txn(answer) = bench.run(command::Body::Txn(txn)).unwrap() else { panic!() };
    assert!(answer.succeeded);
    let ranges = answer.responses.iter().filter_map(|response| match &response.response {
        Some(proto::etcdserverpb::response_op::Response::ResponseRange(range)) => Some(shown(range)),
        _ => None,
    });
    assert_eq!(ranges.collect::<Vec<_>>(), ["n=new", ""]);
    assert_eq!((bench.texts(0), bench.machine.view().revision()), ("m=nested n=new".into(), 3));
}

#[test]
fn a_compare_of_a_value_never_holds_for_a_missing_key() {
    let compare = |result: CompareResult, target: CompareTarget, union| Compare {
        key: "no".into(),
        result: result.into(),
        target: target.into(),
        target_union: Some(union),
        ..Compare::default()
    };
    let cases = [
        (compare(CompareResult::Equal, CompareTarget::Value, TargetUnion::Value(Bytes::new())), false),
        (compare(CompareResult::NotEqual, CompareTarget::Value, TargetUnion::Value("x".into())), false),
        (compare(CompareResult::Equal, CompareTarget::Mod, TargetUnion::ModRevision(0)), true),
        (compare(CompareResult::Less, CompareTarget::Create, TargetUnion::CreateRevision(1)), true),
        (compare(CompareResult::Greater, CompareTarget::Lease, TargetUnion::Lease(0)), false),
    ];
    for (compare, holds) in cases {
        let txn = TxnRequest { compare: vec![compare.clone()], ..TxnRequest::default() };
        assert_eq!(StateMachine::new().view().txn(&txn).unwrap().succeeded, holds, "{compare:?}");
    }
}

#[test]
fn a_failing_operation_changes_nothing() {
    let mut bench = Bench::default();
    bench.run(put("a", "1")).unwrap();
    let hang = PutRequest { key: "b".into(), lease: 99, ..PutRequest::default() };
    let txn = TxnRequest { success: vec![op(put("a", "2")), op(command::Body::Put(hang))], ..TxnRequest::default() };
    assert_eq!(bench.run(command::Body::Txn(txn)).unwrap_err(), Error::LeaseNotFound);
    let keep = PutRequest { key: "b".into(), ignore_value: true, ..PutRequest::default() };
    assert_eq!(bench.run(command::Body::Put(keep)).unwrap_err(), Error::KeyNotFound);
    assert_eq!((bench.texts(0), bench.machine.view().revision()), ("a=1".into(), 2));
}

#[test]
fn keys_go_with_their_lease_in_one_revision() {
    let mut bench = Bench::default();
    bench.run(grant(5)).unwrap();
    assert_eq!(bench.run(grant(5)).unwrap_err(), Error::LeaseExists);
    for key in ["a", "b", "c"] {
        let put = PutRequest { key: key.into(), value: "x".into(), lease: 5, ..PutRequest::default() };
        bench.run(command::Body::Put(put)).unwrap();
    }
    bench.run(put("b", "free")).unwrap();
    let keep = PutRequest { key: "c".into(), value: "kept".into(), ignore_lease: true, ..PutRequest::default() };
    bench.run(command::Body::Put(keep)).unwrap();
    assert_eq!(bench.machine.view().lease_keys(5), ["a", "c"]);
    bench.run(command::Body::LeaseRevoke(LeaseRevokeRequest { id: 5 })).unwrap();
    assert_eq!((bench.texts(0), bench.machine.view().revision()), ("b=free".into(), 7));
    let again = bench.run(command::Body::LeaseRevoke(LeaseRevokeRequest { id: 5 }));
    assert_eq!(again.unwrap_err(), Error::LeaseNotFound);
}

#[test]
fn a_repeated_stamp_gets_the_first_answer() {
    let mut bench = Bench::default();
    let stamped = |sequence, acknowledged_below| Command {
        session: 3,
        sequence,
        acknowledged_below,
        body: Some(put("a", "1")),
        ..Command::default()
    };
    let first = bench.run_command(stamped(1, 0)).unwrap();
    assert_eq!(bench.run_command(stamped(1, 0)).unwrap(), first);
    assert_eq!(bench.machine.view().revision(), 2);
    bench.run_command(stamped(2, 2)).unwrap();
    assert_eq!(bench.run_command(stamped(1, 0)).unwrap_err(), Error::AnswerForgotten);
    assert_eq!(bench.machine.view().revision(), 3);
}

#[test]
fn a_session_keeps_a_bounded_number_of_answers() {
    let mut bench = Bench::default();
    let stamped = |sequence| Command { session: 3, sequence, body: Some(put("a", "1")), ..Command::default() };
    let max = u64::try_from(crate::ANSWERS_PER_SESSION_MAX).unwrap();
    for sequence in 1..=max + 1 {
        bench.run_command(stamped(sequence)).unwrap();
    }
    assert_eq!(bench.run_command(stamped(1)).unwrap_err(), Error::AnswerForgotten);
    bench.run_command(stamped(2)).unwrap();
    assert_eq!(bench.machine.view().revision(), crate::ANSWERS_PER_SESSION_MAX as i64 + 2);
}

#[test]
fn a_deposed_leaders_write_is_refused() {
    let mut bench = Bench::default();
    let fenced = |term| Command { fence_term: Some(term), body: Some(put("a", "1")), ..Command::default() };
    assert_eq!(bench.run_command(fenced(9)).unwrap_err(), Error::Fenced { term: 1 });
    bench.run_command(fenced(1)).unwrap();
}

#[test]
fn an_unknown_command_stops_the_member() {
    let machine = StateMachine::new();
    assert_eq!(machine.apply(1, 4, &Command::default()).unwrap_err(), Fatal::UnknownCommand { index: 4 });
    let newer = Command { feature_level: FEATURE_LEVEL + 1, body: Some(put("a", "1")), ..Command::default() };
    let level = FEATURE_LEVEL + 1;
    assert_eq!(machine.apply(1, 4, &newer).unwrap_err(), Fatal::FeatureLevel { index: 4, level });
}

#[test]
fn an_alarm_for_space_lets_only_deletions_pass() {
    let mut bench = Bench::default();
    bench.run(put("a", "1")).unwrap();
    let alarm = |action: AlarmAction| {
        command::Body::Alarm(AlarmRequest { action: action.into(), member_id: 1, alarm: AlarmType::Nospace.into() })
    };
    bench.run(alarm(AlarmAction::Activate)).unwrap();
    assert_eq!(bench.run(put("a", "2")).unwrap_err(), Error::NoSpace);
    bench.run(delete("a", "")).unwrap();
    bench.run(alarm(AlarmAction::Deactivate)).unwrap();
    bench.run(put("a", "2")).unwrap();
}

#[test]
fn members_that_differ_find_out() {
    let (mut one, mut other) = (Bench::default(), Bench::default());
    let check = |bench: &mut Bench, check| bench.run(command::Body::HashCheck(check)).unwrap();
    one.run(put("a", "1")).unwrap();
    other.run(put("a", "2")).unwrap();
    let first = one.machine.hash_check();
    check(&mut one, first);
    check(&mut other, first);
    assert!(!other.machine.is_corrupt());
    let second = one.machine.hash_check();
    check(&mut one, second);
    check(&mut other, second);
    assert!(other.machine.is_corrupt() && !one.machine.is_corrupt());
}

fn restored(machine: &StateMachine) -> StateMachine {
    let mut sink = SnapshotSink::new(OWNER.cluster_id);
    let stream: Vec<u8> = SnapshotSource::new(machine.view(), OWNER).flat_map(|block| block.unwrap()).collect();
    for piece in stream.chunks(1000) {
        sink.push(piece).unwrap();
    }
    let copy = StateMachine::new();
    copy.install(sink.finish().unwrap());
    copy
}

#[test]
fn a_damaged_snapshot_is_never_installed() {
    let mut bench = Bench::default();
    bench.run(put("a", "1")).unwrap();
    let stream: Vec<u8> = SnapshotSource::new(bench.machine.view(), OWNER).flat_map(|block| block.unwrap()).collect();
    for at in 0..stream.len() {
        let mut damaged = stream.clone();
        damaged[at] ^= 1;
        let mut sink = SnapshotSink::new(OWNER.cluster_id);
        assert!(sink.push(&damaged).and_then(|()| sink.finish()).is_err(), "a changed byte at {at} went unnoticed");
        let mut sink = SnapshotSink::new(OWNER.cluster_id);
        assert!(sink.push(&stream[..at]).and_then(|()| sink.finish()).is_err(), "{at} bytes passed for the whole");
    }
}

/// What every copy of a state must agree on.
fn assert_same(a: &StateMachine, b: &StateMachine) {
    let (a, b) = (a.view(), b.view());
    assert_eq!((a.revision(), a.compacted(), a.hash(), a.bytes()), (b.revision(), b.compacted(), b.hash(), b.bytes()));
    assert_eq!((a.position(), a.leases(), a.membership()), (b.position(), b.leases(), b.membership()));
    let events = |view: &View| -> Vec<_> {
        let log = &view.state().mvcc.log;
        log.iter().flat_map(|batch| batch.events.iter().cloned()).collect()
    };
    assert_eq!(events(&a), events(&b));
    for revision in a.compacted().max(1)..=a.revision() {
        assert_eq!(a.range(&all(revision)), b.range(&all(revision)));
    }
    let answers = |view: &View| -> Vec<_> {
        view.state().sessions.answers.iter().map(|answer| (answer.sequence, answer.response.clone())).collect()
    };
    assert_eq!(answers(&a), answers(&b));
}

#[test]
fn a_long_history_is_forgotten_bit_by_bit() {
    let mut bench = Bench::default();
    for n in 0..1000 {
        bench.run(put(&format!("k{}", n % 10), &n.to_string())).unwrap();
    }
    let full = bench.machine.view().bytes();
    bench.run(compact(1001)).unwrap();
    assert_eq!(bench.texts(1000), Error::Compacted { compact_revision: 1001 }.to_string());
    for _ in 0..20 {
        bench.run(delete("none", "")).unwrap();
    }
    let view = bench.machine.view();
    assert!(view.bytes() < full / 50, "{} of {full} bytes left", view.bytes());
    assert_eq!((view.state().mvcc.past.len(), view.state().mvcc.log.len()), (0, 1));
    assert_eq!(bench.run(compact(1001)).unwrap_err(), Error::Compacted { compact_revision: 1001 });
    assert_eq!(bench.run(compact(1002)).unwrap_err(), Error::FutureRevision);
}
