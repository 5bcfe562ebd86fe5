//! Container output in the log format of the container runtime interface:
//! `2026-11-23T04:30:00.123456789Z stdout F the line`, with `P` for a line that is not complete yet.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use crate::{clock, tap::Tap};

/// A line that is longer is written in parts of this size.
const PART_MAX: usize = 16 * 1024;

/// The log file of one container.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { path: path.to_owned(), file })
    }

    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path)?;
        Ok(())
    }

    /// A full disk must not stop the container, so what cannot be written is dropped.
    pub(crate) fn write(&mut self, entries: &[u8]) {
        drop(self.file.write_all(entries));
    }
}

/// One of a container's two output pipes.
#[derive(Debug)]
pub(crate) struct Stream {
    /// The reading end; `None` at its end.
    pub(crate) pipe: Option<OwnedFd>,
    /// Who else gets what is written.
    pub(crate) taps: Vec<Tap>,
    lines: Lines,
}

/// What became of a pipe.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// More may come.
    Open,
    /// Nothing can come.
    Ended,
}

impl Stream {
    /// Without a pipe there is nothing to come.
    pub(crate) fn new(pipe: Option<OwnedFd>, name: &'static str) -> Self {
        Self { pipe, taps: Vec::new(), lines: Lines { name, part: Vec::new() } }
    }

    /// Whether an attached client has to read before more is taken from the container.
    pub(crate) fn is_blocked(&self) -> bool {
        self.taps.iter().any(Tap::is_full)
    }

    /// Hands attached clients what they had no room for, and lets go of those that are gone or have got all.
    pub(crate) fn flush(&mut self) {
        let ended = self.pipe.is_none();
        self.taps.retain_mut(|tap| tap.flush().is_ok() && (tap.is_full() || !ended));
    }

    fn share(&mut self, bytes: &[u8]) {
        self.taps.retain_mut(|tap| tap.give(bytes).is_ok());
    }

    /// Moves what is in the pipe, at most `buffer` once, to the log.
    pub(crate) fn pump(&mut self, buffer: &mut [u8], entries: &mut Vec<u8>, log: &mut LogFile) -> Drained {
        let Some(pipe) = &self.pipe else { return Drained::Ended };
        match rustix::io::read(pipe, &mut *buffer) {
            Ok(0) => {}
            Ok(read) => {
                entries.clear();
                self.lines.take(&buffer[..read], &clock::now_text(), entries);
                log.write(entries);
                self.share(&buffer[..read]);
                return Drained::Open;
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Drained::Open,
            Err(_) => {}
        }
        self.finish(entries, log);
        Drained::Ended
    }

    /// Reads until the pipe is empty, whoever may still hold its other end, and closes it.
    pub(crate) fn drain(&mut self, buffer: &mut [u8], entries: &mut Vec<u8>, log: &mut LogFile) {
        while let Some(pipe) = &self.pipe {
            match rustix::io::read(pipe, &mut *buffer) {
                Ok(read) if read > 0 => {
                    entries.clear();
                    self.lines.take(&buffer[..read], &clock::now_text(), entries);
                    log.write(entries);
                    self.share(&buffer[..read]);
                }
                Err(rustix::io::Errno::INTR) => {}
                _ => self.finish(entries, log),
            }
        }
    }

    fn finish(&mut self, entries: &mut Vec<u8>, log: &mut LogFile) {
        self.pipe = None;
        entries.clear();
        self.lines.end(&clock::now_text(), entries);
        log.write(entries);
        self.flush();
    }
}

/// Cuts a byte stream into log entries.
#[derive(Debug)]
struct Lines {
    name: &'static str,
    /// The beginning of a line whose end has not come; never longer than [`PART_MAX`].
    part: Vec<u8>,
}

impl Lines {
    fn take(&mut self, mut bytes: &[u8], time: &str, entries: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let room = PART_MAX - self.part.len();
            let reach = bytes.len().min(room + 1);
            match bytes[..reach].iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.entry("F", &bytes[..end], time, entries);
                    bytes = &bytes[end + 1..];
                }
                None if bytes.len() > room => {
                    self.entry("P", &bytes[..room], time, entries);
                    bytes = &bytes[room..];
                }
                None => {
                    self.part.extend_from_slice(bytes);
                    return;
                }
            }
        }
    }

    fn end(&mut self, time: &str, entries: &mut Vec<u8>) {
        if !self.part.is_empty() {
            self.entry("F", &[], time, entries);
        }
    }

    fn entry(&mut self, tag: &str, rest: &[u8], time: &str, entries: &mut Vec<u8>) {
        for piece in [time.as_bytes(), b" ", self.name.as_bytes(), b" ", tag.as_bytes(), b" ", &self.part, rest, b"\n"]
        {
            entries.extend_from_slice(piece);
        }
        self.part.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[&[u8]], expect: &str) {
        let mut lines = Lines { name: "stdout", part: Vec::new() };
        let mut entries = Vec::new();
        for chunk in chunks {
            lines.take(chunk, "T", &mut entries);
        }
        lines.end("T", &mut entries);
        assert_eq!(String::from_utf8(entries).unwrap(), expect);
    }

    #[test]
    fn lines_become_entries() {
        check(&[b"one\ntwo\n"], "T stdout F one\nT stdout F two\n");
        check(&[b"o", b"ne\n\n"], "T stdout F one\nT stdout F \n");
        check(&[b"no end"], "T stdout F no end\n");
        check(&[], "");
    }

    #[test]
    fn long_lines_come_in_parts() {
        let long = vec![b'x'; PART_MAX];
        let text = "x".repeat(PART_MAX);
        check(&[&long, b"\n"], &format!("T stdout F {text}\n"));
        check(&[&long, b"yz\n"], &format!("T stdout P {text}\nT stdout F yz\n"));
        check(&[&long, &long], &format!("T stdout P {text}\nT stdout F {text}\n"));
    }
}
