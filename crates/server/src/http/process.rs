//! What Linux tells of this process, under the names that Prometheus' own clients use.

use std::fmt::Write as _;
use std::fs;

/// Appends it, as far as it is told.
pub(super) fn add(out: &mut String) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64);
    let max_open = number(&limits, "Max open files");
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let system = fs::read_to_string("/proc/stat").unwrap_or_default();
    let network = fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
    let booted = number(&system, "btime ");
    let started = ticks(&stat, 22).zip(booted).map(|(since, booted)| booted as f64 + since);
    let whole = |number: Option<u64>| number.map(|number| number as f64);
    for (name, kind, help, value) in [
        (
            "process_resident_memory_bytes",
            "gauge",
            "Memory that the process has.",
            whole(number(&status, "VmRSS:").map(kilobytes)),
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Addresses that the process has.",
            whole(number(&status, "VmSize:").map(kilobytes)),
        ),
        (
            "process_virtual_memory_max_bytes",
            "gauge",
            "How many it can have.",
            // Without a limit it is said to be the largest number.
            whole(number(&limits, "Max address space").or(Some(u64::MAX))),
        ),
        ("process_open_fds", "gauge", "Open files and connections.", whole(open)),
        ("process_max_fds", "gauge", "How many there can be.", whole(max_open)),
        ("os_fd_used", "gauge", "Open files and connections.", whole(open)),
        ("os_fd_limit", "gauge", "How many there can be.", whole(max_open)),
        (
            "process_cpu_seconds_total",
            "counter",
            "Time that processors worked for the process.",
            ticks(&stat, 14).zip(ticks(&stat, 15)).map(|(user, system)| user + system),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process began, in seconds since 1970.",
            started,
        ),
        (
            "process_network_receive_bytes_total",
            "counter",
            "Bytes that came over the network, to whomever of this machine.",
            column(&network, "IpExt:", "InOctets"),
        ),
        (
            "process_network_transmit_bytes_total",
            "counter",
            "Bytes that went over the network, from whomever of this machine.",
            column(&network, "IpExt:", "OutOctets"),
        ),
    ] {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    }
}

/// The seconds in a field of `stat`, which are counted from 1: hundredths, as Linux tells them to every program.
fn ticks(stat: &str, field: usize) -> Option<f64> {
    // The name of the program is the second field, in parentheses, and may hold anything.
    let (_, behind) = stat.rsplit_once(')')?;
    let ticks: u64 = behind.split_whitespace().nth(field.checked_sub(3)?)?.parse().ok()?;
    Some(ticks as f64 / 100.0)
}

/// The number under a name, where a line of names is followed by one of numbers.
fn column(text: &str, table: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines().filter(|line| line.starts_with(table));
    let at = lines.next()?.split_whitespace().position(|known| known == name)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

/// The number behind the name at the beginning of a line.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

const fn kilobytes(number: u64) -> u64 {
    number.saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_columns_are_found_by_their_places() {
        let stat = "7 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 12345 1";
        for (field, expected) in [(14, Some(2.5)), (15, Some(0.5)), (22, Some(123.45)), (99, None)]
        {
            assert_eq!(ticks(stat, field), expected, "{field}");
        }
        let text = "TcpExt: A InOctets\nTcpExt: 1 2\nIpExt: B InOctets\nIpExt: 3 4\n";
        for (name, expected) in [("InOctets", Some(4.0)), ("A", None), ("B", Some(3.0))] {
            assert_eq!(column(text, "IpExt:", name), expected, "{name}");
        }
        assert_eq!(column("IpExt: A\n", "IpExt:", "A"), None);
    }

    #[test]
    fn numbers_stand_behind_names() {
        let text = "VmPeak:\t 9 kB\nVmRSS:\t  1234 kB\nMax open files            1024      4096  files\nx: none\n";
        for (name, expected) in
            [("VmRSS:", Some(1234)), ("Max open files", Some(1024)), ("x:", None), ("y:", None)]
        {
            assert_eq!(number(text, name), expected, "{name}");
        }
    }
}
