//! Commands of kubectl as data: what is run, and what it must say. One text serves every kubectl on the machine.
//!
//! A text is lines. `$` begins a command, and the lines below it tell what it must do:
//!
//! | line | means |
//! |---|---|
//! | `$ get cm -o name` | the words of the command, at blanks; `'...'` keeps blanks |
//! | `= text` | standard output is this, but for blanks around it |
//! | `~ text` | it says this somewhere |
//! | `! text` | it fails, and says this |
//! | `@ 1.27-1.29` | only these minors; either end may be left open |
//! | `# text` | nothing |
//!
//! Without `!` a command must succeed.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where `tools/bootstrap test` lays kubectls that are not on the PATH.
const BOOTSTRAPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/kubectl");

/// A kubectl on this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// The minor of its version.
    pub minor: u32,
    /// Where it is.
    pub path: PathBuf,
}

impl Program {
    /// # Panics
    /// When it does not tell its version.
    fn at(path: PathBuf) -> Self {
        let output = Command::new(&path).args(["version", "--client", "-o", "json"]).output().expect("kubectl runs");
        let version: serde_json::Value = serde_json::from_slice(&output.stdout).expect("kubectl tells its version");
        let minor = version["clientVersion"]["minor"].as_str().expect("a minor").trim_end_matches('+');
        Self { minor: minor.parse().expect("a number"), path }
    }
}

/// Every kubectl on this machine, one of each minor: the one on the PATH, those beside it, and those of the bootstrap.
///
/// # Panics
/// When there is none.
pub fn programs() -> Vec<Program> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|path| path.exists());
    let on_path = on_path.expect("kubectl is installed (tools/bootstrap test)");
    let real = fs::canonicalize(&on_path).expect("kubectl's real path");
    let folders = [real.parent(), Some(Path::new(BOOTSTRAPPED))].into_iter().flatten();
    let entries = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten().map(|entry| entry.path());
    let is_minor =
        |path: &PathBuf| path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("kubectl.1."));
    let mut found: Vec<Program> = entries.filter(is_minor).chain([on_path]).map(Program::at).collect();
    found.sort();
    found.dedup_by_key(|program| program.minor);
    found
}

/// A command and what it must do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The line it stands in.
    pub line: usize,
    /// Its words.
    pub words: Vec<String>,
    minors: Option<(u32, u32)>,
    exactly: Option<String>,
    says: Vec<String>,
    fails: bool,
}

/// The commands of a text.
///
/// # Panics
/// When the text is not of the form above.
pub fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        if mark == "$" {
            steps.push(Step { line: line_number, words: words(rest), ..Step::default() });
            continue;
        }
        if mark.is_empty() || mark.starts_with('#') {
            continue;
        }
        let step = steps.last_mut().unwrap_or_else(|| panic!("line {line_number}: no command yet"));
        match mark {
            "=" => step.exactly = Some(rest.to_owned()),
            "~" => step.says.push(rest.to_owned()),
            "!" => {
                step.fails = true;
                step.says.push(rest.to_owned());
            }
            "@" => step.minors = Some(minors(rest)),
            other => panic!("line {line_number}: {other} means nothing"),
        }
    }
    steps
}

fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for character in text.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

fn minors(text: &str) -> (u32, u32) {
    let (first, last) = text.split_once('-').expect("two minors with - between them");
    let minor = |text: &str, otherwise: u32| match text.strip_prefix("1.") {
        Some(minor) => minor.parse().expect("a number"),
        None => otherwise,
    };
    (minor(first, 0), minor(last, u32::MAX))
}

impl Step {
    /// Whether a kubectl of this minor runs it.
    pub fn is_for(&self, minor: u32) -> bool {
        self.minors.is_none_or(|(first, last)| (first..=last).contains(&minor))
    }

    /// What is wrong with how the command went; nothing if all is well.
    pub fn complaint(&self, success: bool, out: &str, err: &str) -> Option<String> {
        let missing = self.says.iter().find(|text| !out.contains(*text) && !err.contains(*text));
        let expected = if success == self.fails {
            if self.fails { "a failure".to_owned() } else { "success".to_owned() }
        } else if let Some(text) = self.exactly.as_ref().filter(|text| out.trim() != text.trim()) {
            format!("exactly `{text}`")
        } else {
            format!("`{}`", missing?)
        };
        Some(format!("line {}: {}: expected {expected}, and it said:\n{out}{err}", self.line, self.words.join(" ")))
    }

    /// Runs the command, whose words are added here.
    ///
    /// # Errors
    /// What is wrong with how it went.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, mut kubectl: Command) -> Result<(), String> {
        let output = kubectl.args(&self.words).output().expect("kubectl runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self.complaint(output.status.success(), &text(&output.stdout), &text(&output.stderr)) {
            Some(complaint) => Err(complaint),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# A comment.\n$ get cm 'a b' -o name\n= configmap/x\n~ map\n@ 1.27-1.29\n\n$ get nothing\n! NotFound\n";

    #[test]
    fn a_text_is_read_as_it_is_meant() {
        let steps = steps(TEXT);
        assert_eq!(steps[0].words, ["get", "cm", "a b", "-o", "name"]);
        assert_eq!([26, 27, 29, 30].map(|minor| steps[0].is_for(minor)), [false, true, true, false]);
        assert!(steps[1].is_for(20) && minors("-1.20") == (0, 20) && minors("1.28-") == (28, u32::MAX));
    }

    #[test]
    fn what_goes_otherwise_is_complained_of() {
        let steps = steps(TEXT);
        let complaint = |step: usize, success, out, err| steps[step].complaint(success, out, err).unwrap_or_default();
        assert_eq!(complaint(0, true, "configmap/x\n", ""), "");
        assert!(complaint(0, false, "configmap/x\n", "").contains("expected success"));
        assert!(complaint(0, true, "configmap/y\n", "").contains("expected exactly"));
        assert_eq!(complaint(1, false, "", "Error: NotFound"), "");
        assert!(complaint(1, true, "NotFound", "").contains("expected a failure"));
        assert!(complaint(1, false, "", "Forbidden").contains("expected `NotFound`"));
    }
}
