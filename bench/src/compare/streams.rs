//! Rounds of watches and leases on the null server, and the tables that come of them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::drivers::{Candidate, Drivers};
use super::servers::Server;
use super::table::{Spread, digits, push_row};
use crate::args::Flags;
use crate::streams::{Kind, Outcome};
use crate::{Error, report};

/// How much longer than its window a run may take.
const GRACE: Duration = Duration::from_secs(100);

const DEFAULT_CLIENTS: &str =
    "etcdkit-ct,etcdkit-mt,etcdkit-read-ct,etcdkit-read-mt,etcd-client-ct,etcd-client-mt,go";
const DEFAULT_BASES: &str = "go,etcd-client-ct,etcd-client-mt";

/// What is compared.
#[derive(Debug)]
pub struct StreamComparison {
    rounds: usize,
    watchers: Vec<usize>,
    leases: Vec<usize>,
    kinds: Vec<Kind>,
    events: u64,
    seconds: f64,
    candidates: Vec<Candidate>,
    bases: Vec<String>,
    out: PathBuf,
    drivers: Drivers,
}

/// A number that is compared: its title, how to read it, and whether its ratios are shown.
type Column = (&'static str, fn(&Outcome) -> f64);

const COLUMNS: [Column; 3] = [
    ("client CPU µs for each event or renewal", |outcome| outcome.cpu_us_per_event),
    ("ms until all are there", |outcome| outcome.setup_ms),
    ("KiB for each", |outcome| outcome.kib_each),
];

/// The runs of one client with so many of a kind, by round.
type Cells = BTreeMap<(Kind, usize), BTreeMap<String, BTreeMap<usize, Outcome>>>;

impl StreamComparison {
    /// Reads the flags of the `compare-streams` command.
    ///
    /// # Errors
    /// A flag is malformed.
    pub fn from_flags(flags: &mut Flags) -> Result<Self, Error> {
        Ok(Self {
            rounds: flags.value("rounds", 5)?,
            watchers: flags.list("watchers", "1,1000,10000")?,
            leases: flags.list("leases", "10000")?,
            kinds: flags.list("kind", "watch,lease")?,
            events: flags.value("events", 200_000)?,
            seconds: flags.value("seconds", 15.0)?,
            candidates: flags.list("clients", DEFAULT_CLIENTS)?,
            bases: flags.list("bases", DEFAULT_BASES)?,
            out: flags.value("out", PathBuf::from("target/bench/compare-streams.jsonl"))?,
            drivers: Drivers::from_flags(flags)?,
        })
    }

    /// Runs everything and prints the tables.
    ///
    /// # Errors
    /// The server does not start, the output file cannot be written, or no client is there to run.
    pub async fn run(&self) -> Result<(), Error> {
        let mut present = self.drivers.present(&self.candidates)?;
        let mut file = super::create(&self.out)?;
        let mut cells = Cells::new();
        let mut troubles = Vec::new();
        for round in 0..self.rounds {
            present.rotate_left(usize::from(round > 0));
            for (kind, count) in self.cells() {
                for candidate in &present {
                    // Those that read every renewal and those that don't differ for leases only.
                    if kind == Kind::Watch && candidate.name == "etcdkit-read" {
                        continue;
                    }
                    // A server of its own for each: what one client leaves behind burdens no other.
                    let server = Server::null(256).await?;
                    match self.run_one(&server, candidate, kind, count).await {
                        Ok(outcome) => {
                            writeln!(file, "{}", serde_json::to_string(&outcome)?)?;
                            if outcome.lost > 0 {
                                troubles.push(format!("{candidate}: {} lost", outcome.lost));
                            }
                            let of_client = cells.entry((kind, count)).or_default();
                            let rounds = of_client.entry(candidate.to_string()).or_default();
                            rounds.insert(round, outcome);
                        }
                        Err(error) => {
                            troubles.push(format!("{candidate}, {kind} × {count}: {error}"));
                        }
                    }
                    server.stop().await?;
                }
            }
        }
        file.flush()?;
        self.print(&cells, &troubles);
        Ok(())
    }

    fn cells(&self) -> impl Iterator<Item = (Kind, usize)> {
        self.kinds.iter().flat_map(|&kind| {
            let counts = if kind == Kind::Watch { &self.watchers } else { &self.leases };
            counts.iter().map(move |&count| (kind, count))
        })
    }

    async fn run_one(
        &self,
        server: &Server,
        candidate: &Candidate,
        kind: Kind,
        count: usize,
    ) -> Result<Outcome, Error> {
        let mut command = Command::new(self.drivers.program(candidate)?.0);
        command.arg("streams");
        for (flag, value) in [
            ("--client", candidate.name.clone()),
            ("--runtime", candidate.runtime.to_string()),
            ("--kind", kind.to_string()),
            ("--count", count.to_string()),
            ("--events", self.events.to_string()),
            ("--seconds", self.seconds.to_string()),
            ("--endpoints", server.endpoint().to_owned()),
        ] {
            command.args([flag, &value]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let allowed = Duration::try_from_secs_f64(self.seconds)? + GRACE;
        let child = command.kill_on_drop(true).spawn()?;
        let output = tokio::time::timeout(allowed, child.wait_with_output())
            .await
            .map_err(|_| format!("no result after {} s", allowed.as_secs()))??;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {}", output.status, complaint.trim()).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn print(&self, cells: &Cells, troubles: &[String]) {
        for (&(kind, count), clients) in cells {
            report::line(&format!(
                "\n**{count} × {kind}**, {} rounds: medians [min..max], and ratios to others inside a round\n",
                self.rounds
            ));
            report::line(&table(clients, &self.bases));
        }
        report::line(&match troubles {
            [] => "Nothing was lost.".to_owned(),
            troubles => format!("Troubles:\n- {}", troubles.join("\n- ")),
        });
        report::note(&format!("every run is in {}", self.out.display()));
    }
}

/// A row for each client: each number, and its ratio to that of each base.
fn table(clients: &BTreeMap<String, BTreeMap<usize, Outcome>>, bases: &[String]) -> String {
    let bases: Vec<&String> = bases.iter().filter(|base| clients.contains_key(*base)).collect();
    let mut text = String::new();
    let titles = COLUMNS.iter().flat_map(|(title, _)| {
        let ratios = bases.iter().map(|base| format!("/ {base}"));
        std::iter::once((*title).to_owned()).chain(ratios)
    });
    push_row(&mut text, "client", titles.clone());
    push_row(&mut text, "---", titles.map(|_| "---".to_owned()));
    for (client, rounds) in clients {
        let columns = COLUMNS.iter().flat_map(|&(_, read)| {
            let own = Spread::of(rounds.values().map(read));
            let (median, min, max) = (digits(own.median), digits(own.min), digits(own.max));
            let ratios = bases.iter().map(move |base| {
                let others = &clients[*base];
                let pairs = rounds.iter().filter_map(|(round, outcome)| {
                    Some(read(outcome) / others.get(round).map(read)?)
                });
                format!("{:.2}", Spread::of(pairs).median)
            });
            std::iter::once(format!("**{median}** [{min}..{max}]")).chain(ratios)
        });
        push_row(&mut text, client, columns);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_inside_a_round() {
        let outcome = |scale: f64| Outcome {
            client: "x".to_owned(),
            runtime: "ct".to_owned(),
            kind: Kind::Watch,
            count: 10,
            setup_ms: 20.0 * scale,
            kib_each: 2.0 * scale,
            events: 100,
            cpu_us_per_event: scale,
            events_per_second: 1e6,
            lost: 0,
        };
        let of =
            |scales: [f64; 2]| BTreeMap::from([(0, outcome(scales[0])), (1, outcome(scales[1]))]);
        // The second round was twice as slow for both.
        let clients = BTreeMap::from([
            ("go".to_owned(), of([4.0, 8.0])),
            ("ours".to_owned(), of([1.0, 2.0])),
        ]);
        let text = table(&clients, &["go".to_owned(), "absent".to_owned()]);
        let row = "| ours | **1.50** [1.00..2.00] | 0.25 | **30.0** [20.0..40.0] | 0.25 | **3.00** [2.00..4.00] | 0.25 |\n";
        assert!(text.ends_with(row), "{text}");
    }
}
