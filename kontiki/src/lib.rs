//! The one binary: composes every crate, and builds clusters on one machine.

mod files;
mod pki;
mod token;

/// Runs the command line; returns the process's exit code.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
