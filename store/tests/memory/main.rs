//! What a snapshot costs in memory, on both sides. In a process of its own, since it is the process that is measured.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "what fails in a helper fails its test")]

use std::fs;

use bytes::Bytes;
use proto::{
    etcdserverpb::PutRequest,
    raftpb::{Command, command::Body},
};
use store::{
    Owner, View,
    snapshot::{SnapshotSink, SnapshotSource},
    state_machine::StateMachine,
};

const OWNER: Owner = Owner { cluster_id: 1, member_id: 2 };
const MEBIBYTE: usize = 1 << 20;
/// Keys and values; `KONTIKI_STATE_MIB` says another size.
const STATE_MIB: usize = 256;
const VALUE_BYTES: usize = 1024;
/// What a snapshot may take beyond the state.
const EXTRA_MIB: usize = 64;

/// From the process's own status, in MiB.
fn of_status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

/// How far memory rises above what is in use now, at most.
fn peak_of<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = of_status("VmRSS");
    // The high-water mark starts again from here.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let done = work();
    (of_status("VmHWM").saturating_sub(before), done)
}

fn put(machine: &StateMachine, n: u64) {
    let mut value = vec![0; VALUE_BYTES];
    // Does not pack, as secrets do not.
    let mut random = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for chunk in value.chunks_mut(8) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        chunk.copy_from_slice(&random.to_le_bytes());
    }
    let (key, value) = (Bytes::from(format!("key/{n:012}")), Bytes::from(value));
    let body = Some(Body::Put(PutRequest { key, value, ..PutRequest::default() }));
    machine.apply(1, n, &Command { body, ..Command::default() }).unwrap();
}

fn filled(mebibytes: usize) -> View {
    let machine = StateMachine::new();
    for n in 1..=(mebibytes * MEBIBYTE / VALUE_BYTES) as u64 {
        put(&machine, n);
    }
    machine.view()
}

/// A member that has nothing takes the state and little more; one that fell behind shares what it has already.
#[test]
fn a_snapshot_takes_little_more_memory_than_the_state_on_both_sides() {
    let mebibytes = std::env::var("KONTIKI_STATE_MIB").ok().map_or(STATE_MIB, |size| size.parse().unwrap());
    let (state, view) = peak_of(|| filled(mebibytes));
    let (sending, blocks) = peak_of(|| {
        let mut blocks = 0;
        for block in SnapshotSource::new(view.clone(), OWNER) {
            blocks += block.unwrap().len();
        }
        blocks
    });
    let receive = |mut sink: SnapshotSink| {
        for block in SnapshotSource::new(view.clone(), OWNER) {
            sink.push(&block.unwrap()).unwrap();
        }
        sink.finish().unwrap()
    };
    let (catching_up, shared) = peak_of(|| receive(SnapshotSink::new(OWNER.cluster_id).sharing(&view)));
    drop(shared);
    let (receiving, received) = peak_of(|| receive(SnapshotSink::new(OWNER.cluster_id)));
    assert_eq!(received.position(), view.position());
    println!(
        "a state of {mebibytes} MiB takes {state} MiB; in MiB more at its peak: sending {sending}, receiving {receiving}, \
         receiving what is there already {catching_up}; {} MiB were sent",
        blocks / MEBIBYTE
    );
    assert!(sending <= EXTRA_MIB, "sending takes {sending} MiB");
    // The whole index of what was shared is new; the records are not.
    assert!(catching_up <= EXTRA_MIB, "catching up takes {catching_up} MiB");
    assert!(receiving <= state + EXTRA_MIB, "receiving takes {receiving} MiB where the state takes {state}");
}
