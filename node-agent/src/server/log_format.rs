//! Lines of the CRI log format: `<RFC 3339 time> <stdout|stderr> <F|P> <content>`. `P` marks a piece of a line whose
//! rest follows.

use jiff::Timestamp;

/// One line of a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) time: &'a str,
    pub(super) stream: &'a str,
    pub(super) is_partial: bool,
    pub(super) content: &'a [u8],
}

/// Takes a line apart, without its line feed. `None` for what is not in the format.
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = std::str::from_utf8(parts.next()?).ok()?;
    let tags = parts.next()?;
    let content = parts.next().unwrap_or_default();
    let is_partial = match tags.split(|byte| *byte == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    matches!(stream, "stdout" | "stderr").then_some(Line { time, stream, is_partial, content })
}

/// What of a log is wanted, and in which form.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    pub(super) since: Option<Timestamp>,
    pub(super) timestamps: bool,
    pub(super) limit_bytes: Option<usize>,
    /// `Stdout` or `Stderr`; `None` is both.
    pub(super) stream: Option<&'static str>,
}

/// Turns log lines into what `kubectl logs` prints.
#[derive(Debug)]
pub(super) struct Formatter {
    selection: Selection,
    left: usize,
    at_line_start: bool,
}

impl Formatter {
    pub(super) fn new(selection: Selection) -> Self {
        let left = selection.limit_bytes.unwrap_or(usize::MAX);
        Self { selection, left, at_line_start: true }
    }

    /// Whether the byte limit is reached.
    pub(super) fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Appends one line of the file to `out`, if it is wanted.
    pub(super) fn push(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(line) = parse(line) else { return };
        if self.selection.stream.is_some_and(|stream| stream != line.stream) {
            return;
        }
        if let Some(since) = self.selection.since {
            if line.time.parse::<Timestamp>().is_ok_and(|time| time < since) {
                return;
            }
            // Times never go back in a file, so the first hit ends the search.
            self.selection.since = None;
        }
        if self.selection.timestamps && self.at_line_start {
            self.write(line.time.as_bytes(), out);
            self.write(b" ", out);
        }
        self.write(line.content, out);
        if !line.is_partial {
            self.write(b"\n", out);
        }
        self.at_line_start = !line.is_partial;
    }

    fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let taken = bytes.len().min(self.left);
        out.extend_from_slice(&bytes[..taken]);
        self.left -= taken;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 4] = [
        "2026-11-23T04:00:00.000000001Z stdout F one",
        "2026-11-23T04:00:01.5Z stderr P two-",
        "2026-11-23T04:00:01.6Z stderr F two",
        "2026-11-23T04:00:02Z stdout F ",
    ];

    fn printed(selection: Selection) -> String {
        let mut formatter = Formatter::new(selection);
        let mut out = Vec::new();
        for line in LINES {
            formatter.push(line.as_bytes(), &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parses_the_format_and_nothing_else() {
        let line = parse(LINES[1].as_bytes()).unwrap();
        assert_eq!((line.stream, line.is_partial, line.content), ("stderr", true, &b"two-"[..]));
        assert_eq!(parse(b"t stdout F").unwrap().content, b"");
        assert_eq!(parse(b"t stdout F:x a b").unwrap().content, b"a b");
        for bad in ["", "plain text", "t other F x", "t stdout X x"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn prints_what_was_selected() {
        let since = |text: &str| Some(text.parse().unwrap());
        for (selection, expected) in [
            (Selection::default(), "one\ntwo-two\n\n"),
            (Selection { stream: Some("stderr"), ..Selection::default() }, "two-two\n"),
            (Selection { limit_bytes: Some(6), ..Selection::default() }, "one\ntw"),
            (Selection { since: since("2026-11-23T04:00:01Z"), ..Selection::default() }, "two-two\n\n"),
            (
                Selection { timestamps: true, since: since("2026-11-23T04:00:01Z"), ..Selection::default() },
                "2026-11-23T04:00:01.5Z two-two\n2026-11-23T04:00:02Z \n",
            ),
        ] {
            assert_eq!(printed(selection.clone()), expected, "{selection:?}");
        }
    }
}
