//! Files that are not what was written: a member either goes on with all it ever promised, or refuses to.

use std::{
    fs,
    path::{Path, PathBuf},
};

use store::{DirError, Limits, StartError};

use crate::cluster::{Cluster, get, put, until};

/// Places of a flipped bit that are tried for each kind of file.
const PLACES: usize = 6;

/// What a member did with a damaged file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcomes {
    went_on: usize,
    refused: usize,
}

/// A group in which member 2 has every kind of file: segments, a checkpoint, a snapshot file.
async fn group() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.limits =
        Limits { checkpoint_bytes: 64 << 10, log_bytes_max: 256 << 10, log_bytes_keep: 32 << 10, ..Limits::default() };
    cluster.init().await;
    cluster.join(2).await;
    cluster.join(3).await;
    cluster.until_voters(3).await;
    let value = "v".repeat(2000);
    for n in 0..200 {
        put(cluster.store(1), &format!("k{}", n % 40), &format!("{n} {value}")).await.unwrap();
    }
    let snapshot = cluster.nodes[&2].config.dir.join("state.snapshot");
    until(async || snapshot.exists()).await;
    cluster.until_equal().await;
    cluster
}

/// Flips a bit of a file at several places, restarts the member each time, and puts the file back.
async fn flip(cluster: &mut Cluster, find: impl Fn(&Path) -> PathBuf) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let dir = cluster.nodes[&2].config.dir.clone();
    for place in 0..PLACES {
        cluster.leader().await;
        cluster.store(2).shutdown().await;
        cluster.kill(2).await;
        let kept = tempfile::tempdir().unwrap();
        copy(&dir, kept.path());
        let path = find(&dir);
        let mut bytes = fs::read(&path).unwrap();
        // Where something was written: what follows is zeros that nobody reads.
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        let at = used * place / PLACES;
        bytes[at] ^= 1 << (place % 8);
        fs::write(&path, &bytes).unwrap();
        put(cluster.store(1), "meanwhile", &place.to_string()).await.unwrap();
        match cluster.try_restart(2).await {
            Ok(()) => {
                outcomes.went_on += 1;
                cluster.until_equal().await;
                assert_eq!(
                    get(cluster.store(2), "meanwhile").await.unwrap(),
                    Some(place.to_string()),
                    "{path:?} at {at}"
                );
            }
            Err(error) => {
                assert!(error.is_damage(), "{path:?} at {at}: {error:?}");
                outcomes.refused += 1;
                fs::remove_dir_all(&dir).unwrap();
                copy(kept.path(), &dir);
                cluster.restart(2).await;
                cluster.until_equal().await;
            }
        }
    }
    outcomes
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn newest_segment(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir.join("wal")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|suffix| suffix == "wal")).max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_log_is_refused() {
    let mut cluster = group().await;
    let outcomes = flip(&mut cluster, newest_segment).await;
    assert_eq!(outcomes, Outcomes { went_on: 0, refused: PLACES });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_checkpoint_or_the_snapshot_file_loses_nothing() {
    let mut cluster = group().await;
    let outcomes = flip(&mut cluster, |dir| dir.join("state/db")).await;
    assert_eq!(outcomes, Outcomes { went_on: PLACES, refused: 0 });
    let outcomes = flip(&mut cluster, |dir| dir.join("state.snapshot")).await;
    assert_eq!(outcomes, Outcomes { went_on: PLACES, refused: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_snapshot_file_is_refused_where_nothing_else_holds_the_state() {
    let mut cluster = group().await;
    let outcomes = flip(&mut cluster, |dir| {
        fs::remove_dir_all(dir.join("state")).unwrap();
        dir.join("state.snapshot")
    })
    .await;
    assert_eq!(outcomes, Outcomes { went_on: 0, refused: PLACES });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_that_cannot_be_read_is_refused() {
    let mut cluster = group().await;
    cluster.kill(2).await;
    let stamp = cluster.nodes[&2].config.dir.join("member.json");
    let whole = fs::read(&stamp).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&stamp, &bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match cluster.try_restart(2).await {
            Ok(()) => panic!("byte {at} of the stamp was not noticed: {text}"),
            Err(StartError::Dir(DirError::Newer { .. })) => assert!(!text.contains("\"format\": 1"), "{text}"),
            Err(error) => assert!(error.is_damage(), "{text}: {error}"),
        }
    }
}
