//! Rounds of every client against one server, and the tables that come of them.
//!
//! A round starts a fresh server and runs all clients one after another in each cell (operation and
//! concurrency), each in its own process. The order rotates from round to round, so that no client always
//! follows the same one. Ratios are taken inside a round, where both sides met the same noise, and only
//! then is the median taken. [`drivers`] knows where a client's program is, [`servers`] starts and stops
//! what they talk to, [`table`] does the arithmetic.

pub mod drivers;
pub mod servers;
pub mod streams;
pub mod table;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use tokio::process::Command;

use crate::args::Flags;
use crate::load::{Op, Outcome};
use crate::{Error, report};

use drivers::{Candidate, Drivers};
use servers::Server;
use table::{Measure, Results};

/// How much longer than its window a run may take before it is given up.
const GRACE: Duration = Duration::from_secs(20);

/// The clients that are compared when nobody says which.
const DEFAULT_CLIENTS: &str = "h2-decode-ct,h2-decode-mt,etcdkit-ct,etcdkit-mt,\
                               tonic-door-ct,tonic-door-mt,etcd-client-ct,etcd-client-mt,tonic-ct,tonic-mt,go";
const DEFAULT_BASES: &str =
    "etcd-client-mt,go,h2-decode-ct,h2-decode-mt,tonic-door-ct,tonic-door-mt";

/// What the clients talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// The server of [`crate::null_server`].
    Null,
    /// A single etcd member.
    Real,
}

impl FromStr for Against {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "null" => Ok(Self::Null),
            "real" => Ok(Self::Real),
            _ => Err("neither `null` nor `real`".to_owned()),
        }
    }
}

/// The whole comparison.
#[derive(Debug)]
pub struct Comparison {
    against: Against,
    rounds: usize,
    concurrency: Vec<usize>,
    ops: Vec<Op>,
    candidates: Vec<Candidate>,
    bases: Vec<String>,
    seconds: f64,
    warmup: f64,
    value_size: usize,
    keys: usize,
    etcd: Option<PathBuf>,
    data_root: PathBuf,
    out: PathBuf,
    drivers: Drivers,
}

/// One line of the file that keeps every run.
#[derive(Debug, Serialize)]
struct Line<'a> {
    round: usize,
    against: &'a str,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// Where a run belongs.
#[derive(Debug, Clone, Copy)]
struct Cell {
    op: Op,
    concurrency: usize,
}

impl Comparison {
    /// Reads the flags of the `compare` command.
    ///
    /// # Errors
    /// A flag is missing or malformed.
    pub fn from_flags(flags: &mut Flags) -> Result<Self, Error> {
        let against = flags.value("against", Against::Null)?;
        let comparison = Self {
            against,
            rounds: flags.value("rounds", 5)?,
            concurrency: flags.list("concurrency", "1,16,128,1000")?,
            ops: flags.list("op", "put,get")?,
            candidates: flags.list("clients", DEFAULT_CLIENTS)?,
            bases: flags.list("bases", DEFAULT_BASES)?,
            seconds: flags.value("seconds", 1.0)?,
            warmup: flags.value("warmup", 0.3)?,
            value_size: flags.value("value-size", 256)?,
            keys: flags.value("keys", 1000)?,
            etcd: flags.take("etcd").map(PathBuf::from),
            data_root: flags.value("data-root", PathBuf::from("/dev/shm"))?,
            out: match flags.take("out") {
                Some(path) => path.into(),
                None => format!("target/bench/compare-{}.jsonl", name_of(against)).into(),
            },
            drivers: Drivers::from_flags(flags)?,
        };
        if against == Against::Real && comparison.etcd.is_none() {
            return Err("--against real needs --etcd and the path of an etcd binary".into());
        }
        Ok(comparison)
    }

    /// Runs everything and prints the tables.
    ///
    /// # Errors
    /// A server does not start, the output file cannot be written, or no client is there to run.
    pub async fn run(&self) -> Result<(), Error> {
        let present = self.drivers.present(&self.candidates)?;
        let mut file = create(&self.out)?;
        let mut results = Results::default();
        for round in 0..self.rounds {
            report::note(&format!("round {} of {}", round + 1, self.rounds));
            let server = self.start_server(round).await?;
            let mut order = present.clone();
            order.rotate_left(round % present.len());
            for cell in self.cells() {
                for candidate in &order {
                    match self.run_one(&server, candidate, cell).await {
                        Ok(outcome) => {
                            let against = name_of(self.against);
                            let line = Line { round, against, outcome: &outcome };
                            writeln!(file, "{}", serde_json::to_string(&line)?)?;
                            results.add(round, candidate.to_string(), outcome);
                        }
                        Err(error) => {
                            let Cell { op, concurrency } = cell;
                            let place = format!("{candidate}, {op} c={concurrency}");
                            report::note(&format!("round {round}: {place}: {error}"));
                            results.fail(format!("{place}, round {round}: {error}"));
                        }
                    }
                }
            }
            server.stop().await?;
        }
        file.flush()?;
        self.print(&results);
        Ok(())
    }

    fn cells(&self) -> impl Iterator<Item = Cell> {
        self.ops.iter().flat_map(|&op| {
            self.concurrency.iter().map(move |&concurrency| Cell { op, concurrency })
        })
    }

    async fn start_server(&self, round: usize) -> Result<Server, Error> {
        match (&self.etcd, self.against) {
            (Some(etcd), Against::Real) => {
                let folder = format!("etcdkit-bench-{}-{round}", std::process::id());
                let server = Server::etcd(etcd, self.data_root.join(folder)).await?;
                server.fill(self.keys, self.value_size).await?;
                Ok(server)
            }
            _ => Server::null(self.value_size).await,
        }
    }

    async fn run_one(
        &self,
        server: &Server,
        candidate: &Candidate,
        cell: Cell,
    ) -> Result<Outcome, Error> {
        let (program, subcommand) = self.drivers.program(candidate)?;
        let mut command = Command::new(&program);
        command.args(subcommand);
        for (flag, value) in [
            ("--client", candidate.name.clone()),
            ("--runtime", candidate.runtime.to_string()),
            ("--op", cell.op.to_string()),
            ("--concurrency", cell.concurrency.to_string()),
            ("--seconds", self.seconds.to_string()),
            ("--warmup", self.warmup.to_string()),
            ("--endpoints", server.endpoint().to_owned()),
            ("--value-size", self.value_size.to_string()),
            ("--keys", self.keys.to_string()),
        ] {
            command.args([flag, &value]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let allowed = Duration::try_from_secs_f64(self.seconds + self.warmup)? + GRACE;
        let child = command.kill_on_drop(true).spawn()?;
        let output = tokio::time::timeout(allowed, child.wait_with_output())
            .await
            .map_err(|_| format!("no result after {} s", allowed.as_secs()))??;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {}", output.status, complaint.trim()).into());
        }
        let outcome: Outcome = serde_json::from_slice(&output.stdout)?;
        if outcome.ops == 0 {
            let reason = outcome.first_error.as_deref().unwrap_or("no operation ended");
            return Err(format!("{} errors: {reason}", outcome.errors).into());
        }
        Ok(outcome)
    }

    fn print(&self, results: &Results) {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        report::line(&format!(
            "\n{} rounds of {} s against {} on {cores} cores, values of {} bytes, {} keys.\n",
            self.rounds,
            self.seconds,
            match self.against {
                Against::Null => "the null server",
                Against::Real => "one real etcd member without fsync",
            },
            self.value_size,
            self.keys,
        ));
        for &op in &self.ops {
            report::line(&results.absolute(op, &self.concurrency));
        }
        for base in &self.bases {
            for measure in [Measure::Cpu, Measure::Throughput] {
                if let Some(table) = results.ratios(measure, base, &self.ops, &self.concurrency) {
                    report::line(&table);
                }
            }
        }
        report::line(&results.troubles());
        report::note(&format!("every run is in {}", self.out.display()));
    }
}

fn name_of(against: Against) -> &'static str {
    match against {
        Against::Null => "null",
        Against::Real => "real",
    }
}

/// Makes the file that every single run goes to, and the folder that it is in.
fn create(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create(path)
}
