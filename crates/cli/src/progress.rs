//! How far long work has come, for people: on stderr, and only if that is a terminal.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::console::Console;
use crate::pause::now;

/// How often the line is written anew.
const INTERVAL: Duration = Duration::from_millis(100);
/// The width of the bar.
const WIDTH: u64 = 30;

/// A bar that grows. Dropping it removes it from the terminal.
pub(crate) struct Progress {
    label: &'static str,
    /// When it was written last; nothing where nobody looks.
    shown: Option<Mutex<Option<Instant>>>,
}

impl Progress {
    pub(crate) fn new(console: &Console, label: &'static str) -> Self {
        Self { label, shown: console.err_is_terminal().then(Mutex::default) }
    }

    /// Shows that `done` of `total` bytes are done.
    pub(crate) fn show(&self, done: u64, total: u64) {
        let Some(shown) = &self.shown else { return };
        let Ok(mut shown) = shown.lock() else { return };
        let time = now();
        if shown.is_some_and(|last| time.duration_since(last) < INTERVAL) && done < total {
            return;
        }
        *shown = Some(time);
        let line = line(self.label, done, total);
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(label: &str, done: u64, total: u64) -> String {
    let filled = if total == 0 {
        0
    } else {
        (u128::from(done.min(total)) * u128::from(WIDTH) / u128::from(total)) as usize
    };
    let bar = format!("{}{}", "=".repeat(filled), " ".repeat(WIDTH as usize - filled));
    format!("{label} [{bar}] {:.1} of {:.1} MB", done as f64 / 1e6, total as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(line("x", 0, 0), format!("x [{}] 0.0 of 0.0 MB", " ".repeat(30)));
        assert_eq!(
            line("x", 1_500_000, 3_000_000),
            format!("x [{}{}] 1.5 of 3.0 MB", "=".repeat(15), " ".repeat(15))
        );
        assert_eq!(line("x", 9, 3), format!("x [{}] 0.0 of 0.0 MB", "=".repeat(30)));
    }
}
