//! Watches and leases, many at a time: what each costs to make, to hold, and for each event or renewal.
//!
//! A watch run makes N watches on keys of their own, each read by a task of its own, and then has the null server send
//! events to them in turn. A lease run keeps N leases alive, and looks at a window of time. Both take the CPU time of the
//! process; what is counted is what arrived, or what the server answered. The Go driver repeats this file.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::args::Flags;
use crate::load::Runtime;
use crate::{Error, clock};

/// How long the watches may take for all events together.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Watches, each with events of its own.
    Watch,
    /// Leases that are kept alive.
    Lease,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "watch" => Ok(Self::Watch),
            "lease" => Ok(Self::Lease),
            _ => Err("neither `watch` nor `lease`".to_owned()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Watch => "watch",
            Self::Lease => "lease",
        })
    }
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The client's name.
    pub client: String,
    /// The runtime it runs in.
    pub runtime: Runtime,
    /// What is held.
    pub kind: Kind,
    /// How many of it.
    pub count: usize,
    /// How many events the watches get, together.
    pub events: u64,
    /// How long leases are held before they are measured, and for how long then.
    pub warmup: Duration,
    /// See `warmup`.
    pub measured: Duration,
    /// `host:port` of the server.
    pub endpoint: String,
}

impl Plan {
    /// Reads the flags of the `streams` command, which are the same for every driver.
    ///
    /// # Errors
    /// A flag is missing or malformed.
    pub fn from_flags(flags: &mut Flags) -> Result<Self, Error> {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds);
        let plan = Self {
            client: flags.take("client").ok_or("--client is missing")?,
            runtime: flags.value("runtime", Runtime::MultiThread)?,
            kind: flags.value("kind", Kind::Watch)?,
            count: flags.value("count", 1000)?,
            events: flags.value("events", 200_000)?,
            warmup: seconds(flags.value("warmup", 6.0)?)?,
            measured: seconds(flags.value("seconds", 15.0)?)?,
            endpoint: flags.value("endpoints", "127.0.0.1:2379".to_owned())?,
        };
        if plan.count == 0 { Err("--count 0 is nothing".into()) } else { Ok(plan) }
    }
}

/// What one run showed: the line of JSON that every driver prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The client's name.
    pub client: String,
    /// `mt`, `ct`, or the language's own.
    pub runtime: String,
    /// What was held.
    pub kind: Kind,
    /// How many of it.
    pub count: usize,
    /// From the first until each was there, in milliseconds.
    pub setup_ms: f64,
    /// How much the resident set grew by that, for each, in KiB.
    pub kib_each: f64,
    /// Events received, or renewals answered.
    pub events: u64,
    /// User and system time of this process for each of these, in microseconds.
    pub cpu_us_per_event: f64,
    /// Of them in each second.
    pub events_per_second: f64,
    /// Watches or leases that ended.
    pub lost: u64,
}

/// What the readers of all streams count.
#[derive(Debug, Default)]
pub struct Tally {
    target: u64,
    events: AtomicU64,
    lost: AtomicU64,
    done: Notify,
}

impl Tally {
    /// So many events came.
    pub fn add(&self, events: usize) {
        let events = events as u64;
        if self.events.fetch_add(events, Relaxed) + events == self.target {
            self.done.notify_one();
        }
    }

    /// A stream ended.
    pub fn lost(&self) {
        self.lost.fetch_add(1, Relaxed);
    }
}

/// What must be kept for the streams to live.
pub type Held = Box<dyn Any + Send>;

/// A client that can hold many streams.
pub trait StreamClient: Sized + Send + Sync {
    /// Opens the client, and makes sure by a read that it is connected.
    fn connect(endpoint: &str) -> impl Future<Output = Result<Self, Error>> + Send;

    /// Watches the keys [`key`]`(0)` to `key(count - 1)`, each with a task that reads it, and returns when the server
    /// has all of them.
    fn watch(
        &mut self,
        count: usize,
        tally: &Arc<Tally>,
    ) -> impl Future<Output = Result<Held, Error>> + Send;

    /// Watches one key more, on the same stream, and reads nothing of it.
    fn start(&mut self, key: String) -> impl Future<Output = Result<Held, Error>> + Send;

    /// Keeps the leases 1 to `count` alive, and returns when each has been renewed once.
    fn keep_alive(
        &mut self,
        count: usize,
        tally: &Arc<Tally>,
    ) -> impl Future<Output = Result<Held, Error>> + Send;

    /// How many renewals the null server has answered: what it says that the lease 1 was granted.
    fn renewals(&mut self) -> impl Future<Output = Result<u64, Error>> + Send;
}

/// The key of a watch.
#[must_use]
pub fn key(number: usize) -> String {
    format!("w{number:07}")
}

/// Runs one client, in a runtime of its own.
///
/// # Errors
/// The client cannot be opened, or not all of what was asked for came.
pub fn run<C: StreamClient>(plan: &Plan) -> Result<Outcome, Error> {
    plan.runtime.build()?.block_on(drive::<C>(plan))
}

async fn drive<C: StreamClient>(plan: &Plan) -> Result<Outcome, Error> {
    let mut client = C::connect(&plan.endpoint).await?;
    let tally = Arc::new(Tally { target: plan.events, ..Tally::default() });
    let (rss, began) = (rss_kib()?, clock::now());
    let held = match plan.kind {
        Kind::Watch => client.watch(plan.count, &tally).await?,
        Kind::Lease => client.keep_alive(plan.count, &tally).await?,
    };
    let setup_ms = (clock::now() - began).as_secs_f64() * 1e3;
    let kib_each = (rss_kib()? - rss) / plan.count as f64;
    let (events, cpu, elapsed) = match plan.kind {
        Kind::Watch => watched(plan, &mut client, &tally).await?,
        Kind::Lease => renewed(plan, &mut client).await?,
    };
    drop(held);
    Ok(Outcome {
        client: plan.client.clone(),
        runtime: plan.runtime.to_string(),
        kind: plan.kind,
        count: plan.count,
        setup_ms,
        kib_each,
        events,
        cpu_us_per_event: cpu.as_secs_f64() * 1e6 / events.max(1) as f64,
        events_per_second: events as f64 / elapsed.as_secs_f64(),
        lost: tally.lost.load(Relaxed),
    })
}

async fn watched<C: StreamClient>(
    plan: &Plan,
    client: &mut C,
    tally: &Tally,
) -> Result<(u64, Duration, Duration), Error> {
    let (began, cpu) = (clock::now(), clock::process_cpu());
    let started = client.start(format!("start-{}", plan.events)).await?;
    if tokio::time::timeout(PATIENCE, tally.done.notified()).await.is_err() {
        let events = tally.events.load(Relaxed);
        return Err(format!("{events} of {} events came", plan.events).into());
    }
    let spent = (clock::process_cpu() - cpu, clock::now() - began);
    drop(started);
    Ok((tally.events.load(Relaxed), spent.0, spent.1))
}

async fn renewed<C: StreamClient>(
    plan: &Plan,
    client: &mut C,
) -> Result<(u64, Duration, Duration), Error> {
    clock::pause(plan.warmup).await;
    let before = client.renewals().await?;
    let (began, cpu) = (clock::now(), clock::process_cpu());
    clock::pause(plan.measured).await;
    let spent = (clock::process_cpu() - cpu, clock::now() - began);
    let renewals = client.renewals().await? - before;
    Ok((renewals, spent.0, spent.1))
}

/// The resident set of this process.
fn rss_kib() -> Result<f64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
    Ok(number.parse()?)
}
