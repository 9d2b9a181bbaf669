//! How often something took how long, or was how large, as Prometheus wants to be told.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds, each twice as large as the one before.
pub(crate) const fn doubling<const N: usize>(first: f64) -> [f64; N] {
    let mut bounds = [first; N];
    let mut at = 1;
    while at < N {
        bounds[at] = bounds[at - 1] * 2.0;
        at += 1;
    }
    bounds
}

/// Numbers by their size.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// By the first bound that they don't exceed; the last are those beyond all.
    counts: Box<[AtomicU64]>,
    millionths: AtomicU64,
}

impl Histogram {
    /// One with these upper bounds, in ascending order.
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, millionths: AtomicU64::new(0) }
    }

    /// Counts a duration, in seconds.
    pub(crate) fn observe(&self, duration: Duration) {
        self.count(duration.as_secs_f64());
    }

    /// Counts a number that is not negative.
    pub(crate) fn count(&self, number: f64) {
        let at = self.bounds.partition_point(|bound| *bound < number);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        // What is too large for it stays at the largest that there is.
        self.millionths.fetch_add((number * 1e6).round() as u64, Ordering::Relaxed);
    }

    /// How many there were.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Appends it in Prometheus' text format.
    pub(crate) fn write(&self, name: &str, help: &str, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} histogram\n");
        self.write_labelled(name, "", out);
    }

    /// The same without what is said once for all labels. They are separated by commas.
    pub(crate) fn write_labelled(&self, name: &str, labels: &str, out: &mut String) {
        let (and, whole) = match labels {
            "" => ("", String::new()),
            _ => (",", format!("{{{labels}}}")),
        };
        let bounds = self.bounds.iter().map(|bound| shown(*bound));
        let mut total = 0;
        for (count, bound) in self.counts.iter().zip(bounds.chain(["+Inf".to_owned()])) {
            total += count.load(Ordering::Relaxed);
            // Writing to a string cannot fail.
            let _ = writeln!(out, r#"{name}_bucket{{{labels}{and}le="{bound}"}} {total}"#);
        }
        let sum = self.millionths.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_sum{whole} {sum}\n{name}_count{whole} {total}");
    }
}

/// A bound as Go writes it.
fn shown(bound: f64) -> String {
    match format!("{bound:e}").split_once('e') {
        Some((digits, exponent @ ("6" | "7" | "8" | "9"))) => format!("{digits}e+0{exponent}"),
        _ => bound.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_counts_what_is_not_larger() {
        static BOUNDS: [f64; 14] = doubling(0.001);
        let histogram = Histogram::new(&BOUNDS);
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

    #[test]
    fn labels_stand_before_the_bound() {
        static BOUNDS: [f64; 22] = doubling(1.0);
        let histogram = Histogram::new(&BOUNDS);
        histogram.count(3e6);
        let mut text = String::new();
        histogram.write_labelled("t", r#"a="b""#, &mut text);
        let ends = [
            r#"t_bucket{a="b",le="524288"} 0"#,
            r#"t_bucket{a="b",le="1.048576e+06"} 0"#,
            r#"t_bucket{a="b",le="2.097152e+06"} 0"#,
            r#"t_bucket{a="b",le="+Inf"} 1"#,
            r#"t_sum{a="b"} 3000000"#,
            r#"t_count{a="b"} 1"#,
        ];
        assert!(text.lines().collect::<Vec<_>>().ends_with(&ends), "{text}");
    }
}
