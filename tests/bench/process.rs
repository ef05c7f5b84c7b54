//! What the kernel says about a process.

use std::time::Duration;

use anyhow::Context as _;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Processor time, its own and that of the children it waited for.
    pub(crate) cpu: Duration,
    /// The most memory it ever held, in KiB.
    pub(crate) peak: u64,
    /// The memory it holds, in KiB.
    pub(crate) resident: u64,
}

/// Ticks of a second in `/proc`: what Linux tells user space on every architecture.
const TICKS: u64 = 100;

/// Reads the usage of a process.
pub(crate) fn usage(id: u32) -> anyhow::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).context("the process is gone")?;
    let rest = stat.rsplit_once(") ").context("the form of /proc/<id>/stat")?.1;
    let fields: Vec<&str> = rest.split(' ').collect();
    // After the name: utime, stime, cutime and cstime are the 12th to the 15th.
    let ticks: u64 = fields.iter().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).context("the process is gone")?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    };
    Ok(Usage {
        cpu: Duration::from_millis(ticks * 1000 / TICKS),
        peak: kib("VmHWM:"),
        resident: kib("VmRSS:"),
    })
}
