//! The result as text.

use std::fmt::Write;
use std::time::Duration;

use super::histogram::Histogram;
use super::load::{Load, Outcome};
use crate::notation::duration;

/// Rows of the plot.
const ROWS: u32 = 16;
/// Columns of its longest bar.
const WIDTH: u64 = 50;

/// The quantiles that are told.
pub(super) const QUANTILES: [(&str, f64); 6] = [
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
];

pub(super) fn text(load: &Load, outcome: &Outcome) -> String {
    let times = &outcome.tally.times;
    let mut text = format!("{} requests in {}", times.count(), shown(outcome.took));
    let _ = writeln!(text, ", {:.1} in a second", per_second(outcome));
    if outcome.tally.errors > 0 {
        let _ = writeln!(text, "{} requests failed", outcome.tally.errors);
    }
    if let Some(planned) = load.schedule.planned() {
        let made = times.count() + outcome.tally.errors;
        if made < planned {
            let _ = writeln!(
                text,
                "{} requests of {planned} were due and not made in time: the cluster or this machine cannot keep up",
                planned - made
            );
        }
    }
    let what = match load.schedule.between {
        Some(_) => "from when a request was due until it was answered",
        None => "from when a request was made until it was answered",
    };
    let _ = writeln!(text, "\nTimes, {what}:");
    let mut line = |name: &str, time: Duration| {
        let _ = writeln!(text, "  {name:<7} {:>10}", shown(time));
    };
    line("least", times.least());
    line("mean", times.mean());
    for (name, part) in QUANTILES {
        line(name, times.quantile(part));
    }
    line("most", times.most());
    if times.count() > 0 {
        text.push('\n');
        text.push_str(&plot(times));
    }
    text
}

pub(super) fn per_second(outcome: &Outcome) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count that a double cannot tell apart is fine"
    )]
    let count = outcome.tally.times.count() as f64;
    count / outcome.took.as_secs_f64().max(1e-9)
}

/// A time in three digits or so.
pub(super) fn shown(time: Duration) -> String {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let unit = match nanoseconds {
        0..10_000 => 1,
        10_000..10_000_000 => 1_000,
        10_000_000..10_000_000_000 => 10_000,
        _ => 10_000_000,
    };
    duration::write((nanoseconds / unit * unit).cast_signed())
}

/// Bars for ranges of time, each as much longer than the one before it.
fn plot(times: &Histogram) -> String {
    let (least, most) =
        (times.least().as_secs_f64().max(1e-9), times.most().as_secs_f64().max(2e-9));
    let step = (most * 1.01 / least).powf(1.0 / f64::from(ROWS));
    let mut rows = Vec::new();
    let mut from = Duration::ZERO;
    for row in 1..=ROWS {
        let to = Duration::from_secs_f64(least * step.powi(row.cast_signed()));
        rows.push((to, times.between(from, to)));
        from = to;
    }
    let longest = rows.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let mut text = String::new();
    for (to, count) in rows {
        // What is there is seen, however little it is.
        let length = (count * WIDTH).div_ceil(longest);
        let bar = "█".repeat(usize::try_from(length).unwrap_or_default());
        let line = format!("  ≤ {:>9} {count:>9} {bar}", shown(to));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_one_row() {
        let mut times = Histogram::default();
        for number in 1..=500_u64 {
            times.record(Duration::from_micros(number * number));
        }
        let plot = plot(&times);
        assert_eq!(plot.lines().count(), ROWS as usize, "{plot}");
        let counted: u64 = plot
            .lines()
            .map(|line| {
                line.split_whitespace().nth(2).expect("a count").parse::<u64>().expect("a number")
            })
            .sum();
        assert_eq!(counted, 500, "{plot}");
        assert!(plot.contains(&"█".repeat(50)), "{plot}");
    }

    #[test]
    fn times_are_short() {
        for (nanoseconds, expected) in [
            (0, "0s"),
            (1234, "1.234µs"),
            (123_456, "123µs"),
            (12_345_678, "12.34ms"),
            (1_234_567_890, "1.23456s"),
            (12_345_678_901, "12.34s"),
        ] {
            assert_eq!(shown(Duration::from_nanos(nanoseconds)), expected);
        }
    }
}
