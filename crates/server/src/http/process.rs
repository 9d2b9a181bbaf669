//! What Linux tells of this process, under the names that Prometheus' own clients use.

use std::fmt::Write as _;
use std::fs;

/// Appends it, as far as it is told.
pub(super) fn add(out: &mut String) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64);
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Memory that the process has.",
            number(&status, "VmRSS:").map(kilobytes),
        ),
        (
            "process_virtual_memory_bytes",
            "Addresses that the process has.",
            number(&status, "VmSize:").map(kilobytes),
        ),
        ("process_open_fds", "Open files and connections.", open),
        ("process_max_fds", "How many there can be.", number(&limits, "Max open files")),
    ] {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
        }
    }
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
    fn numbers_stand_behind_names() {
        let text = "VmPeak:\t 9 kB\nVmRSS:\t  1234 kB\nMax open files            1024      4096  files\nx: none\n";
        for (name, expected) in
            [("VmRSS:", Some(1234)), ("Max open files", Some(1024)), ("x:", None), ("y:", None)]
        {
            assert_eq!(number(text, name), expected, "{name}");
        }
    }
}
