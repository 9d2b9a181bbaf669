//! How far long work has come, for people: on stderr, and only if that is a terminal.

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::console::Console;
use crate::pause::now;

/// How often the line is written anew.
const INTERVAL: Duration = Duration::from_millis(100);
/// How often, where only time tells that something goes on.
const WAITING: Duration = Duration::from_secs(1);
/// The width of the bar.
const WIDTH: u64 = 30;

/// A line that says how far it is. Dropping it removes it from the terminal.
pub(crate) struct Progress {
    label: String,
    /// What is counted; bytes, if nothing is named.
    unit: Option<&'static str>,
    /// When it was written last; nothing where nobody looks.
    shown: Option<Mutex<Option<Instant>>>,
}

impl Progress {
    /// One that counts bytes.
    pub(crate) fn new(console: &Console, label: impl Into<String>) -> Self {
        let shown = console.err_is_terminal().then(Mutex::default);
        Self { label: label.into(), unit: None, shown }
    }

    /// Counts these instead.
    pub(crate) fn counting(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Whether somebody looks.
    pub(crate) const fn is_seen(&self) -> bool {
        self.shown.is_some()
    }

    /// Shows that `done` of `total` are done.
    pub(crate) fn show(&self, done: u64, total: u64) {
        let is_recent = self.last().is_some_and(|last| last.elapsed() < INTERVAL);
        if self.is_seen() && (!is_recent || done >= total) {
            self.write(&self.line(done, total));
        }
    }

    /// Waits for what tells nothing until it is done, and shows for how long.
    pub(crate) async fn wait<F: Future>(&self, work: F) -> F::Output {
        if !self.is_seen() {
            return work.await;
        }
        let mut work = pin!(work);
        let start = now();
        let mut ticks = tokio::time::interval_at((start + WAITING).into(), WAITING);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => {
                    self.write(&format!("{}: {} s", self.label, start.elapsed().as_secs()));
                }
            }
        }
    }

    fn line(&self, done: u64, total: u64) -> String {
        let filled = if total == 0 {
            0
        } else {
            (u128::from(done.min(total)) * u128::from(WIDTH) / u128::from(total)) as usize
        };
        let bar = format!("{}{}", "=".repeat(filled), " ".repeat(WIDTH as usize - filled));
        let label = &self.label;
        match self.unit {
            None => {
                format!("{label} [{bar}] {:.1} of {:.1} MB", done as f64 / 1e6, total as f64 / 1e6)
            }
            Some(unit) => format!("{label} [{bar}] {done} of {total} {unit}"),
        }
    }

    /// When something was written last.
    fn last(&self) -> Option<Instant> {
        *self.shown.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a line in the place of the one before.
    fn write(&self, line: &str) {
        if let Some(shown) = &self.shown {
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(now());
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.last().is_some() {
            self.write("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_quick_shows_nothing() {
        let shown = Some(Mutex::default());
        let progress = Progress { label: "x".to_owned(), unit: None, shown };
        progress.wait(std::future::ready(())).await;
        assert_eq!(progress.last(), None);
    }

    #[test]
    fn bars() {
        let bar = Progress { label: "x".to_owned(), unit: None, shown: None };
        assert_eq!(bar.line(0, 0), format!("x [{}] 0.0 of 0.0 MB", " ".repeat(30)));
        assert_eq!(
            bar.line(1_500_000, 3_000_000),
            format!("x [{}{}] 1.5 of 3.0 MB", "=".repeat(15), " ".repeat(15))
        );
        assert_eq!(bar.line(9, 3), format!("x [{}] 0.0 of 0.0 MB", "=".repeat(30)));
        let bar = bar.counting("keys");
        assert_eq!(bar.line(1, 3), format!("x [{}{}] 1 of 3 keys", "=".repeat(10), " ".repeat(20)));
    }
}
