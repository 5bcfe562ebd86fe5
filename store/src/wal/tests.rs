use std::{fs, os::unix::fs::FileExt, path::PathBuf};

use bytes::Bytes;
use tempfile::TempDir;

use super::{
    failing_disk::{Failing, FailingDisk},
    segment::SEGMENT_HEADER,
    *,
};
use crate::world::World;

fn world() -> World {
    World::unreachable()
}

const IDENTITY: Identity = Identity { cluster_id: 7, member_id: 1 };
const SMALL: Options = Options { segment_bytes_first: 8 << 10, segment_bytes_max: 16 << 10, cache_bytes: 2 << 10 };

fn entry(term: u64, index: u64) -> Entry {
    let data = Bytes::from(format!("{term}.{index};").repeat(20));
    Entry { term, index, kind: EntryKind::Command, data }
}

fn position(term: u64, index: u64) -> Position {
    Position { term, index }
}

async fn append(wal: &Wal, entries: Vec<Entry>) {
    let (tx, rx) = oneshot::channel();
    wal.append(entries, Box::new(move |result| drop(tx.send(result)))).await.unwrap();
    rx.await.unwrap().unwrap();
}

async fn all(wal: &Wal) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut from = wal.purged().map_or(0, |purged| purged.index + 1);
    loop {
        let more = wal.read(from, u64::MAX, 1 << 20).await.unwrap();
        let Some(last) = more.last() else { return entries };
        from = last.index + 1;
        entries.extend(more);
    }
}

fn open(dir: &TempDir) -> Result<Wal, WalError> {
    Wal::open(&world(), dir.path(), IDENTITY, SMALL)
}

fn segments(dir: &TempDir) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|suffix| suffix == "wal"));
    found.sort();
    found
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(&dir).unwrap();
    let vote = Vote { term: 2, node_id: 9, committed: true };
    wal.save_vote(vote).await.unwrap();
    let entries: Vec<Entry> = (0..300).map(|index| entry(2, index)).collect();
    for chunk in entries.chunks(7) {
        append(&wal, chunk.to_vec()).await;
    }
    wal.save_committed(Some(position(2, 250)));
    assert!(segments(&dir).len() > 2, "the log spans segments");
    assert_eq!(all(&wal).await, entries, "older entries come from the disk");
    assert!(wal.fsync_p99() > Duration::ZERO);
    wal.close().await;

    let wal = open(&dir).unwrap();
    assert_eq!((wal.vote(), wal.committed(), wal.last()), (Some(vote), Some(position(2, 250)), Some(position(2, 299))));
    assert_eq!(all(&wal).await, entries);
    append(&wal, vec![entry(3, 300)]).await;
    wal.close().await;
    assert_eq!(open(&dir).unwrap().last(), Some(position(3, 300)));
}

#[tokio::test]
async fn truncated_and_purged_entries_stay_away() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(&dir).unwrap();
    append(&wal, (0..200).map(|index| entry(1, index)).collect()).await;
    wal.truncate_after(Some(position(1, 149))).await.unwrap();
    append(&wal, (150..220).map(|index| entry(2, index)).collect()).await;
    for index in 220..400 {
        append(&wal, vec![entry(2, index)]).await;
    }
    let before = segments(&dir).len();
    wal.purge(position(2, 300)).await.unwrap();
    append(&wal, vec![entry(2, 400)]).await;
    let expected: Vec<Entry> = (301..=400).map(|index| entry(2, index)).collect();
    assert_eq!(all(&wal).await, expected);
    wal.close().await;
    assert!(segments(&dir).len() < before, "purged segments are given back");
    let wal = open(&dir).unwrap();
    assert_eq!((wal.purged(), all(&wal).await), (Some(position(2, 300)), expected));

    // A snapshot beyond the end: the log goes on after a gap.
    wal.purge(position(4, 1000)).await.unwrap();
    append(&wal, vec![entry(4, 1001)]).await;
    wal.close().await;
    let wal = open(&dir).unwrap();
    assert_eq!((wal.purged(), all(&wal).await), (Some(position(4, 1000)), vec![entry(4, 1001)]));
}

/// Crashes between any two writes, and in the middle of one: every state is a prefix of whole entries, and the log goes on.
#[tokio::test]
async fn a_torn_tail_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(&dir).unwrap();
    let entries: Vec<Entry> = (0..12).map(|index| entry(1, index)).collect();
    for chunk in entries.chunks(3) {
        append(&wal, chunk.to_vec()).await;
    }
    wal.close().await;
    let path = segments(&dir).remove(0);
    let whole = fs::read(&path).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut lengths = Vec::new();
    for cut in (SEGMENT_HEADER..=used).step_by(13) {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        fs::write(&path, torn).unwrap();
        let wal = open(&dir).unwrap();
        let found = all(&wal).await;
        assert_eq!(found, entries[..found.len()]);
        let next = entry(2, found.len() as u64);
        append(&wal, vec![next.clone()]).await;
        wal.close().await;
        let again = all(&open(&dir).unwrap()).await;
        assert_eq!(again.last(), Some(&next));
        lengths.push(found.len());
    }
    assert!(lengths.is_sorted() && lengths.contains(&0) && lengths.contains(&11));
}

/// The pages of one write may reach the disk in any order: a hole in the last batch is a torn write too.
#[tokio::test]
async fn a_hole_in_the_last_batch_is_torn_but_in_an_earlier_one_it_is_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(&dir).unwrap();
    append(&wal, vec![entry(1, 0), entry(1, 1)]).await;
    append(&wal, vec![entry(1, 2), entry(1, 3), entry(1, 4)]).await;
    wal.close().await;
    let path = segments(&dir).remove(0);
    let whole = fs::read(&path).unwrap();
    let find = |index: u64| {
        let text = entry(1, index).data;
        whole.windows(text.len()).position(|window| window == &text[..]).unwrap()
    };
    for (index, survivors) in [(4, Some(4)), (3, Some(3)), (2, Some(2)), (1, None), (0, None)] {
        let mut damaged = whole.clone();
        damaged[find(index)] ^= 1;
        fs::write(&path, damaged).unwrap();
        match (open(&dir), survivors) {
            (Ok(wal), Some(count)) => assert_eq!(all(&wal).await.len(), count, "entry {index}"),
            (Err(error @ WalError::Corrupt { .. }), None) => {
                let text = error.to_string();
                assert!(text.contains(".wal is corrupt") && text.contains("let it join again"), "{text}");
            }
            (result, _) => panic!("entry {index}: {:?}", result.err()),
        }
    }
}

#[tokio::test]
async fn damage_in_a_whole_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(&dir).unwrap();
    for index in 0..200 {
        append(&wal, vec![entry(1, index)]).await;
    }
    wal.close().await;
    let files = segments(&dir);
    let whole = fs::read(&files[1]).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for at in [3, 20, SEGMENT_HEADER + 2, whole.len() / 3, used] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&files[1], damaged).unwrap();
        assert!(open(&dir).is_err(), "byte {at}");
    }
    fs::remove_file(&files[1]).unwrap();
    assert!(matches!(open(&dir), Err(WalError::Corrupt { .. })), "a missing segment");
}

#[tokio::test]
async fn foreign_and_newer_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(&dir).unwrap();
    append(&wal, vec![entry(1, 0)]).await;
    wal.close().await;
    let other = Identity { member_id: 2, ..IDENTITY };
    assert!(matches!(Wal::open(&world(), dir.path(), other, SMALL), Err(WalError::Foreign { found_member: 1, .. })));
    let file = fs::OpenOptions::new().write(true).open(&segments(&dir)[0]).unwrap();
    file.write_all_at(&2u32.to_le_bytes(), 8).unwrap();
    assert!(matches!(open(&dir), Err(WalError::Newer { found: 2, known: 1, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_appends_share_a_flush_and_complete_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(&world(), dir.path(), IDENTITY, crate::config::Limits::default().into()).unwrap();
    let (tx, mut rx) = mpsc::channel(5000);
    for index in 0..5000 {
        let tx = tx.clone();
        let done: Done = Box::new(move |result| {
            result.unwrap();
            tx.try_send(index).unwrap();
        });
        wal.append(vec![entry(1, index)], done).await.unwrap();
    }
    for expected in 0..5000 {
        assert_eq!(rx.recv().await, Some(expected));
    }
    assert!(wal.shared.latency.count() < 2500, "group commit");
    assert_eq!(all(&wal).await.len(), 5000);
}

/// Both ways of writing: on a thread, and as a task.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_written_or_flushed_is_never_acknowledged_and_ends_the_member() {
    for (what, threads) in [Failing::Writes, Failing::Flushes, Failing::OneFlush]
        .into_iter()
        .flat_map(|what| [(what, Threads::System), (what, Threads::None)])
    {
        let dir = tempfile::tempdir().unwrap();
        let disk = FailingDisk::default();
        let failing = World { disk: Arc::new(disk.clone()), threads, ..world() };
        let wal = Wal::open(&failing, dir.path(), IDENTITY, SMALL).unwrap();
        append(&wal, (0..10).map(|index| entry(1, index)).collect()).await;
        disk.fail(what);
        let (told, mut answer) = mpsc::channel(1);
        let done: Done = Box::new(move |result| told.try_send(result.is_ok()).unwrap());
        wal.append(vec![entry(1, 10)], done).await.unwrap();
        assert_eq!(answer.recv().await, None, "{what:?}: dropped, not answered");
        assert_eq!(disk.gave_up(), 1, "{what:?}");
        // Nothing is tried again, whether it would succeed or not.
        let vote = Vote { term: 2, node_id: 9, committed: true };
        assert!(wal.save_vote(vote).await.is_err(), "{what:?}");
        let refused: Done = Box::new(|result| assert!(result.is_err()));
        assert!(wal.append(vec![entry(1, 11)], refused).await.is_err(), "{what:?}");
        wal.close().await;
        assert_eq!(disk.gave_up(), 1, "{what:?}");
        // The next process reads what the disk has: all that was acknowledged, and perhaps what was not.
        let found = all(&open(&dir).unwrap()).await;
        let expected: Vec<Entry> = (0..found.len() as u64).map(|index| entry(1, index)).collect();
        assert!(found == expected && (10..=11).contains(&found.len()), "{what:?}: {found:?}");
    }
}

#[tokio::test]
async fn a_log_of_any_bytes_gives_what_was_written_or_is_refused() {
    use rand::{RngExt, SeedableRng, rngs::SmallRng};
    let dir = tempfile::tempdir().unwrap();
    let wal = open(&dir).unwrap();
    for index in 0..60 {
        append(&wal, vec![entry(1, index)]).await;
    }
    let written = all(&wal).await;
    wal.close().await;
    let files: Vec<_> = segments(&dir).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    let mut random = SmallRng::seed_from_u64(5);
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..crate::fuzz::rounds(300) {
        for (bytes, path) in &files {
            fs::write(path, bytes).unwrap();
        }
        let (bytes, path) = &files[random.random_range(0..files.len())];
        let mut bytes = bytes.clone();
        // Mostly within what was written, where it matters.
        let end = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let tail = bytes.split_off(end);
        crate::fuzz::mutate(&mut random, &mut bytes);
        fs::write(path, [bytes, tail].concat()).unwrap();
        match open(&dir) {
            Ok(wal) => {
                let read = all(&wal).await;
                assert!(written.starts_with(&read), "{} entries, not all as written", read.len());
                opened += 1;
                wal.close().await;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(opened > 0 && refused > 0, "{opened} opened, {refused} refused");
}

/// Seed 6 of the control plane's simulation: a snapshot came in, the entries before it were purged in the batch that appended
/// them, a new segment began with that batch, and the power went before all of it was on the disk.
#[tokio::test]
async fn a_torn_batch_that_purges_what_it_appends_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(&World { threads: Threads::None, ..world() }, dir.path(), IDENTITY, SMALL).unwrap();
    append(&wal, (0..20).map(|index| entry(2, index)).collect()).await;
    let first = segments(&dir).pop().unwrap();
    let before = fs::read(&first).unwrap();
    let (tx, rx) = oneshot::channel();
    let entries = (20..60).map(|index| entry(2, index)).collect();
    wal.append(entries, Box::new(move |result| drop(tx.send(result)))).await.unwrap();
    // The writer has not run yet: this joins the batch.
    wal.purge(position(2, 59)).await.unwrap();
    rx.await.unwrap().unwrap();
    wal.close().await;

    let second = segments(&dir).pop().unwrap();
    assert_ne!(first, second, "a new segment began");
    fs::write(&first, before).unwrap();
    let mut torn = fs::read(&second).unwrap();
    let end = torn.iter().rposition(|byte| *byte != 0).unwrap();
    // The last record is what was purged: less than an entry, and more than this.
    torn[end - 16..=end].fill(0);
    fs::write(&second, torn).unwrap();
    let wal = open(&dir).unwrap();
    assert_eq!((wal.purged(), wal.last()), (None, Some(position(2, 59))));
}
