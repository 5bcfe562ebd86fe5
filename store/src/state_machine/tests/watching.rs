//! Watches of a state machine.

use super::*;

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
