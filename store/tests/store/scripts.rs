//! Stories of the state machine, as text: every file in `tests/scripts` is run, and must come out as it is.
//!
//! A line that starts with `> ` is a command, the lines below it are what the store answers, `#` begins a remark.
//! `UPDATE_EXPECT=1 cargo test -p store scripts` writes the answers anew; the difference is for the reviewer to judge.

use std::{collections::BTreeMap, fmt::Write, fs, path::PathBuf};

use bytes::Bytes;
use proto::raftpb::{Command, command::Body, command_response::Body as Answer};
use store::{
    Error, Event, Owner, WatchRange, WatchStream,
    checkpoint::{self, Checkpoint, Memory},
    etcdserverpb::{
        CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, PutRequest,
        RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
        compare::{CompareTarget, TargetUnion},
        range_request::SortOrder,
        request_op::Request,
        response_op::Response,
    },
    mvccpb::KeyValue,
    snapshot::{SnapshotSink, SnapshotSource},
    state_machine::StateMachine,
    watch::Step,
};

const OWNER: Owner = Owner { cluster_id: 1, member_id: 2 };

#[test]
fn scripts_come_out_as_written() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let script = fs::read_to_string(&path).unwrap();
        expect_test::expect_file![&path].assert_eq(&run(&script));
    }
}

fn run(script: &str) -> String {
    let mut stage = Stage::new();
    let mut out = String::new();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(out, "{line}").unwrap();
            let answer = stage.run(command).unwrap_or_else(|error| error.to_string());
            for line in answer.lines() {
                writeln!(out, "{line}").unwrap();
            }
        } else if line.is_empty() || line.starts_with('#') {
            writeln!(out, "{line}").unwrap();
        }
    }
    out
}

/// One member without its Raft: a machine, its log and its checkpoint.
struct Stage {
    machine: StateMachine,
    checkpoint: Checkpoint,
    rows: Memory,
    log: Vec<Command>,
    watches: BTreeMap<String, WatchStream>,
}

impl Stage {
    fn new() -> Self {
        let rows = Memory::default();
        let (machine, checkpoint) = checkpoint::open_memory(rows.clone(), OWNER).unwrap();
        Self { machine, checkpoint, rows, log: Vec::new(), watches: BTreeMap::new() }
    }

    fn run(&mut self, line: &str) -> Result<String, Error> {
        let words = Words::new(line);
        match words.verb {
            "put" => self.propose(Body::Put(words.put())),
            "del" => self.propose(Body::DeleteRange(words.delete())),
            "txn" => {
                let txn = parse_txn(line);
                store::command::validate_txn(&txn)?;
                self.propose(Body::Txn(txn))
            }
            "compact" => {
                self.propose(Body::Compaction(CompactionRequest { revision: words.number(0), physical: false }))
            }
            "grant" => self.propose(Body::LeaseGrant(LeaseGrantRequest { id: words.number(0), ttl: words.number(1) })),
            "revoke" => self.propose(Body::LeaseRevoke(LeaseRevokeRequest { id: words.number(0) })),
            "get" => Ok(show_range(&self.machine.view().range(&words.range())?)),
            "watch" => {
                let range = WatchRange {
                    key: words.key(1),
                    range_end: words.end(2),
                    start_revision: words.option("from"),
                    ..WatchRange::default()
                };
                self.watches.insert(words.text(0).to_owned(), self.machine.watch(range));
                Ok(String::new())
            }
            "poll" => self.poll(words.text(0)),
            "checkpoint" => {
                self.checkpoint.write(&self.machine.view()).unwrap();
                Ok(format!("at {}", self.log.len()))
            }
            "crash" => Ok(self.crash()),
            "snapshot" => Ok(self.snapshot()),
            "history" => {
                let view = self.machine.view();
                Ok(format!("revisions {} to {}, {} bytes", view.compacted(), view.revision(), view.bytes()))
            }
            other => panic!("no such command: {other}"),
        }
    }

    fn propose(&mut self, body: Body) -> Result<String, Error> {
        self.log.push(Command { body: Some(body), ..Command::default() });
        let index = self.log.len();
        match self.machine.apply(1, index as u64, &self.log[index - 1]).unwrap().body.unwrap() {
            Answer::Error(error) => Err(error.into()),
            Answer::Put(answer) => Ok(format!("revision {}", answer.header.unwrap().revision)),
            Answer::DeleteRange(answer) => {
                Ok(format!("revision {}, {} deleted", answer.header.unwrap().revision, answer.deleted))
            }
            Answer::Txn(answer) => Ok(show_txn(&answer)),
            Answer::LeaseGrant(answer) => Ok(format!("lease {} for {} s", answer.id, answer.ttl)),
            Answer::LeaseRevoke(answer) => Ok(format!("revision {}", answer.header.unwrap().revision)),
            Answer::Compaction(_) | Answer::Empty(_) | Answer::Alarm(_) => Ok("done".to_owned()),
        }
    }

    fn poll(&mut self, name: &str) -> Result<String, Error> {
        let mut out = String::new();
        let watch = self.watches.get_mut(name).unwrap();
        while let Step::Events(batch) = watch.step()? {
            for event in batch.events.iter() {
                writeln!(out, "{}", show_event(event)).unwrap();
            }
        }
        writeln!(out, "up to {}", watch.reached()).unwrap();
        Ok(out)
    }

    fn crash(&mut self) -> String {
        let hash = self.machine.view().hash();
        let (machine, checkpoint) = checkpoint::open_memory(self.rows.clone(), OWNER).unwrap();
        let from = machine.view().position().map_or(0, |position| position.index as usize);
        for (index, command) in self.log.iter().enumerate().skip(from) {
            machine.apply(1, index as u64 + 1, command).unwrap();
        }
        assert_eq!(machine.view().hash(), hash);
        (self.machine, self.checkpoint) = (machine, checkpoint);
        format!("back at revision {}, {} entries replayed", self.machine.view().revision(), self.log.len() - from)
    }

    fn snapshot(&mut self) -> String {
        let mut sink = SnapshotSink::new(OWNER.cluster_id);
        for block in SnapshotSource::new(self.machine.view(), OWNER) {
            sink.push(&block.unwrap()).unwrap();
        }
        let hash = self.machine.view().hash();
        self.machine.install(sink.finish().unwrap());
        assert_eq!(self.machine.view().hash(), hash);
        "replaced by its own snapshot".to_owned()
    }
}

/// The words of a command: plain ones by place, `name=value` ones by name.
struct Words<'a> {
    verb: &'a str,
    plain: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap();
        let (options, plain): (Vec<_>, Vec<_>) = words.partition(|word| word.contains('='));
        let options = options.into_iter().filter_map(|word| word.split_once('=')).collect();
        Self { verb, plain, options }
    }

    fn text(&self, at: usize) -> &'a str {
        self.plain.get(at).copied().unwrap_or_default()
    }

    fn key(&self, at: usize) -> Bytes {
        self.text(at).to_owned().into()
    }

    fn end(&self, at: usize) -> Bytes {
        if self.text(at) == "..." { Bytes::from_static(&[0]) } else { self.key(at) }
    }

    fn number(&self, at: usize) -> i64 {
        self.text(at).parse().unwrap()
    }

    fn option(&self, name: &str) -> i64 {
        self.options.get(name).map_or(0, |value| value.parse().unwrap())
    }

    fn put(&self) -> PutRequest {
        PutRequest { key: self.key(0), value: self.key(1), lease: self.option("lease"), ..PutRequest::default() }
    }

    fn delete(&self) -> DeleteRangeRequest {
        DeleteRangeRequest { key: self.key(0), range_end: self.end(1), prev_kv: false }
    }

    fn range(&self) -> RangeRequest {
        let descending = self.options.contains_key("descending");
        RangeRequest {
            key: self.key(0),
            range_end: self.end(1),
            revision: self.option("at"),
            limit: self.option("limit"),
            sort_order: if descending { SortOrder::Descend } else { SortOrder::None }.into(),
            ..RangeRequest::default()
        }
    }
}

/// `txn if <target>(<key>)=<value> ... then <op>; <op> else <op>; ...`
fn parse_txn(line: &str) -> TxnRequest {
    let (conditions, branches) = line.split_once(" then").unwrap_or((line, ""));
    let (success, failure) = branches.split_once(" else").unwrap_or((branches, ""));
    let compare = |word: &str| {
        let (target, rest) = word.split_once('(').unwrap();
        let (key, value) = rest.split_once(")=").unwrap();
        let (target, union) = match target {
            "value" => (CompareTarget::Value, TargetUnion::Value(value.to_owned().into())),
            "version" => (CompareTarget::Version, TargetUnion::Version(value.parse().unwrap())),
            "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(value.parse().unwrap())),
            other => panic!("no such target: {other}"),
        };
        let key = key.to_owned().into();
        Compare { key, target: target.into(), target_union: Some(union), ..Compare::default() }
    };
    let ops = |branch: &str| branch.split(';').filter(|op| !op.trim().is_empty()).map(parse_op).collect();
    TxnRequest {
        compare: conditions.split_whitespace().filter(|word| word.contains('(')).map(compare).collect(),
        success: ops(success),
        failure: ops(failure),
    }
}

fn parse_op(op: &str) -> RequestOp {
    let words = Words::new(op);
    let request = match words.verb {
        "put" => Request::RequestPut(words.put()),
        "del" => Request::RequestDeleteRange(words.delete()),
        "get" => Request::RequestRange(words.range()),
        other => panic!("no such operation: {other}"),
    };
    RequestOp { request: Some(request) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn show_kv(kv: &KeyValue) -> String {
    let lease = if kv.lease == 0 { String::new() } else { format!(" lease {}", kv.lease) };
    let (key, value) = (text(&kv.key), text(&kv.value));
    format!(
        "{key}={value} (created {}, modified {}, version {}{lease})",
        kv.create_revision, kv.mod_revision, kv.version
    )
}

fn show_range(answer: &RangeResponse) -> String {
    let mut out: String = answer.kvs.iter().map(|kv| show_kv(kv) + "\n").collect();
    let more = if answer.more { ", and more" } else { "" };
    write!(out, "{} of {}{more}", answer.kvs.len(), answer.count).unwrap();
    out
}

fn show_txn(answer: &TxnResponse) -> String {
    let outcome = if answer.succeeded { "then" } else { "else" };
    let mut out = format!("{outcome}, revision {}\n", answer.header.as_ref().unwrap().revision);
    for response in &answer.responses {
        match response.response.as_ref().unwrap() {
            Response::ResponseRange(range) => writeln!(out, "{}", show_range(range)).unwrap(),
            Response::ResponsePut(_) => writeln!(out, "put").unwrap(),
            Response::ResponseDeleteRange(gone) => writeln!(out, "{} deleted", gone.deleted).unwrap(),
            Response::ResponseTxn(nested) => writeln!(out, "{}", show_txn(nested)).unwrap(),
        }
    }
    out
}

fn show_event(event: &Event) -> String {
    let before = event.previous.as_ref().map_or("nothing".to_owned(), |record| text(&record.kv.value));
    let key = text(event.key());
    if event.is_delete() {
        format!("{} delete {key}, was {before}", event.revision())
    } else {
        format!("{} put {key}={}, was {before}", event.revision(), text(&event.record.kv.value))
    }
}
