//! Running a program and asserting on what it says.

use std::process::{Command, Output};

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// Whether it ended with success.
    pub success: bool,
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Both streams, for looking into.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// Runs a program to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { success: status.success(), code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Runs a program that must succeed, and gives its output.
///
/// # Panics
/// With everything it said, when it fails.
pub fn succeed(command: &mut Command) -> String {
    let said = run(command);
    assert!(said.success, "{command:?} failed:\n{}", said.all());
    said.out
}
