//! What the recipes cost, one client after the other, against the same etcd.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use etcdkit::{Client, Put, Txn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::delay::DelayProxy;
use super::{Kind, Outcome, Plan};
use crate::args::Flags;
use crate::compare::drivers::{Candidate, Drivers};
use crate::compare::servers::Server;
use crate::{Error, report};

/// How much later everything arrives where the network is to count.
const DELAY: Duration = Duration::from_millis(1);
/// Puts in one transaction, and transactions at once, when keys are made.
const BATCH: usize = 100;
const AT_ONCE: usize = 16;

/// The whole comparison.
#[derive(Debug)]
pub struct Figures {
    clients: Vec<Candidate>,
    rounds: usize,
    keys: usize,
    etcd: PathBuf,
    data_root: PathBuf,
    drivers: Drivers,
}

/// One line of the table.
struct Cell {
    what: &'static str,
    kind: Kind,
    workers: usize,
    /// Of each worker.
    rounds: u64,
    delayed: bool,
}

const CELLS: [Cell; 5] = [
    Cell {
        what: "lock and unlock, alone",
        kind: Kind::Lock,
        workers: 1,
        rounds: 2000,
        delayed: false,
    },
    Cell {
        what: "lock and unlock, 4 contend, 1 ms away",
        kind: Kind::Lock,
        workers: 4,
        rounds: 100,
        delayed: true,
    },
    Cell {
        what: "transfers, 64 tellers, 100 accounts",
        kind: Kind::Bank,
        workers: 64,
        rounds: 60,
        delayed: false,
    },
    Cell {
        what: "keys read for a mirror",
        kind: Kind::Mirror,
        workers: 1,
        rounds: 1,
        delayed: false,
    },
    Cell {
        what: "gets from a cache, one core",
        kind: Kind::Cache,
        workers: 1,
        rounds: 5_000_000,
        delayed: false,
    },
];

impl Figures {
    /// Reads the flags of the `compare-recipes` command.
    ///
    /// # Errors
    /// A flag is missing or malformed.
    pub fn from_flags(flags: &mut Flags) -> Result<Self, Error> {
        Ok(Self {
            clients: flags.list("clients", "go,etcdkit")?,
            rounds: flags.value("rounds", 3)?,
            keys: flags.value("keys", 1_000_000)?,
            etcd: flags.take("etcd").ok_or("--etcd and the path of an etcd binary")?.into(),
            data_root: flags.value("data-root", PathBuf::from("/dev/shm"))?,
            drivers: Drivers::from_flags(flags)?,
        })
    }

    /// Runs everything and prints a table.
    ///
    /// # Errors
    /// A client or the server can't be run, or a client says that something failed.
    pub async fn run(&self) -> Result<(), Error> {
        let present = self.drivers.present(&self.clients)?;
        let folder = format!("etcdkit-figures-{}", std::process::id());
        let server = Server::etcd(&self.etcd, self.data_root.join(folder)).await?;
        let client = Client::connect([format!("http://{}", server.endpoint())]).await?;
        report::note(&format!("making {} keys", self.keys));
        fill(&client, "mirror/", self.keys).await?;
        fill(&client, "cache/", self.keys.min(100_000)).await?;
        let proxy = DelayProxy::start(server.endpoint().to_owned(), DELAY).await?;
        report::line("| what | client | per second | RPCs each | of the first |");
        report::line("|---|---|--:|--:|--:|");
        for cell in &CELLS {
            let mut results: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
            for round in 0..self.rounds {
                let mut order = present.clone();
                order.rotate_left(round % present.len());
                for candidate in
                    order.iter().filter(|it| cell.kind != Kind::Cache || it.name == "etcdkit")
                {
                    let endpoint = if cell.delayed { proxy.endpoint() } else { server.endpoint() };
                    let plan = self.plan(cell, candidate, endpoint, round);
                    prepare(&client, &plan).await?;
                    let before = calls(server.endpoint()).await?;
                    let outcome = self.run_one(candidate, &plan).await?;
                    let calls = calls(server.endpoint()).await? - before;
                    let done = outcome.rounds as f64;
                    let result = (done / outcome.seconds, calls / done.max(1.0));
                    results.entry(candidate.to_string()).or_default().push(result);
                }
            }
            let first = results.get(&present[0].to_string()).map(|all| median(all, |it| it.0));
            for candidate in &present {
                let Some(all) = results.get(&candidate.to_string()) else { continue };
                let (rate, calls) = (median(all, |it| it.0), median(all, |it| it.1));
                let ratio = first.map_or_else(String::new, |first| format!("{:.2}", rate / first));
                let what = cell.what;
                report::line(&format!(
                    "| {what} | {candidate} | {rate:.0} | {calls:.2} | {ratio} |"
                ));
            }
        }
        server.stop().await
    }

    fn plan(&self, cell: &Cell, candidate: &Candidate, endpoint: &str, round: usize) -> Plan {
        let name = match cell.kind {
            Kind::Mirror => "mirror/".to_owned(),
            Kind::Cache => "cache/".to_owned(),
            _ => format!("{}-{candidate}-{round}-{}", cell.kind, cell.workers),
        };
        Plan {
            client: candidate.to_string(),
            kind: cell.kind,
            name,
            workers: cell.workers,
            rounds: cell.rounds,
            ttl: Duration::from_secs(60),
            accounts: 100,
            endpoint: endpoint.to_owned(),
        }
    }

    async fn run_one(&self, candidate: &Candidate, plan: &Plan) -> Result<Outcome, Error> {
        let output = Command::new(self.drivers.recipes(candidate)?)
            .arg("recipes")
            .args(plan.flags())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{candidate} ended with {}: {said}", output.status).into());
        }
        let outcome: Outcome = serde_json::from_slice(&output.stdout)?;
        if outcome.errors > 0 {
            return Err(format!("{candidate}, {}: {}", plan.kind, outcome.first_error).into());
        }
        Ok(outcome)
    }
}

/// Accounts for a bank.
async fn prepare(client: &Client, plan: &Plan) -> Result<(), Error> {
    if plan.kind == Kind::Bank {
        let accounts =
            (0..plan.accounts).map(|number| Put::new(format!("{}/{number:03}", plan.name), "1000"));
        client.txn(Txn::new().then(accounts)).await?;
    }
    Ok(())
}

async fn fill(client: &Client, prefix: &'static str, keys: usize) -> Result<(), Error> {
    let value = "v".repeat(256);
    let mut writing = JoinSet::new();
    for from in (0..keys).step_by(BATCH) {
        if writing.len() >= AT_ONCE {
            writing.join_next().await.transpose()?.transpose()?;
        }
        let (client, value) = (client.clone(), value.clone());
        writing.spawn(async move {
            let puts = (from..keys.min(from + BATCH))
                .map(|number| Put::new(format!("{prefix}{number:08}"), &*value));
            client.txn(Txn::new().then(puts)).await.map(drop)
        });
    }
    while let Some(written) = writing.join_next().await {
        written??;
    }
    Ok(())
}

fn median(all: &[(f64, f64)], of: fn(&(f64, f64)) -> f64) -> f64 {
    let mut sorted: Vec<f64> = all.iter().map(of).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// How many RPCs the server has been asked for, by its own metrics.
async fn calls(endpoint: &str) -> Result<f64, Error> {
    let mut stream = TcpStream::connect(endpoint).await?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {endpoint}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let started = answer.lines().filter(|line| line.starts_with("grpc_server_started_total{"));
    Ok(started.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
}
