//! What processes have cost, as the kernel counts it.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// The kernel's unit of processor time towards users: a hundredth of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

fn stat(pid: i32) -> Result<Vec<String>> {
    let stat =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    // The command's name, in brackets, may hold anything: fields are counted after its last bracket.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    Ok(fields.split_ascii_whitespace().map(str::to_owned).collect())
}

fn ticks(pid: i32, field: usize) -> Result<u32> {
    Ok(stat(pid)?.get(field).context("a short stat file")?.parse()?)
}

/// Processor time of these processes so far, user's and system's. One that is gone counts nothing.
pub fn processor_time(pids: &[i32]) -> Duration {
    // proc(5): utime and stime are fields 14 and 15; the first after the name is field 3.
    pids.iter().flat_map(|pid| [ticks(*pid, 11), ticks(*pid, 12)]).flatten().map(|ticks| TICK * ticks).sum()
}

/// How long a process has been running.
///
/// # Errors
/// When it is gone.
pub fn age(pid: i32) -> Result<Duration> {
    let uptime = std::fs::read_to_string("/proc/uptime")?;
    let up: f64 = uptime.split_ascii_whitespace().next().context("an empty uptime")?.parse()?;
    Ok(Duration::from_secs_f64(up).saturating_sub(TICK * ticks(pid, 19)?))
}

/// Memory of a process that is in use, in MiB, with what it shares.
///
/// # Errors
/// When it is gone.
pub fn resident_mebibytes(pid: i32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kibibytes: u32 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(f64::from(kibibytes) / 1024.0)
}

/// Memory of a process that is in use, in MiB; what it shares with others counts in part.
///
/// # Errors
/// When it is gone.
pub fn proportional_mebibytes(pid: i32) -> Result<f64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
    let kibibytes: u32 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(f64::from(kibibytes) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_an_age_memory_and_a_cost() {
        let own = i32::try_from(std::process::id()).unwrap();
        let start = processor_time(&[own]);
        let before = std::time::Instant::now();
        while processor_time(&[own]) <= start {
            assert!(before.elapsed() < Duration::from_secs(20), "working costs processor time");
        }
        let resident = resident_mebibytes(own).unwrap();
        assert!(resident > 1.0 && proportional_mebibytes(own).unwrap() <= resident + 1.0);
        assert!(age(own).unwrap() < Duration::from_secs(3600));
        assert!(age(i32::MAX).is_err() && processor_time(&[i32::MAX]) == Duration::ZERO);
    }
}
