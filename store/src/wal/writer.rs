//! The one thread that writes: it takes everything that waits, writes it at once and flushes once.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    Done, Entry, Identity, Options, Position, Shared, Vote, WalError,
    index::Location,
    preparer::{Preparer, Spare},
    record::{self, Place, Record},
    recovery::Tail,
    reserve::{Reserve, is_full},
    segment::{SEGMENT_HEADER, Segment, SegmentHeader, path_of},
};
use crate::world::{Disk, Planted, World};

/// One write holds about this much at most, so that its flush stays short.
const BATCH_BYTES_MAX: usize = 8 << 20;
const PAGE: u64 = 4096;

/// Between two looks for room on a full disk.
const WAIT_FOR_ROOM: Duration = Duration::from_millis(100);
/// Records gathered while there is no room; then the queue is left to fill.
const RECORDS_WAITING_MAX: usize = 16 * 1024;

/// Why a batch is not durable.
enum Failure {
    /// There is no room for a segment. Nothing was written.
    NoRoom,
    /// Nobody knows what was written.
    Disk(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// What the writer is asked to do.
pub(super) enum Job {
    Append { entries: Vec<Entry>, done: Done },
    Vote { vote: Vote, done: oneshot::Sender<io::Result<()>> },
    Truncate(Option<Position>),
    Purge(Position),
    Stop,
}

enum Completion {
    Append(Done),
    Vote(oneshot::Sender<io::Result<()>>),
}

impl Completion {
    fn succeed(self) {
        match self {
            Self::Append(done) => done(Ok(())),
            // The one who asked may have given up; the vote stands all the same.
            Self::Vote(done) => drop(done.send(Ok(()))),
        }
    }
}

/// The segment written to.
struct Active {
    sequence: u64,
    segment: Arc<Segment>,
    offset: u64,
    length: u64,
}

pub(super) struct Writer {
    world: World,
    dir: PathBuf,
    identity: Identity,
    options: Options,
    shared: Arc<Shared>,
    preparer: Preparer,
    active: Active,
    batch: u64,
    crc: u32,
    highest: BTreeMap<u64, Option<u64>>,
    next_length: u64,
    vote: Option<Vote>,
    committed: Option<Position>,
    purged: Option<Position>,
    /// The three as the batches before this one left them: what a new segment begins with, so that the older ones hold nothing
    /// but entries. Of this batch only the front may be left after a loss of power, and that must make sense by itself.
    begun: (Option<Vote>, Option<Position>, Option<Position>),
    // The batch being gathered.
    records: Vec<Record>,
    completions: Vec<Completion>,
    must_flush: bool,
    /// The last entry of the log, this batch included.
    last: Option<Position>,
    stop: bool,
    /// For room on the disk.
    waiting: bool,
    buffer: Vec<u8>,
    /// Where its entries will stand.
    places: Vec<(Position, Location)>,
}

impl Writer {
    pub(super) fn new(
        world: &World,
        dir: &Path,
        identity: Identity,
        options: Options,
        tail: Option<Tail>,
        shared: Arc<Shared>,
        reserve: Arc<Reserve>,
    ) -> Result<Self, WalError> {
        let io = |source| WalError::io(dir, source);
        let mut preparer = Preparer::start(world, dir, reserve).map_err(io)?;
        let first = options.segment_bytes_first;
        let (active, batch, crc, highest) = match tail {
            Some(tail) => {
                let Tail { sequence, segment, offset, length, batch, crc, highest } = tail;
                (Active { sequence, segment, offset, length }, batch, crc, highest)
            }
            None => {
                let spare = preparer.take(first, first).map_err(io)?;
                let header = SegmentHeader { identity, sequence: 1, salt: (world.random)(), previous: 0, batch: 1 };
                let active = install(&*world.disk, dir, spare, header).map_err(io)?;
                shared.index.lock().add_segment(1, active.segment.clone());
                (active, 0, 0, BTreeMap::from([(1, None)]))
            }
        };
        let next_length = (active.length * 2).clamp(first, options.segment_bytes_max);
        let (vote, committed, purged, last) = {
            let index = shared.index.lock();
            (index.vote, index.committed, index.purged, index.last())
        };
        Ok(Self {
            world: world.clone(),
            dir: dir.to_path_buf(),
            identity,
            options,
            shared,
            preparer,
            active,
            batch,
            crc,
            highest,
            next_length,
            vote,
            committed,
            purged,
            begun: (vote, committed, purged),
            records: Vec::new(),
            completions: Vec::new(),
            must_flush: false,
            last,
            stop: false,
            waiting: false,
            buffer: Vec::new(),
            places: Vec::new(),
        })
    }

    /// On a thread of its own.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while !self.stop {
            let Some(job) = queue.blocking_recv() else { break };
            self.gather_all(job, &mut queue);
            if !self.must_flush && !self.stop {
                continue;
            }
            loop {
                match self.write().and_then(|()| Ok(self.flush()?)) {
                    Ok(()) => break,
                    Err(Failure::Disk(error)) => return self.give_up(&error),
                    Err(Failure::NoRoom) => std::thread::park_timeout(WAIT_FOR_ROOM),
                }
                if self.gives_up_waiting(&mut queue) {
                    return;
                }
            }
        }
    }

    /// As a task, where there are no threads; what comes while a flush takes its time shares the next one here too.
    pub(super) async fn run_as_task(mut self, mut queue: mpsc::Receiver<Job>) {
        while !self.stop {
            let Some(job) = queue.recv().await else { break };
            self.gather_all(job, &mut queue);
            if !self.must_flush && !self.stop {
                continue;
            }
            loop {
                let written = self.write();
                tokio::time::sleep(self.world.disk.flush_time()).await;
                match written.and_then(|()| Ok(self.flush()?)) {
                    Ok(()) => break,
                    Err(Failure::Disk(error)) => return self.give_up(&error),
                    Err(Failure::NoRoom) => tokio::time::sleep(WAIT_FOR_ROOM).await,
                }
                if self.gives_up_waiting(&mut queue) {
                    return;
                }
            }
        }
    }

    /// After a failed write or flush nobody knows what the disk holds; only a restart reads it anew.
    fn give_up(&self, error: &io::Error) {
        let path = self.active.segment.path.display();
        tracing::error!(%path, %error, "the log cannot be written; ending the process, since nothing after this would be durable");
        self.world.disk.give_up(error);
    }

    /// The disk and the reserve are full, and nothing of the batch is written. More may be asked meanwhile, even to stop: then
    /// nothing is lost, since nothing of it was acknowledged.
    fn gives_up_waiting(&mut self, queue: &mut mpsc::Receiver<Job>) -> bool {
        if !self.waiting {
            self.waiting = true;
            let path = self.dir.display();
            tracing::error!(%path, "the disk is full, and so is the log's reserve: this member waits for room");
        }
        while self.records.len() < RECORDS_WAITING_MAX
            && !self.stop
            && let Ok(job) = queue.try_recv()
        {
            self.gather(job);
        }
        self.stop
    }

    fn gather_all(&mut self, first: Job, queue: &mut mpsc::Receiver<Job>) {
        let mut bytes = self.gather(first);
        while bytes < BATCH_BYTES_MAX
            && let Ok(job) = queue.try_recv()
        {
            bytes += self.gather(job);
        }
    }

    fn gather(&mut self, job: Job) -> usize {
        let first = self.records.len();
        match job {
            Job::Append { entries, done } => {
                self.must_flush = true;
                self.last = entries.last().map(Entry::position).or(self.last);
                self.records.extend(entries.into_iter().map(Record::Entry));
                self.completions.push(Completion::Append(done));
            }
            Job::Vote { vote, done } => {
                self.must_flush = true;
                self.vote = Some(vote);
                self.records.push(Record::Vote(vote));
                self.completions.push(Completion::Vote(done));
            }
            Job::Truncate(last) => {
                self.last = last;
                self.records.push(Record::Truncate(last));
            }
            Job::Purge(upto) => {
                self.must_flush = true;
                (self.purged, self.last) = (self.purged.max(Some(upto)), self.last.max(Some(upto)));
                self.records.push(Record::Purge(upto));
            }
            Job::Stop => self.stop = true,
        }
        self.records[first..].iter().map(Record::size).sum()
    }

    /// Puts the batch into the segment; nothing of it counts before [`Writer::flush`].
    fn write(&mut self) -> Result<(), Failure> {
        self.note_committed();
        self.buffer.clear();
        self.places.clear();
        let mut size: u64 = self.records.iter().map(|record| record.size() as u64).sum();
        let mut state = Vec::new();
        if self.active.offset + size > self.active.length {
            state = self.state();
            size += state.iter().map(|record| record.size() as u64).sum::<u64>();
            self.roll(size)?;
        }
        (self.must_flush, self.waiting) = (false, false);
        let mut records = std::mem::take(&mut self.records);
        if records.is_empty() {
            return Ok(());
        }
        records.splice(0..0, state);
        self.encode(&records);
        self.shared.latency.begin();
        if self.world.has(Planted::AcknowledgeBeforeFlush) {
            self.completions.drain(..).for_each(Completion::succeed);
        }
        Ok(self.active.segment.file.write_at(&self.buffer, self.active.offset)?)
    }

    /// Makes the batch durable and says so.
    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.active.segment.file.flush()?;
        self.shared.latency.end();
        self.active.offset += self.buffer.len() as u64;
        self.begun = (self.vote, self.committed, self.purged);
        self.shared.index.lock().written(&self.places);
        for completion in self.completions.drain(..) {
            completion.succeed();
        }
        if self.active.offset > self.active.length / 2 {
            self.preparer.want(self.next_length);
        }
        self.remove_purged()
    }

    /// How far the log is committed, as far as this batch reaches: the entries after it may not be in the log yet.
    fn note_committed(&mut self) {
        let committed = self.shared.index.lock().committed.min(self.last);
        if committed > self.committed {
            self.committed = committed;
            self.records.extend(committed.map(Record::Committed));
        }
    }

    fn state(&self) -> Vec<Record> {
        let (vote, committed, purged) = self.begun;
        let (vote, committed) = (vote.map(Record::Vote), committed.map(Record::Committed));
        vote.into_iter().chain(committed).chain(purged.map(Record::Purge)).collect()
    }

    /// Fills the buffer with one batch, and notes where its entries will stand.
    fn encode(&mut self, records: &[Record]) {
        self.batch += 1;
        for (at, record) in records.iter().enumerate() {
            let start = self.buffer.len();
            let offset = self.active.offset + start as u64;
            let place = Place { salt: self.active.segment.salt, offset };
            let last = at + 1 == records.len();
            self.crc = record::encode(record, place, self.batch, last, self.crc, &mut self.buffer);
            if let Record::Entry(entry) = record {
                let length = u32::try_from(self.buffer.len() - start).unwrap_or(u32::MAX);
                self.places.push((entry.position(), Location { segment: self.active.sequence, offset, length }));
                let highest = self.highest.entry(self.active.sequence).or_default();
                *highest = (*highest).max(Some(entry.index));
            }
        }
    }

    /// Goes on in a new segment that holds `size` bytes of records at least.
    fn roll(&mut self, size: u64) -> Result<(), Failure> {
        let needed = (size + SEGMENT_HEADER as u64).next_multiple_of(PAGE);
        let spare = match self.preparer.take(needed.max(self.next_length), needed) {
            Err(error) if is_full(&error) => return Err(Failure::NoRoom),
            spare => spare?,
        };
        let sequence = self.active.sequence + 1;
        let header = SegmentHeader {
            identity: self.identity,
            sequence,
            salt: (self.world.random)(),
            previous: self.crc,
            batch: self.batch + 1,
        };
        self.active = install(&*self.world.disk, &self.dir, spare, header)?;
        self.next_length =
            (self.active.length * 2).clamp(self.options.segment_bytes_first, self.options.segment_bytes_max);
        self.highest.insert(sequence, None);
        self.shared.index.lock().add_segment(sequence, self.active.segment.clone());
        Ok(())
    }

    /// Removes the oldest segments as long as all of their entries are purged.
    fn remove_purged(&mut self) -> io::Result<()> {
        let Some(purged) = self.purged else { return Ok(()) };
        while let Some((sequence, highest)) =
            self.highest.first_key_value().map(|(sequence, highest)| (*sequence, *highest))
            && sequence != self.active.sequence
            && highest.is_none_or(|highest| highest <= purged.index)
        {
            self.highest.remove(&sequence);
            let segment = self.shared.index.lock().remove_segment(sequence);
            // A reader that still holds the file goes on reading it: then it is removed, not reused.
            match segment.and_then(Arc::into_inner) {
                Some(segment) => self.recycle(segment)?,
                None => self.world.disk.remove(&path_of(&self.dir, sequence))?,
            }
            // One at a time and oldest first, so that a gap between segments always means damage.
            self.world.disk.flush_folder(&self.dir)?;
        }
        Ok(())
    }

    fn recycle(&self, segment: Segment) -> io::Result<()> {
        let path = segment.path.with_extension("spare");
        self.world.disk.rename(&segment.path, &path)?;
        let length = segment.file.length()?;
        self.preparer.recycle(Spare { path, file: segment.file, length })
    }
}

/// Gives a spare file its header and its name, durably.
fn install(disk: &dyn Disk, dir: &Path, spare: Spare, header: SegmentHeader) -> io::Result<Active> {
    spare.file.write_at(&header.encode(), 0)?;
    spare.file.flush()?;
    let path = path_of(dir, header.sequence);
    disk.rename(&spare.path, &path)?;
    disk.flush_folder(dir)?;
    let segment = Arc::new(Segment { path, file: spare.file, salt: header.salt });
    Ok(Active { sequence: header.sequence, segment, offset: SEGMENT_HEADER as u64, length: spare.length })
}
