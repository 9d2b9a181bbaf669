//! Two clients contend for the same, some are stopped for longer than their leases live, and the store is the witness.
//!
//! Everything that is done under a lock is done by transactions that name the holder's key and revision, so that a holder
//! which was stopped, and goes on as if nothing had happened, is refused: that is counted, and no violation. A violation
//! is a register that changed while somebody held it for sure, a token that is lower than one before it, an item that two
//! got, or money that came from nowhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use etcdkit::concurrency::Queue;
use etcdkit::{Client, Get, KeyRange, Put, Revision, Txn, Watch};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::worker::LAST;
use super::{Kind, Outcome, Plan};
use crate::args::Flags;
use crate::compare::drivers::{Candidate, Drivers};
use crate::compare::servers::Server;
use crate::{Error, clock, report};

/// For how long everybody goes on between two stops.
const CALM: Duration = Duration::from_millis(700);
/// How often it is tried to stop a process while it holds the lock.
const ATTEMPTS: usize = 20;
/// What each account of a bank has at first.
const BALANCE: i64 = 1000;
/// Of a bank, all together.
const TELLERS: usize = 64;

/// The whole contest.
#[derive(Debug)]
pub struct Referee {
    kinds: Vec<Kind>,
    clients: Vec<Candidate>,
    processes: usize,
    workers: usize,
    rounds: u64,
    ttl: Duration,
    etcd: PathBuf,
    data_root: PathBuf,
    drivers: Drivers,
}

/// Who is stopped.
struct Halted {
    pids: Vec<Pid>,
    /// Whether one of them holds the lock.
    holder: bool,
}

/// What the store has seen, while everybody was at it.
#[derive(Debug, Default)]
struct Seen {
    revisions: u64,
    violations: Vec<String>,
}

impl Referee {
    /// Reads the flags of the `contend` command.
    ///
    /// # Errors
    /// A flag is missing or malformed.
    pub fn from_flags(flags: &mut Flags) -> Result<Self, Error> {
        Ok(Self {
            kinds: flags.list("kind", "mutex,rwmutex,election,queue,bank")?,
            clients: flags.list("clients", "go,etcdkit")?,
            processes: flags.value("processes", 2)?,
            workers: flags.value("workers", 4)?,
            rounds: flags.value("rounds", 10_000)?,
            ttl: Duration::from_secs(flags.value("ttl", 2)?),
            etcd: flags.take("etcd").ok_or("--etcd and the path of an etcd binary")?.into(),
            data_root: flags.value("data-root", PathBuf::from("/dev/shm"))?,
            drivers: Drivers::from_flags(flags)?,
        })
    }

    /// Runs all contests and prints a table.
    ///
    /// # Errors
    /// A client or the server can't be run, or something happened that must not.
    pub async fn run(&self) -> Result<(), Error> {
        let present = self.drivers.present(&self.clients)?;
        report::line(
            "| contest | seconds | revisions | stops, of holders | done by | fenced | errors | violations |",
        );
        report::line("|---|--:|--:|--:|---|---|---|--:|");
        let mut violations = Vec::new();
        for &kind in &self.kinds {
            let folder = format!("etcdkit-contend-{}-{kind}", std::process::id());
            let server = Server::etcd(&self.etcd, self.data_root.join(folder)).await?;
            violations.extend(self.contest(kind, &present, &server).await?);
            server.stop().await?;
        }
        match violations.as_slice() {
            [] => Ok(()),
            found => Err(format!("{} violations:\n{}", found.len(), found.join("\n")).into()),
        }
    }

    fn plan(&self, kind: Kind, server: &Server) -> Plan {
        let parts = self.processes * self.clients.len();
        let workers = if kind == Kind::Bank { TELLERS / parts.max(1) } else { self.workers };
        let each = self.rounds / (workers * parts).max(1) as u64;
        Plan {
            client: String::new(),
            kind,
            name: kind.to_string(),
            workers,
            rounds: if matches!(kind, Kind::Bank | Kind::Queue) { each } else { self.rounds },
            ttl: self.ttl,
            accounts: 100,
            endpoint: server.endpoint().to_owned(),
        }
    }

    /// What happened that must not.
    async fn contest(
        &self,
        kind: Kind,
        clients: &[&Candidate],
        server: &Server,
    ) -> Result<Vec<String>, Error> {
        let plan = self.plan(kind, server);
        let client = Client::connect([format!("http://{}", plan.endpoint)]).await?;
        let begin = prepare(&client, &plan).await?;
        let mut witness = JoinSet::new();
        witness.spawn(watch(client.clone(), plan.clone(), begin));
        let mut players = Vec::new();
        for _ in 0..self.processes {
            for candidate in clients {
                players.push(self.player(candidate, &plan)?);
            }
        }
        let pids: Vec<Pid> = players.iter().filter_map(|(pid, _)| *pid).collect();
        let began = clock::now();
        let mut ends = JoinSet::new();
        for (_, child) in players {
            ends.spawn(child.wait_with_output());
        }
        if kind == Kind::Queue {
            let (client, plan, all) = (client.clone(), plan.clone(), pids.len() * plan.workers);
            witness.spawn(
                async move { end_queue(&client, &plan, all).await.map(|()| Seen::default()) },
            );
        }
        let mut outcomes = Vec::new();
        let (mut stops, mut holders) = (0, 0);
        while outcomes.len() < pids.len() {
            let halted = halt(&client, &plan, &pids, stops).await?;
            stops += halted.pids.len();
            holders += usize::from(halted.holder);
            clock::pause(self.ttl + Duration::from_secs(1)).await;
            resume(&halted.pids);
            let calm = clock::now() + CALM;
            while let Ok(Some(ended)) = tokio::time::timeout_at(calm.into(), ends.join_next()).await
            {
                outcomes.push(read(ended??)?);
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        client.put(end_of(&plan), "").await?;
        let mut seen = Seen::default();
        while let Some(part) = witness.join_next().await {
            let part = part??;
            seen.revisions += part.revisions;
            seen.violations.extend(part.violations);
        }
        let mut violations = seen.violations;
        violations.extend(outcomes.iter().flat_map(|outcome| outcome.violations.clone()));
        violations.extend(judge(&client, &plan, &outcomes, &pids).await?);
        let per_client = |of: fn(&Outcome) -> u64| {
            let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
            outcomes.iter().for_each(|it| *sums.entry(&it.client).or_default() += of(it));
            let shown = sums.iter().map(|(client, sum)| format!("{client} {sum}"));
            shown.collect::<Vec<_>>().join(", ")
        };
        report::line(&format!(
            "| {kind} | {seconds:.0} | {} | {stops}, {holders} | {} | {} | {} | {} |",
            seen.revisions,
            per_client(|it| it.rounds),
            per_client(|it| it.fenced),
            per_client(|it| it.errors),
            violations.len(),
        ));
        for outcome in outcomes.iter().filter(|outcome| !outcome.first_error.is_empty()) {
            report::note(&format!("{kind}, {}: {}", outcome.client, outcome.first_error));
        }
        Ok(violations.into_iter().map(|what| format!("{kind}: {what}")).collect())
    }

    fn player(&self, candidate: &Candidate, plan: &Plan) -> Result<(Option<Pid>, Child), Error> {
        let program = self.drivers.recipes(candidate)?;
        let plan = Plan { client: candidate.to_string(), ..plan.clone() };
        let child = Command::new(program)
            .arg("recipes")
            .args(plan.flags())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok((pid, child))
    }
}

fn read(output: std::process::Output) -> Result<Outcome, Error> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("a client ended with {}: {said}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Stops who holds the lock, if there is one, and another in turn.
async fn halt(client: &Client, plan: &Plan, pids: &[Pid], turn: usize) -> Result<Halted, Error> {
    let mut halted = Halted { pids: Vec::new(), holder: false };
    for _ in 0..ATTEMPTS {
        let Some(holder) = holder(client, plan).await? else { break };
        // One that has ended can't be stopped.
        if kill_process(holder, Signal::STOP).is_err() {
            continue;
        }
        // It may have given the lock up a moment before.
        if self::holder(client, plan).await? == Some(holder) {
            halted = Halted { pids: vec![holder], holder: true };
            break;
        }
        resume(&[holder]);
    }
    let other = pids.iter().cycle().skip(turn).find(|pid| !halted.pids.contains(pid));
    halted.pids.extend(other.filter(|pid| kill_process(**pid, Signal::STOP).is_ok()));
    Ok(halted)
}

/// The process whose session made the oldest key in line.
async fn holder(client: &Client, plan: &Plan) -> Result<Option<Pid>, Error> {
    if !matches!(plan.kind, Kind::Mutex | Kind::RwMutex | Kind::Election) {
        return Ok(None);
    }
    let oldest = client.get(Get::first_create(format!("{}/", plan.name))).await?;
    let Some(lease) = oldest.first().and_then(|kv| kv.lease()) else { return Ok(None) };
    let owner = client.get(format!("{}/{:x}", plan.beside("sessions"), lease.get())).await?;
    let pid = owner.first().and_then(|kv| kv.value_str().ok()?.parse().ok());
    Ok(pid.and_then(Pid::from_raw))
}

fn resume(pids: &[Pid]) {
    for pid in pids {
        // One that was ending when it was stopped is gone.
        let _ = kill_process(*pid, Signal::CONT);
    }
}

/// Sets the register or the accounts up; the revision of that.
async fn prepare(client: &Client, plan: &Plan) -> Result<Revision, Error> {
    let puts: Vec<Put> = match plan.kind {
        Kind::Bank => (0..plan.accounts)
            .map(|number| Put::new(format!("{}/{number:03}", plan.name), BALANCE.to_string()))
            .collect(),
        _ => vec![Put::new(plan.register(), "0 0")],
    };
    Ok(client.txn(Txn::new().then(puts)).await?.revision())
}

/// What is put when everybody is done.
fn end_of(plan: &Plan) -> String {
    match plan.kind {
        Kind::Bank => format!("{}/end", plan.name),
        _ => plan.register(),
    }
}

/// Looks at every revision from `begin` on, until the end.
async fn watch(client: Client, plan: Plan, begin: Revision) -> Result<Seen, Error> {
    let range = match plan.kind {
        Kind::Bank => KeyRange::prefix(format!("{}/", plan.name)),
        _ => KeyRange::key(plan.register()),
    };
    let mut watch = client.watch(Watch::new(range).from_revision(begin)).await?;
    let mut seen = Seen::default();
    let mut register = (0, 0);
    let mut accounts: HashMap<Vec<u8>, i64> = HashMap::new();
    let total = BALANCE * i64::try_from(plan.accounts)?;
    while let Some(response) = watch.next().await {
        let response = response?;
        let mut events = response.events().iter().peekable();
        while let Some(event) = events.next() {
            let text = event.kv().value_str()?;
            if text.is_empty() {
                return Ok(seen);
            }
            if plan.kind == Kind::Bank {
                accounts.insert(event.key().to_vec(), text.parse()?);
                let same = events.peek().is_some_and(|next| next.revision() == event.revision());
                if same {
                    continue;
                }
                let sum: i64 = accounts.values().sum();
                if sum != total {
                    seen.violations.push(format!("at {} there is {sum}", event.revision()));
                }
            } else {
                let (count, token) = text.split_once(' ').ok_or("a register of two numbers")?;
                let now = (count.parse::<i64>()?, token.parse::<i64>()?);
                if register != (0, 0) && (now.0 != register.0 + 1 || now.1 < register.1) {
                    seen.violations.push(format!("{now:?} came after {register:?}"));
                }
                register = now;
            }
            seen.revisions += 1;
        }
    }
    Err("the watch of the referee has ended".into())
}

/// Adds what ends those who take from a queue, when all items have been added.
async fn end_queue(client: &Client, plan: &Plan, takers: usize) -> Result<(), Error> {
    let added = || Get::prefix(format!("{}/", plan.beside("added"))).count_only();
    while client.get(added()).await?.count() < takers as u64 {
        clock::pause(Duration::from_millis(200)).await;
    }
    let queue = Queue::new(client, &*plan.name);
    for _ in 0..takers {
        queue.enqueue(LAST).await?;
    }
    Ok(())
}

/// What does not fit together in what everybody says.
async fn judge(
    client: &Client,
    plan: &Plan,
    outcomes: &[Outcome],
    pids: &[Pid],
) -> Result<Vec<String>, Error> {
    let mut violations = Vec::new();
    let errors: u64 = outcomes.iter().map(|outcome| outcome.errors).sum();
    if plan.kind == Kind::Queue {
        let mut taken = BTreeSet::new();
        for item in outcomes.iter().flat_map(|outcome| &outcome.items) {
            if !taken.insert(item) {
                violations.push(format!("{item} was taken twice"));
            }
        }
        // What was taken by a call whose answer was lost is lost.
        let added = (pids.len() * plan.workers) as u64 * plan.rounds;
        if (taken.len() as u64) + errors < added {
            violations.push(format!("of {added} items, {} were taken", taken.len()));
        }
        let left = client.get(Get::prefix(format!("{}/", plan.name)).count_only()).await?.count();
        if left > errors {
            violations.push(format!("{left} items were left"));
        }
    } else if plan.kind != Kind::Bank {
        let left = client.get(Get::prefix(format!("{}/", plan.name))).await?;
        // Of those that were stopped last, until their leases end.
        if left.kvs().iter().any(|kv| kv.lease().is_none()) {
            violations.push("a key without a lease was left".to_owned());
        }
    }
    Ok(violations)
}
