//! Medians, ratios inside a round, and Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::load::{Op, Outcome};

/// What a ratio is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The client's CPU time for one operation: less is better.
    Cpu,
    /// Operations in a second: more is better.
    Throughput,
}

impl Measure {
    fn of(self, outcome: &Outcome) -> f64 {
        match self {
            Self::Cpu => outcome.cpu_us_per_op,
            Self::Throughput => outcome.ops_per_second,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Cpu => "client CPU per operation (less is better)",
            Self::Throughput => "operations per second (more is better)",
        }
    }
}

/// The outcomes of one client in one cell, by round.
type Rounds = BTreeMap<usize, Outcome>;

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Results {
    /// The clients, in the order of their first run.
    clients: Vec<String>,
    /// By client, operation (as text, for its order) and concurrency.
    cells: BTreeMap<(String, String, usize), Rounds>,
    failures: Vec<String>,
}

impl Results {
    /// Adds one run.
    pub fn add(&mut self, round: usize, client: String, outcome: Outcome) {
        if !self.clients.contains(&client) {
            self.clients.push(client.clone());
        }
        let cell = (client, outcome.op.to_string(), outcome.concurrency);
        self.cells.entry(cell).or_default().insert(round, outcome);
    }

    /// Notes a run that gave nothing.
    pub fn fail(&mut self, failure: String) {
        self.failures.push(failure);
    }

    fn cell(&self, client: &str, op: Op, concurrency: usize) -> Option<&Rounds> {
        self.cells.get(&(client.to_owned(), op.to_string(), concurrency))
    }

    /// The medians of one operation, a row for each client.
    #[must_use]
    pub fn absolute(&self, op: Op, concurrency: &[usize]) -> String {
        let mut text = format!(
            "**{op}**: client CPU µs/op [min..max] / kop/s / p50 µs / p99 µs / max µs, medians\n\n"
        );
        let columns = concurrency.iter().map(|workers| format!("c={workers}"));
        let largest = concurrency.iter().max().copied().unwrap_or_default();
        let columns = columns.chain([format!("peak RSS MiB at c={largest}")]);
        push_row(&mut text, "client", columns.clone());
        push_row(&mut text, "---", columns.map(|_| "---".to_owned()));
        for client in &self.clients {
            let cells = concurrency.iter().map(|&workers| match self.cell(client, op, workers) {
                None => "–".to_owned(),
                Some(rounds) => {
                    let of = |read: fn(&Outcome) -> f64| Spread::of(rounds.values().map(read));
                    let cpu = of(|outcome| outcome.cpu_us_per_op);
                    let rest = [
                        of(|outcome| outcome.ops_per_second / 1e3),
                        of(|outcome| outcome.p50_us),
                        of(|outcome| outcome.p99_us),
                        of(|outcome| outcome.max_us),
                    ];
                    let rest = rest.map(|spread| digits(spread.median)).join(" / ");
                    let range = format!("[{}..{}]", digits(cpu.min), digits(cpu.max));
                    format!("**{}** {range} / {rest}", digits(cpu.median))
                }
            });
            let memory = self.cell(client, op, largest).map_or_else(
                || "–".to_owned(),
                |rounds| {
                    digits(Spread::of(rounds.values().map(|outcome| outcome.peak_rss_mib)).median)
                },
            );
            push_row(&mut text, client, cells.chain([memory]));
        }
        text
    }

    /// Every client's ratio to a base, round by round; nothing if the base was not run.
    #[must_use]
    pub fn ratios(
        &self,
        measure: Measure,
        base: &str,
        ops: &[Op],
        concurrency: &[usize],
    ) -> Option<String> {
        if !self.clients.iter().any(|client| client == base) {
            return None;
        }
        let mut text = format!(
            "Ratio to **{base}** of {}, taken in each round, median [min..max]\n\n",
            measure.title()
        );
        let cells: Vec<(Op, usize)> = ops
            .iter()
            .flat_map(|&op| concurrency.iter().map(move |&workers| (op, workers)))
            .collect();
        let columns = cells.iter().map(|(op, workers)| format!("{op} c={workers}"));
        push_row(&mut text, "client", columns.clone());
        push_row(&mut text, "---", columns.map(|_| "---".to_owned()));
        for client in self.clients.iter().filter(|client| *client != base) {
            let row = cells.iter().map(|&(op, workers)| {
                let ratios = self.ratios_in_cell(measure, client, base, op, workers);
                if ratios.is_empty() {
                    return "–".to_owned();
                }
                let Spread { min, median, max } = Spread::of(ratios.into_iter());
                format!("{median:.2} [{min:.2}..{max:.2}]")
            });
            push_row(&mut text, client, row);
        }
        Some(text)
    }

    fn ratios_in_cell(
        &self,
        measure: Measure,
        client: &str,
        base: &str,
        op: Op,
        concurrency: usize,
    ) -> Vec<f64> {
        let (Some(ours), Some(theirs)) =
            (self.cell(client, op, concurrency), self.cell(base, op, concurrency))
        else {
            return Vec::new();
        };
        ours.iter()
            .filter_map(|(round, outcome)| {
                Some(measure.of(outcome) / measure.of(theirs.get(round)?))
            })
            .collect()
    }

    /// What did not go well: runs that gave nothing, operations that failed, workers that hung.
    #[must_use]
    pub fn troubles(&self) -> String {
        let mut lines = self.failures.clone();
        for ((client, op, concurrency), rounds) in &self.cells {
            for (round, Outcome { errors, hung, first_error, .. }) in rounds {
                if *errors > 0 || *hung > 0 {
                    lines.push(format!(
                        "{client}, {op} c={concurrency}, round {round}: {errors} errors, {hung} hung: {}",
                        first_error.as_deref().unwrap_or("-")
                    ));
                }
            }
        }
        if lines.is_empty() {
            "No operation failed.".to_owned()
        } else {
            format!("Troubles:\n- {}", lines.join("\n- "))
        }
    }
}

pub(super) fn push_row(text: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    text.push_str("| ");
    text.push_str(first);
    for cell in cells {
        // Writing to a string cannot fail.
        let _ = write!(text, " | {cell}");
    }
    text.push_str(" |\n");
}

/// The middle and the ends of some figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let upper = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            at(upper)
        } else {
            f64::midpoint(at(upper.wrapping_sub(1)), at(upper))
        };
        Self { min: at(0), median, max: at(sorted.len().wrapping_sub(1)) }
    }
}

/// Three significant digits.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(concurrency: usize, cpu: f64) -> Outcome {
        Outcome {
            client: "x".to_owned(),
            runtime: "mt".to_owned(),
            op: Op::Put,
            concurrency,
            value_size: 256,
            seconds: 1.0,
            ops: 1000,
            errors: 0,
            hung: 0,
            cpu_us_per_op: cpu,
            ops_per_second: 1e6 / cpu,
            p50_us: 10.0,
            p99_us: 20.0,
            max_us: 200.0,
            peak_rss_mib: 5.0,
            first_error: None,
        }
    }

    #[test]
    fn spreads_have_a_middle() {
        for (values, min, median, max) in [
            (&[3.0, 1.0, 2.0][..], 1.0, 2.0, 3.0),
            (&[4.0, 1.0, 2.0, 3.0], 1.0, 2.5, 4.0),
            (&[7.0], 7.0, 7.0, 7.0),
        ] {
            assert_eq!(Spread::of(values.iter().copied()), Spread { min, median, max });
        }
        assert!(Spread::of(std::iter::empty()).median.is_nan());
    }

    #[test]
    fn ratios_pair_the_runs_of_a_round() {
        let mut results = Results::default();
        // The second round was twice as slow for everyone, and the base is missing from the third.
        for (round, scale) in [(0, 1.0), (1, 2.0), (2, 3.0)] {
            results.add(round, "ours".to_owned(), outcome(16, 2.0 * scale));
            if round < 2 {
                results.add(round, "base".to_owned(), outcome(16, 4.0 * scale));
            }
        }
        let table = results.ratios(Measure::Cpu, "base", &[Op::Put], &[1, 16]).unwrap();
        assert!(table.ends_with("| ours | – | 0.50 [0.50..0.50] |\n"), "{table}");
        let table = results.ratios(Measure::Throughput, "base", &[Op::Put], &[16]).unwrap();
        assert!(table.ends_with("| ours | 2.00 [2.00..2.00] |\n"), "{table}");
        assert_eq!(results.ratios(Measure::Cpu, "absent", &[Op::Put], &[16]), None);
        let table = results.absolute(Op::Put, &[16]);
        let row = "| ours | **4.00** [2.00..6.00] / 250 / 10.0 / 20.0 / 200 | 5.00 |\n";
        assert!(table.contains(row), "{table}");
        assert_eq!(results.troubles(), "No operation failed.");
    }

    #[test]
    fn troubles_are_told() {
        let mut results = Results::default();
        let bad = Outcome { errors: 3, first_error: Some("broken".to_owned()), ..outcome(1, 1.0) };
        results.add(0, "ours".to_owned(), bad);
        results.fail("go, put c=1, round 0: gone".to_owned());
        assert_eq!(
            results.troubles(),
            "Troubles:\n- go, put c=1, round 0: gone\n\
             - ours, put c=1, round 0: 3 errors, 0 hung: broken"
        );
    }
}
