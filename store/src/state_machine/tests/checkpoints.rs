//! What a checkpoint holds, whatever happens while it is written.

use std::{path::Path, time::Duration};

use bytes::{Buf, BufMut};

use super::*;
use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    engine::{Changes, Engine},
    rows::record_at,
    world::RealDisk,
};

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
    let (again, keeper) = open_again(&path, OWNER).unwrap();
    assert_same(&again, &bench.machine);
    assert_eq!(keeper.position(), bench.machine.view().position());
    drop(keeper);
    let other = Owner { member_id: 1, ..OWNER };
    assert!(matches!(open_again(&path, other), Err(checkpoint::CheckpointError::Foreign { .. })));
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

/// Opens a folder that was closed. The threads of sled, which all its folders share, may hold it for a moment longer.
fn open_again(path: &Path, owner: Owner) -> Result<(StateMachine, Checkpoint), CheckpointError> {
    testing::eventually_blocking(Duration::from_secs(10), || match checkpoint::open(&RealDisk, path, owner) {
        Err(CheckpointError::Engine(error)) => Err(error),
        opened => Ok(opened),
    })
}

/// The keys of the rows with a tag.
fn keys(rows: &Memory, tag: u8) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        keys.extend((key[0] == tag).then(|| key.to_vec()));
        true
    };
    rows.scan(&mut visit).unwrap();
    keys
}

/// Compacts, and goes on until all that is to be forgotten is.
fn forget(bench: &mut Bench, revision: i64) {
    bench.run(compact(revision)).unwrap();
    for _ in 0..20 {
        bench.run(delete("none", "")).unwrap();
    }
}

#[test]
fn small_records_share_rows_until_they_are_gone() {
    let rows = Memory::default();
    let (machine, mut keeper) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
    let mut bench = Bench { machine, index: 0 };
    let value = "v".repeat(1000);
    for n in 0..200 {
        bench.run(put(&format!("k{n:03}"), &value)).unwrap();
    }
    bench.run(put("large", &"v".repeat(100_000))).unwrap();
    bench.run(put("last", "1")).unwrap();
    keeper.write(&bench.machine.view()).unwrap();
    let packs = keys(&rows, b'p').len();
    assert!((35..45).contains(&packs), "{packs} packs for 200 KiB and one more");
    assert_eq!(keys(&rows, b'r').len(), 17, "a record of 100 KB takes as many rows of 6 KiB");

    // A few are gone: that is noted, and the packs stay as they are.
    bench.run(put("k000", "anew")).unwrap();
    bench.run(delete("k001", "")).unwrap();
    let revision = bench.machine.view().revision();
    forget(&mut bench, revision);
    keeper.write(&bench.machine.view()).unwrap();
    assert_eq!(keys(&rows, b'd').len(), 1);
    let (again, mut keeper) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
    assert_same(&again, &bench.machine);
    bench.machine = again;

    // Most are gone: the first pack holds only what is left, the next ones are not there any more.
    bench.run(delete("k003", "k200")).unwrap();
    bench.run(delete("large", "")).unwrap();
    let revision = bench.machine.view().revision();
    forget(&mut bench, revision);
    keeper.write(&bench.machine.view()).unwrap();
    assert_eq!(keys(&rows, b'r').len(), 0);
    assert_eq!(
        keys(&rows, b'p').len(),
        4,
        "one of the first checkpoint's, that of \"last\", and one of each checkpoint since"
    );
    let first = rows.get(&keys(&rows, b'p')[0]).unwrap().unwrap();
    assert!(first.len() < 1200, "{} bytes for one record of 1000", first.len());
    let (again, _) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
    assert_same(&again, &bench.machine);
}

#[test]
fn a_crash_at_any_write_of_a_checkpoint_that_forgets_leaves_one_that_is_whole() {
    for writes in 0..12 {
        let rows = Memory::default();
        let (machine, mut keeper) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
        let mut bench = Bench { machine, index: 0 };
        for round in 0..3 {
            for n in 0..60 {
                bench.run(put(&format!("k{n}"), &format!("{round} {}", "v".repeat(1000)))).unwrap();
            }
            keeper.write(&bench.machine.view()).unwrap();
        }
        let before = bench.machine.view().hash();
        bench.run(put("k0", "anew")).unwrap();
        forget(&mut bench, 150);
        rows.fail_after(writes);
        let done = keeper.write(&bench.machine.view());
        rows.fail_after(usize::MAX);
        let (again, mut keeper) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
        let hash = again.view().hash();
        assert!(hash == before || hash == bench.machine.view().hash(), "after {writes} writes");
        assert!(done.is_err() || hash == bench.machine.view().hash(), "after {writes} writes");
        // It goes on from either.
        let mut bench = Bench { machine: again, index: 1000 };
        bench.run(put("k1", "later")).unwrap();
        keeper.write(&bench.machine.view()).unwrap();
        let (again, _) = checkpoint::open_memory(rows, OWNER).unwrap();
        assert_same(&again, &bench.machine);
    }
}

#[test]
fn a_checkpoint_of_an_earlier_build_is_read_and_goes_on() {
    let mut rows = Memory::default();
    let (machine, mut keeper) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
    let mut bench = Bench { machine, index: 0 };
    for n in 0..20 {
        bench.run(put(&format!("k{n}"), &n.to_string())).unwrap();
    }
    keeper.write(&bench.machine.view()).unwrap();
    drop(keeper);
    // As builds before packs wrote it: each record in a row of its own.
    let mut earlier = Changes::new();
    for pack in keys(&rows, b'p') {
        let mut row = Bytes::from(rows.get(&pack).unwrap().unwrap()).split_off(4);
        while !row.is_empty() {
            let length = row.get_u32();
            let record = row.split_to(usize::try_from(length).unwrap());
            let (revision, sub) = record_at(&record).unwrap();
            let (mut key, mut sealed) = (vec![b'r'], Vec::new());
            key.put_i64(revision);
            key.put_u32(sub);
            key.put_u16(0);
            sealed.put_u32(crc32fast::hash(&record));
            sealed.put_slice(&record);
            earlier.push((key, Some(sealed)));
        }
        earlier.push((pack, None));
    }
    rows.write(earlier).unwrap();
    let (again, mut keeper) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
    assert_same(&again, &bench.machine);
    bench.machine = again;
    assert_eq!(keys(&rows, b'r').len(), 20);
    bench.run(delete("k", "l")).unwrap();
    bench.run(put("k1", "new")).unwrap();
    let revision = bench.machine.view().revision();
    forget(&mut bench, revision);
    keeper.write(&bench.machine.view()).unwrap();
    assert_eq!((keys(&rows, b'r').len(), keys(&rows, b'p').len()), (0, 1));
    let (again, _) = checkpoint::open_memory(rows, OWNER).unwrap();
    assert_same(&again, &bench.machine);
}

#[test]
fn nothing_leaves_the_log_of_sled_for_a_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint");
    let (machine, mut keeper) = checkpoint::open(&RealDisk, &path, OWNER).unwrap();
    let mut bench = Bench { machine, index: 0 };
    for round in 0..12 {
        for n in 0..60 {
            let length = [10, 3_000, 6_000, 7_000, 66_000, 200_000][n % 6];
            bench.run(put(&format!("k{n}"), &"v".repeat(length))).unwrap();
        }
        bench.run(delete(&format!("k{round}"), &format!("k{}", round + 7))).unwrap();
        let revision = bench.machine.view().revision() - 20;
        forget(&mut bench, revision);
        keeper.write(&bench.machine.view()).unwrap();
    }
    assert_eq!(std::fs::read_dir(path.join("blobs")).map_or(0, Iterator::count), 0);
    drop(keeper);
    let (again, _) = open_again(&path, OWNER).unwrap();
    assert_same(&again, &bench.machine);
}

#[test]
fn a_record_with_rows_of_its_own_stands_in_no_pack() {
    let rows = Memory::default();
    let (machine, mut keeper) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
    let mut bench = Bench { machine, index: 0 };
    for key in ["small", "large", "later"] {
        let length = if key == "large" { 4000 } else { 10 };
        bench.run(put(key, &"v".repeat(length))).unwrap();
    }
    keeper.write(&bench.machine.view()).unwrap();
    bench.run(delete("large", "")).unwrap();
    bench.run(delete("small", "")).unwrap();
    let revision = bench.machine.view().revision();
    forget(&mut bench, revision);
    keeper.write(&bench.machine.view()).unwrap();
    assert_eq!(keys(&rows, b'r').len(), 0);
    let (again, _) = checkpoint::open_memory(rows, OWNER).unwrap();
    assert_same(&again, &bench.machine);
}
