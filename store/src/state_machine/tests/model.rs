//! Against a key space that forgets nothing.

use super::*;

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
