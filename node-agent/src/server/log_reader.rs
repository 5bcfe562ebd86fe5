//! Reading a log file piece by piece: from its end backwards to find the last lines, then forward, also while it grows
//! and when it is replaced by a new one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::log_format::{Formatter, Selection};

const BLOCK: usize = 64 * 1024;
/// Longer lines than a log writer makes (16 KiB pieces) are garbage; they are cut.
const LINE_MAX: usize = 1024 * 1024;

/// A position in a log.
pub(super) struct LogReader {
    path: PathBuf,
    file: File,
    /// The beginning of a line whose end is not read yet.
    pending: Vec<u8>,
    formatter: Formatter,
}

impl LogReader {
    /// Opens the log at its last `tail` lines, or at its beginning.
    pub(super) fn open(path: &Path, tail: Option<u64>, formatter: Formatter) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if let Some(lines) = tail {
            let start = tail_start(&mut file, lines)?;
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Self { path: path.to_owned(), file, pending: Vec::new(), formatter })
    }

    /// The next piece of output. `None` at the present end of the log.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut block = vec![0; BLOCK];
        let mut read = self.file.read(&mut block)?;
        if read == 0 && self.reopen_if_replaced()? {
            read = self.file.read(&mut block)?;
        }
        if read == 0 {
            return Ok(None);
        }
        self.pending.extend_from_slice(&block[..read]);
        let mut out = Vec::with_capacity(read);
        let mut start = 0;
        while let Some(length) = self.pending[start..].iter().position(|byte| *byte == b'\n') {
            self.formatter.push(&self.pending[start..start + length], &mut out);
            start += length + 1;
        }
        self.pending.drain(..start);
        if self.pending.len() > LINE_MAX {
            self.pending.clear();
        }
        Ok(Some(out))
    }

    /// Whether no further output can come whatever is written.
    pub(super) fn is_full(&self) -> bool {
        self.formatter.is_full()
    }

    /// A rotated log goes on in a new file of the same name.
    fn reopen_if_replaced(&mut self) -> io::Result<bool> {
        let Ok(found) = std::fs::metadata(&self.path) else { return Ok(false) };
        let present = self.file.metadata()?;
        if (found.ino(), found.dev()) == (present.ino(), present.dev()) {
            return Ok(false);
        }
        self.file = File::open(&self.path)?;
        Ok(true)
    }
}

/// The end of a log as text, in at most 80 lines and `limit` bytes: the last words of a container that left none.
pub(crate) fn last_lines(path: &Path, limit: usize) -> io::Result<String> {
    const LINES: u64 = 80;
    let mut reader = LogReader::open(path, Some(LINES), Formatter::new(Selection::default()))?;
    let mut all = Vec::new();
    while let Some(piece) = reader.next()? {
        all.extend(piece);
    }
    let start = all.len().saturating_sub(limit);
    Ok(String::from_utf8_lossy(&all[start..]).into_owned())
}

/// The offset at which the last `lines` lines begin.
fn tail_start(file: &mut File, lines: u64) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(end);
    }
    let mut seen = 0;
    let mut is_last_byte = true;
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let length = usize::try_from(end).unwrap_or(BLOCK).min(BLOCK);
        let start = end - length as u64;
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut block[..length])?;
        for at in (0..length).rev() {
            // The line feed that ends the file begins no line.
            if block[at] == b'\n' && !is_last_byte {
                seen += 1;
                if seen == lines {
                    return Ok(start + at as u64 + 1);
                }
            }
            is_last_byte = false;
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn log(lines: usize) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for number in 0..lines {
            writeln!(file, "2026-11-23T04:00:00Z stdout F line {number}").unwrap();
        }
        file
    }

    fn drain(reader: &mut LogReader) -> String {
        let mut all = Vec::new();
        while let Some(piece) = reader.next().unwrap() {
            all.extend(piece);
        }
        String::from_utf8(all).unwrap()
    }

    fn open(path: &Path, tail: Option<u64>) -> LogReader {
        LogReader::open(path, tail, Formatter::new(Selection::default())).unwrap()
    }

    #[test]
    fn tails_across_blocks() {
        let file = log(5000);
        for (tail, lines) in [(None, 5000), (Some(0), 0), (Some(1), 1), (Some(3000), 3000), (Some(9999), 5000)] {
            let text = drain(&mut open(file.path(), tail));
            assert_eq!(text.lines().count(), lines, "tail {tail:?}");
            assert!(lines == 0 || text.ends_with("line 4999\n"));
        }
    }

    #[test]
    fn goes_on_with_what_is_appended_and_with_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, "2026-11-23T04:00:00Z stdout F one\n2026-11-23T04:00:00Z std").unwrap();
        let mut reader = open(&path, None);
        assert_eq!(drain(&mut reader), "one\n");
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        writeln!(file, "out F two").unwrap();
        assert_eq!(drain(&mut reader), "two\n");
        std::fs::rename(&path, dir.path().join("0.log.1")).unwrap();
        std::fs::write(&path, "2026-11-23T04:00:01Z stdout F three\n").unwrap();
        assert_eq!(drain(&mut reader), "three\n");
    }
}
