//! A process whose clock a test of failover moves: a file says how far, and is read again and again.
//!
//! The kernel has no namespace for the time of day, so the program itself takes another ([`api::clock`]). `kontiki up` names the
//! file, each host's own; where nobody names one, nothing here runs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::SignedDuration;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// The variable that names the file, so that a program which knows nothing of it can be started as well.
pub(crate) const VARIABLE: &str = "KONTIKI_CLOCK_AHEAD";
/// Between two looks. Tests wait for what they want to see, so this need not be less.
const PERIOD: Duration = Duration::from_millis(500);

/// Moves the clock as the file says, now and as long as the answer is held.
pub(crate) fn follow(file: Option<PathBuf>) -> JoinSet<()> {
    let mut task = JoinSet::new();
    if let Some(file) = file {
        look(&file);
        task.spawn(async move {
            let mut pace = interval(PERIOD);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                pace.tick().await;
                look(&file);
            }
        });
    }
    task
}

fn look(file: &Path) {
    // A process that may open nothing more keeps the clock that it has.
    let Ok(ahead) = read(file) else { return };
    if ahead != api::clock::shifted() {
        tracing::warn!(%ahead, "this process's clock is moved by a test");
        api::clock::shift(ahead);
    }
}

/// How far ahead a process of this host is; not at all where there is no file.
pub(crate) fn read(file: &Path) -> io::Result<SignedDuration> {
    match fs::read_to_string(file) {
        Ok(text) => text.trim().parse().map(SignedDuration::from_millis).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SignedDuration::ZERO),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_how_far_ahead_and_none_says_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("clock");
        assert_eq!(read(&file).unwrap(), SignedDuration::ZERO);
        fs::write(&file, "-1500\n").unwrap();
        assert_eq!(read(&file).unwrap(), SignedDuration::from_millis(-1500));
        fs::write(&file, "soon").unwrap();
        assert!(read(&file).is_err());
    }
}
