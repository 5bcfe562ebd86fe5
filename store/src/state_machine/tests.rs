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
    world::RealDisk,
};

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

#[test]
fn a_watch_reads_the_past_and_goes_on_with_the_present() {
    let mut bench = Bench::default();
    for n in 0..5 {
        bench.run(put("a", &n.to_string())).unwrap();
        bench.run(put("z", "other")).unwrap();
    }
    let mut watch = bench.machine.watch(WatchRange { key: "a".into(), start_revision: 4, ..WatchRange::default() });
    let revisions = |step: Step| match step {
        Step::Events(batch) => batch.events.iter().map(Event::revision).collect(),
        Step::Behind | Step::Idle => Vec::new(),
    };
    assert_eq!(revisions(watch.step().unwrap()), [4, 6, 8, 10]);
    assert_eq!(watch.reached(), 11);
    bench.run(delete("a", "")).unwrap();
    let Step::Events(batch) = watch.step().unwrap() else { panic!() };
    assert_eq!(batch.events[0].to_proto(true).prev_kv.unwrap().value, "4");
    assert!(batch.events[0].is_delete());
    assert!(revisions(watch.step().unwrap()).is_empty());
    let mut future = bench.machine.watch(WatchRange { key: "a".into(), start_revision: 14, ..WatchRange::default() });
    bench.run(put("a", "13")).unwrap();
    assert!(revisions(future.step().unwrap()).is_empty());
    bench.run(put("a", "14")).unwrap();
    assert_eq!(revisions(future.step().unwrap()), [14]);
}

#[test]
fn a_watch_that_a_compaction_overtakes_ends() {
    let mut bench = Bench::default();
    for n in 0..5 {
        bench.run(put("a", &n.to_string())).unwrap();
    }
    let mut slow = bench.machine.watch(WatchRange { key: "a".into(), start_revision: 3, ..WatchRange::default() });
    let mut at = bench.machine.watch(WatchRange { key: "a".into(), start_revision: 4, ..WatchRange::default() });
    bench.run(compact(4)).unwrap();
    assert_eq!(slow.step().unwrap_err(), Error::Compacted { compact_revision: 4 });
    let Step::Events(batch) = at.step().unwrap() else { panic!() };
    assert_eq!(batch.events.len(), 3);
}

#[tokio::test]
async fn a_waiting_watch_is_woken_and_told_when_the_store_stops() {
    let mut bench = Bench::default();
    let mut watch = bench.machine.watch(WatchRange { key: "a".into(), ..WatchRange::default() });
    let waiting = tokio::spawn(async move {
        let first = watch.next().await;
        (first, watch.next().await)
    });
    tokio::task::yield_now().await;
    bench.run(put("a", "1")).unwrap();
    tokio::task::yield_now().await;
    bench.machine.close();
    let (first, second) = waiting.await.unwrap();
    let Ok(WatchItem::Events(batch)) = first else { panic!("{first:?}") };
    assert_eq!((batch.revision, batch.events.len()), (2, 1));
    assert_eq!(second.unwrap_err(), Error::Stopped);
}

#[test]
fn a_watch_that_nothing_concerned_is_as_far_as_everybody() {
    let mut bench = Bench::default();
    let mut watch = bench.machine.watch(WatchRange { key: "a".into(), ..WatchRange::default() });
    for n in 0..5 {
        bench.run(put("z", &n.to_string())).unwrap();
    }
    assert_eq!(watch.reached(), 6);
    // What it has no interest in can be compacted away.
    bench.run(compact(6)).unwrap();
    bench.run(put("a", "1")).unwrap();
    assert_eq!(watch.reached(), 6);
    let Step::Events(batch) = watch.step().unwrap() else { panic!() };
    assert_eq!((batch.revision, batch.events.len(), watch.reached()), (7, 1, 7));
}

#[test]
fn what_a_compaction_takes_away_before_anybody_could_see_it_is_missed_by_nobody() {
    let mut bench = Bench::default();
    bench.run(put("a", "1")).unwrap();
    let mut watch = bench.machine.watch(WatchRange { key: "a".into(), ..WatchRange::default() });
    let commands = [put("a", "2"), put("a", "3"), put("z", "4"), compact(5)];
    let commands: Vec<_> =
        commands.into_iter().map(|body| Command { body: Some(body), ..Command::default() }).collect();
    let position = |index| Position { term: 1, index };
    let entries = (10..).map(position).zip(&commands);
    bench.machine.apply_all(entries).unwrap();
    assert_eq!(watch.step().unwrap_err(), Error::Compacted { compact_revision: 5 });
}

#[tokio::test]
async fn progress_is_told_once_for_what_was_reached() {
    let mut bench = Bench::default();
    let every = Some(std::time::Duration::from_millis(20));
    let mut watch = bench.machine.watch(WatchRange { key: "a".into(), progress: every, ..WatchRange::default() });
    bench.run(put("b", "1")).unwrap();
    let Ok(WatchItem::Progress(revision)) = watch.next().await else { panic!() };
    assert_eq!(revision, 2);
    let again = tokio::time::timeout(std::time::Duration::from_millis(100), watch.next()).await;
    assert!(again.is_err(), "nothing new to tell: {again:?}");
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

#[derive(Debug, Clone)]
enum Move {
    Put(u8, u16),
    PutWithLease(u8, i64),
    Delete(u8, u8),
    Txn(u8, u8),
    Compact(u8),
    Grant(i64),
    Revoke(i64),
    Checkpoint,
    Restart,
    Install,
}

fn steps() -> impl Strategy<Value = Vec<Move>> {
    let step = prop_oneof![
        8 => (0u8..24, any::<u16>()).prop_map(|(k, v)| Move::Put(k, v)),
        2 => (0u8..24, 1i64..4).prop_map(|(k, l)| Move::PutWithLease(k, l)),
        3 => (0u8..24, 0u8..6).prop_map(|(k, n)| Move::Delete(k, n)),
        2 => (0u8..24, 0u8..24).prop_map(|(a, b)| Move::Txn(a, b)),
        1 => (0u8..255).prop_map(Move::Compact),
        1 => (1i64..4).prop_map(Move::Grant),
        1 => (1i64..4).prop_map(Move::Revoke),
        1 => Just(Move::Checkpoint),
        1 => Just(Move::Restart),
        1 => Just(Move::Install),
    ];
    prop::collection::vec(step, 1..120)
}

fn name(key: u8) -> String {
    format!("k{key:02}")
}

/// The naive model: the whole key space at every revision.
type History = BTreeMap<i64, BTreeMap<String, String>>;

fn body_of(step: &Move, revision: i64, now: &mut BTreeMap<String, String>) -> Option<command::Body> {
    Some(match step {
        Move::Put(key, value) => {
            // Some values take several chunks of a checkpoint, and incompressible ones several blocks of a snapshot.
            let value = if *value < 300 { format!("{value}").repeat(60_000) } else { value.to_string() };
            now.insert(name(*key), value.clone());
            put(&name(*key), &value)
        }
        Move::PutWithLease(key, lease) => {
            let put = PutRequest { key: name(*key).into(), lease: *lease, ..PutRequest::default() };
            command::Body::Put(put)
        }
        Move::Delete(key, more) => {
            now.retain(|name_, _| !(name(*key) <= *name_ && *name_ < name(key + more)));
            delete(&name(*key), &name(key + more))
        }
        Move::Txn(a, b) => {
            let exists = now.contains_key(&name(*a));
            let compare = Compare {
                key: name(*a).into(),
                result: CompareResult::Greater.into(),
                target: CompareTarget::Create.into(),
                ..Compare::default()
            };
            if exists {
                now.remove(&name(*b));
            } else {
                now.insert(name(*b), "txn".into());
            }
            command::Body::Txn(TxnRequest {
                compare: vec![compare],
                success: vec![op(delete(&name(*b), ""))],
                failure: vec![op(put(&name(*b), "txn"))],
            })
        }
        Move::Compact(back) => compact(revision - i64::from(*back) % 20),
        Move::Grant(id) => grant(*id),
        Move::Revoke(id) => command::Body::LeaseRevoke(LeaseRevokeRequest { id: *id }),
        Move::Checkpoint | Move::Restart | Move::Install => return None,
    })
}

fn model(view: &View) -> BTreeMap<String, String> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    view.range(&all(0)).unwrap().kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect()
}

fn check_reads(view: &View, history: &History) {
    for (revision, expected) in history.range(view.compacted()..) {
        for (start, end) in [(0, 24), (3, 9), (20, 21)] {
            let expected: Vec<_> = expected.range(name(start)..name(end)).collect();
            for limit in [0, 2] {
                let request = RangeRequest {
                    key: name(start).into(),
                    range_end: name(end).into(),
                    revision: *revision,
                    limit,
                    ..RangeRequest::default()
                };
                let found = view.range(&request).unwrap();
                let take = if limit == 0 { expected.len() } else { expected.len().min(2) };
                assert_eq!(found.count, expected.len() as i64, "count of {start}..{end} at {revision}");
                assert_eq!(found.more, take < expected.len());
                let found = found.kvs.iter().map(|kv| (&kv.key[..], &kv.value[..]));
                assert!(found.eq(expected[..take].iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()))));
            }
            let descending = RangeRequest {
                key: name(start).into(),
                range_end: name(end).into(),
                revision: *revision,
                limit: 2,
                sort_order: SortOrder::Descend.into(),
                sort_target: SortTarget::Key.into(),
                ..RangeRequest::default()
            };
            let found = view.range(&descending).unwrap();
            let wanted = expected.iter().rev().take(2).map(|(key, _)| key.as_bytes());
            assert!(found.kvs.iter().map(|kv| &kv.key[..]).eq(wanted));
        }
    }
}

/// Replays all that a watch says onto an empty key space.
fn check_watch(machine: &StateMachine, history: &History) {
    let start = machine.view().compacted().max(1);
    let Some(mut now) = history.get(&start).cloned() else { return };
    let range = WatchRange {
        key: vec![0].into(),
        range_end: vec![0].into(),
        start_revision: start + 1,
        ..WatchRange::default()
    };
    let mut watch = machine.watch(range);
    while let Step::Events(batch) = watch.step().unwrap() {
        for event in batch.events.iter() {
            let key = String::from_utf8_lossy(event.key()).into_owned();
            let previous = event.previous.as_ref().map(|record| String::from_utf8_lossy(&record.kv.value).into_owned());
            assert_eq!(previous, now.get(&key).cloned());
            if event.is_delete() {
                now.remove(&key);
            } else {
                now.insert(key, String::from_utf8_lossy(&event.record.kv.value).into_owned());
            }
        }
    }
    assert_eq!(&now, history.values().next_back().unwrap());
    assert_eq!(watch.reached(), machine.view().revision());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn behaves_as_a_key_space_that_forgets_nothing(steps in steps()) {
        let rows = Memory::default();
        let (machine, mut keeper) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
        let mut bench = Bench { machine, index: 0 };
        let mut history = History::from([(1, BTreeMap::new())]);
        for step in &steps {
            let before = bench.machine.view();
            let mut now = model(&before);
            if let Some(body) = body_of(step, before.revision(), &mut now) {
                let sequence = bench.index + 1;
                let acknowledged_below = sequence.saturating_sub(3);
                let outcome = bench.run_command(Command { session: 1, sequence, acknowledged_below, body: Some(body), ..Command::default() });
                let view = bench.machine.view();
                if !matches!(step, Move::PutWithLease(..) | Move::Revoke(_)) && outcome.is_ok() {
                    prop_assert_eq!(&model(&view), &now);
                }
                history.insert(view.revision(), model(&view));
            }
            match step {
                Move::Checkpoint => keeper.write(&bench.machine.view()).unwrap(),
                Move::Restart => {
                    keeper.write(&bench.machine.view()).unwrap();
                    let (machine, again) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
                    assert_same(&machine, &bench.machine);
                    (bench.machine, keeper) = (machine, again);
                }
                Move::Install => {
                    let copy = restored(&bench.machine);
                    assert_same(&copy, &bench.machine);
                    bench.machine = copy;
                }
                _ => {}
            }
        }
        check_reads(&bench.machine.view(), &history);
        check_watch(&bench.machine, &history);
    }
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

#[test]
fn a_checkpoint_on_disk_survives_and_belongs_to_one_member() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let (machine, mut keeper) = checkpoint::open(&RealDisk, &path, OWNER).unwrap();
    let mut bench = Bench { machine, index: 0 };
    for n in 0..100 {
        bench.run(put(&format!("k{}", n % 7), &"v".repeat(n * 2000))).unwrap();
        if n % 30 == 0 {
            keeper.write(&bench.machine.view()).unwrap();
        }
    }
    bench.run(compact(90)).unwrap();
    bench.machine.advance(Position { term: 2, index: bench.index + 1 }, Some("members".into()));
    keeper.write(&bench.machine.view()).unwrap();
    drop(keeper);
    let (again, keeper) = checkpoint::open(&RealDisk, &path, OWNER).unwrap();
    assert_same(&again, &bench.machine);
    assert_eq!(keeper.position(), bench.machine.view().position());
    drop(keeper);
    let other = Owner { member_id: 1, ..OWNER };
    assert!(matches!(checkpoint::open(&RealDisk, &path, other), Err(checkpoint::CheckpointError::Foreign { .. })));
}

#[test]
fn a_row_that_is_missing_from_a_checkpoint_is_noticed() {
    let rows = Memory::default();
    let (machine, mut keeper) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
    let mut bench = Bench { machine, index: 0 };
    bench.run(put("a", "1")).unwrap();
    bench.run(put("b", "1")).unwrap();
    keeper.write(&bench.machine.view()).unwrap();
    rows.remove_first_record();
    let opened = checkpoint::open_memory(rows, OWNER);
    assert!(matches!(opened, Err(checkpoint::CheckpointError::Damaged(_))));
}

#[test]
fn a_crash_in_the_middle_of_a_checkpoint_leaves_the_one_before() {
    let rows = Memory::default();
    let (machine, mut keeper) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
    let mut bench = Bench { machine, index: 0 };
    bench.run(put("a", "1")).unwrap();
    keeper.write(&bench.machine.view()).unwrap();
    let before = bench.machine.view().hash();
    bench.run(put("a", "2")).unwrap();
    bench.run(put("b", "1")).unwrap();
    rows.fail_after(1);
    assert!(keeper.write(&bench.machine.view()).is_err());
    rows.fail_after(usize::MAX);
    let (again, mut keeper) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
    assert_eq!(again.view().hash(), before);
    // What was written ahead is gone for good, even if the key space takes another way from here.
    bench = Bench { machine: again, index: 1 };
    bench.run(put("c", "other")).unwrap();
    keeper.write(&bench.machine.view()).unwrap();
    let (again, _) = checkpoint::open_memory(rows, OWNER).unwrap();
    assert_same(&again, &bench.machine);
}
