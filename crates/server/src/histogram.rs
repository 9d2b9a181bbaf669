//! How often something took how long, as Prometheus wants to be told.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds: a millisecond and each time twice as long, up to eight seconds, as etcd has them for its disk.
const BOUNDS: u32 = 14;

/// Durations by their size.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// By the first bound that they don't exceed; the last are those beyond all.
    counts: [AtomicU64; BOUNDS as usize + 1],
    microseconds: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, duration: Duration) {
        let within = (0..BOUNDS).position(|bound| duration <= limit(bound));
        if let Some(count) = self.counts.get(within.unwrap_or(BOUNDS as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    /// How many there were.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Appends it in Prometheus' text format.
    pub(crate) fn write(&self, name: &str, help: &str, out: &mut String) {
        let mut lines = String::new();
        let mut total = 0;
        for (count, bound) in self.counts.iter().zip(0..) {
            total += count.load(Ordering::Relaxed);
            let bound = if bound < BOUNDS {
                limit(bound).as_secs_f64().to_string()
            } else {
                "+Inf".to_owned()
            };
            // Writing to a string cannot fail.
            let _ = writeln!(lines, r#"{name}_bucket{{le="{bound}"}} {total}"#);
        }
        let seconds =
            Duration::from_micros(self.microseconds.load(Ordering::Relaxed)).as_secs_f64();
        let _ = write!(
            out,
            "# HELP {name} {help}\n# TYPE {name} histogram\n{lines}{name}_sum {seconds}\n{name}_count {total}\n"
        );
    }
}

fn limit(bound: u32) -> Duration {
    Duration::from_millis(1) * 2_u32.pow(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_counts_what_is_not_longer() {
        let histogram = Histogram::default();
        for milliseconds in [0, 1, 2, 3, 8192, 8193] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let mut text = String::new();
        histogram.write("t", "Help.", &mut text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["# HELP t Help.", "# TYPE t histogram"]);
        for line in [
            r#"t_bucket{le="0.001"} 2"#,
            r#"t_bucket{le="0.002"} 3"#,
            r#"t_bucket{le="0.004"} 4"#,
            r#"t_bucket{le="8.192"} 5"#,
            r#"t_bucket{le="+Inf"} 6"#,
            "t_sum 16.391",
            "t_count 6",
        ] {
            assert!(lines.contains(&line), "{line} in {text}");
        }
    }
}
