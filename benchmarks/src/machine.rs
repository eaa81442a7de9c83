//! What the machine itself costs, and what this process takes of it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::{Result, check, figure};

/// The median of some durations.
pub(crate) fn median(mut times: Vec<Duration>) -> Result<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied().ok_or_else(|| "nothing was timed".into())
}

/// µs.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Appending 4 KiB to a file and syncing it.
pub(crate) fn fsync() -> Result<()> {
    const WRITES: usize = 500;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("file");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut times = Vec::new();
    for _ in 0..WRITES {
        let start = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    let length = std::fs::metadata(&path)?.len();
    check(length == WRITES as u64 * 4096, || format!("{length} bytes were written"))?;
    figure("fsync.us", micros(median(times)?));
    Ok(())
}

/// Resident memory of this process, in bytes.
pub(crate) fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// Processor time that this process has taken, all threads, of its own and the system's, in s.
pub(crate) fn processor() -> Result<f64> {
    // As `proc(5)` has it for Linux on every architecture: ticks of 10 ms.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no process in /proc/self/stat")?;
    let mut times = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    let (own, system) = (times.next().ok_or("no utime")??, times.next().ok_or("no stime")??);
    Ok((own + system) / TICKS)
}

/// Files (and sockets) that this process has open.
pub(crate) fn handles() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

/// Bytes in a folder.
pub(crate) fn size(folder: &std::path::Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        sum += if found.is_dir() { size(&entry.path())? } else { found.len() };
    }
    Ok(sum)
}
