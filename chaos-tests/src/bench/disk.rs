//! The disk's own ceiling: an append of 512 bytes and an fdatasync, one after the other.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;

/// Appends a second, in `folder`, measured for `duration`.
///
/// # Errors
/// When the folder cannot be written.
pub fn appends(folder: &Path, duration: Duration) -> Result<f64> {
    let mut file = File::create(folder.join("appends"))?;
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < duration {
        file.write_all(&[b'x'; 512])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}
