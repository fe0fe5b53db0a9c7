//! CPU time of another process.

use std::{fs, io, time::Duration};

/// Linux reports it in units of `USER_HZ`, which is 100 on every architecture that this runs on.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of all threads of a process, in steps of 10 ms.
pub fn used(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // proc(5): the name in parentheses may hold anything; utime and stime are fields 14 and 15, the 12th and 13th after it.
    let ticks: Option<u32> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().skip(11).take(2))
        .and_then(|fields| fields.map(|field| field.parse::<u32>().ok()).sum());
    ticks
        .map(|ticks| TICK * ticks)
        .ok_or_else(|| io::Error::other(format!("no CPU time in /proc/{pid}/stat")))
}
