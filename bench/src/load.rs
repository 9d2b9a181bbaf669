//! The closed loop that every client is put under, and what is read off it.
//!
//! N workers share one client. Each begins its next operation when its last has ended, so there are
//! always N under way. After a warm-up, a window is opened; operations that end inside it are counted,
//! and the CPU time that the process used in the window is divided by their number. Every client pays
//! the same two clock reads and one atomic add per operation, and the Go driver repeats this file line
//! for line.

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::Error;
use crate::args::Flags;
use crate::clock;
use crate::histogram::Histogram;

/// How long workers may take to end their last operation before they are counted as hung.
const DRAIN: Duration = Duration::from_secs(5);

/// What each worker does all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Write one key.
    Put,
    /// Read one key; an answer without that key is an error.
    Get,
}

impl FromStr for Op {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "put" => Ok(Self::Put),
            "get" => Ok(Self::Get),
            _ => Err("neither `put` nor `get`".to_owned()),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Put => "put",
            Self::Get => "get",
        })
    }
}

/// Which tokio runtime the client runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// One worker thread per core.
    MultiThread,
    /// Everything on the main thread.
    CurrentThread,
}

impl Runtime {
    /// Builds it.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn build(self) -> Result<tokio::runtime::Runtime, Error> {
        let mut builder = match self {
            Self::MultiThread => tokio::runtime::Builder::new_multi_thread(),
            Self::CurrentThread => tokio::runtime::Builder::new_current_thread(),
        };
        Ok(builder.enable_all().build()?)
    }
}

impl FromStr for Runtime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mt" => Ok(Self::MultiThread),
            "ct" => Ok(Self::CurrentThread),
            _ => Err("neither `mt` nor `ct`".to_owned()),
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MultiThread => "mt",
            Self::CurrentThread => "ct",
        })
    }
}

/// What a client works on: made once, shared by all workers.
#[derive(Debug)]
pub struct Workload {
    /// `host:port` of each member.
    pub endpoints: Vec<String>,
    /// Keys of 8 bytes.
    pub keys: Vec<Bytes>,
    /// The value of every put.
    pub value: Bytes,
}

impl Workload {
    /// `keys` numbered keys and one value of `value_size` bytes.
    #[must_use]
    pub fn new(endpoints: Vec<String>, keys: usize, value_size: usize) -> Self {
        let keys = (0..keys.max(1)).map(|key| Bytes::from(format!("{key:08}"))).collect();
        Self { endpoints, keys, value: Bytes::from(vec![b'v'; value_size]) }
    }

    /// The key with this number; numbers wrap around.
    #[must_use]
    pub fn key(&self, number: usize) -> &Bytes {
        &self.keys[number % self.keys.len()]
    }
}

/// A client under load. Every worker has its own clone, of the kind that the client's users would make.
pub trait LoadClient: Clone + Send + 'static {
    /// Opens the client: one connection to each endpoint at most.
    fn connect(workload: Arc<Workload>) -> impl Future<Output = Result<Self, Error>> + Send;

    /// Writes the key with this number.
    fn put(&mut self, number: usize) -> impl Future<Output = Result<(), Error>> + Send;

    /// Reads the key with this number and checks that exactly one came back.
    fn get(&mut self, number: usize) -> impl Future<Output = Result<(), Error>> + Send;
}

/// One run of the loop.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The client's name.
    pub client: String,
    /// The runtime it runs in.
    pub runtime: Runtime,
    /// What the workers do.
    pub op: Op,
    /// How many workers.
    pub concurrency: usize,
    /// How long to measure.
    pub measured: Duration,
    /// How long to run before that.
    pub warmup: Duration,
    /// `host:port` of each member.
    pub endpoints: Vec<String>,
    /// Bytes of each put value.
    pub value_size: usize,
    /// How many different keys.
    pub keys: usize,
}

impl Plan {
    /// Reads the flags of the `kv` command, which are the same for every driver.
    ///
    /// # Errors
    /// A flag is missing or malformed.
    pub fn from_flags(flags: &mut Flags) -> Result<Self, Error> {
        let plan = Self {
            client: flags.take("client").ok_or("--client is missing")?,
            runtime: flags.value("runtime", Runtime::MultiThread)?,
            op: flags.value("op", Op::Put)?,
            concurrency: flags.value("concurrency", 1)?,
            measured: seconds(flags, "seconds", 1.0)?,
            warmup: seconds(flags, "warmup", 0.3)?,
            endpoints: flags.list("endpoints", "127.0.0.1:2379")?,
            value_size: flags.value("value-size", 256)?,
            keys: flags.value("keys", 1000)?,
        };
        if plan.concurrency == 0 { Err("--concurrency 0 is no load".into()) } else { Ok(plan) }
    }
}

fn seconds(flags: &mut Flags, name: &str, default: f64) -> Result<Duration, Error> {
    let value = flags.value(name, default)?;
    Duration::try_from_secs_f64(value).map_err(|error| format!("--{name} {value}: {error}").into())
}

/// What one run showed: the line of JSON that every driver prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The client's name.
    pub client: String,
    /// `mt`, `ct`, or the language's own.
    pub runtime: String,
    /// What the workers did.
    pub op: Op,
    /// How many workers.
    pub concurrency: usize,
    /// Bytes of each put value.
    pub value_size: usize,
    /// How long the window really was.
    pub seconds: f64,
    /// Operations that ended well inside the window.
    pub ops: u64,
    /// Operations that failed, at any time.
    pub errors: u64,
    /// Workers that did not come back within five seconds of the end.
    pub hung: u64,
    /// User and system time of this process in the window, divided by `ops`, in microseconds.
    pub cpu_us_per_op: f64,
    /// `ops` divided by `seconds`.
    pub ops_per_second: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99th percentile of latency in microseconds.
    pub p99_us: f64,
    /// Largest latency in microseconds.
    pub max_us: f64,
    /// Largest resident set of this process over its whole life, in MiB.
    pub peak_rss_mib: f64,
    /// The first failure, in the client's words.
    #[serde(default)]
    pub first_error: Option<String>,
}

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const STOPPING: u8 = 2;

/// What the workers share.
#[derive(Debug)]
struct Board {
    phase: AtomicU8,
    latencies: Histogram,
    errors: AtomicU64,
    first_error: OnceLock<String>,
}

impl Board {
    fn new() -> Self {
        Self {
            phase: AtomicU8::new(WARMING),
            latencies: Histogram::new(),
            errors: AtomicU64::new(0),
            first_error: OnceLock::new(),
        }
    }
}

/// Puts a client under load, in a runtime of its own.
///
/// # Errors
/// The client cannot be opened, or a worker panicked.
pub fn run<C: LoadClient>(plan: &Plan) -> Result<Outcome, Error> {
    plan.runtime.build()?.block_on(drive::<C>(plan))
}

async fn drive<C: LoadClient>(plan: &Plan) -> Result<Outcome, Error> {
    let workload = Workload::new(plan.endpoints.clone(), plan.keys, plan.value_size);
    let client = C::connect(Arc::new(workload)).await?;
    let board = Arc::new(Board::new());
    let mut workers = JoinSet::new();
    for worker in 0..plan.concurrency {
        // A stride that shares no factor with the number of keys spreads the workers over them.
        let start = worker.wrapping_mul(7919);
        workers.spawn(work(client.clone(), plan.op, start, Arc::clone(&board)));
    }

    clock::pause(plan.warmup).await;
    let (began, cpu_before) = (clock::now(), clock::process_cpu());
    board.phase.store(MEASURING, Relaxed);
    clock::pause(plan.measured).await;
    board.phase.store(STOPPING, Relaxed);
    let (cpu, elapsed) = (clock::process_cpu() - cpu_before, clock::now() - began);

    let drained = tokio::time::timeout(DRAIN, async {
        while let Some(ended) = workers.join_next().await {
            ended?;
        }
        Ok::<(), tokio::task::JoinError>(())
    });
    if let Ok(ended) = drained.await {
        ended?;
    }

    let micros = |nanos: u64| nanos as f64 / 1e3;
    let ops = board.latencies.count();
    Ok(Outcome {
        client: plan.client.clone(),
        runtime: plan.runtime.to_string(),
        op: plan.op,
        concurrency: plan.concurrency,
        value_size: plan.value_size,
        seconds: elapsed.as_secs_f64(),
        ops,
        errors: board.errors.load(Relaxed),
        hung: workers.len() as u64,
        cpu_us_per_op: cpu.as_secs_f64() * 1e6 / ops.max(1) as f64,
        ops_per_second: ops as f64 / elapsed.as_secs_f64(),
        p50_us: micros(board.latencies.quantile(0.5)),
        p99_us: micros(board.latencies.quantile(0.99)),
        max_us: micros(board.latencies.max()),
        peak_rss_mib: peak_rss_mib().unwrap_or_default(),
        first_error: board.first_error.get().cloned(),
    })
}

async fn work<C: LoadClient>(mut client: C, op: Op, start: usize, board: Arc<Board>) {
    let mut number = start;
    loop {
        let phase = board.phase.load(Relaxed);
        if phase == STOPPING {
            return;
        }
        let began = clock::now();
        let result = match op {
            Op::Put => client.put(number).await,
            Op::Get => client.get(number).await,
        };
        let took = clock::now() - began;
        number = number.wrapping_add(1);
        match result {
            Ok(()) if board.phase.load(Relaxed) == MEASURING => {
                board.latencies.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            }
            Ok(()) => {}
            Err(error) => {
                board.errors.fetch_add(1, Relaxed);
                board.first_error.get_or_init(|| error.to_string());
                // A client that fails at once would otherwise keep the runtime for itself.
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The largest resident set of this process so far.
fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Scripted(Arc<Workload>);

    impl LoadClient for Scripted {
        async fn connect(workload: Arc<Workload>) -> Result<Self, Error> {
            Ok(Self(workload))
        }

        async fn put(&mut self, number: usize) -> Result<(), Error> {
            assert_eq!(self.0.key(number).len(), 8);
            tokio::task::yield_now().await;
            Ok(())
        }

        async fn get(&mut self, _number: usize) -> Result<(), Error> {
            tokio::task::yield_now().await;
            Err("no such key".into())
        }
    }

    fn plan(op: &str) -> Plan {
        let flags = ["--client", "scripted", "--op", op, "--seconds", "0.05", "--warmup", "0.01"];
        let more = ["--runtime", "ct", "--concurrency", "3", "--keys", "10"];
        let mut flags = Flags::parse(flags.into_iter().chain(more).map(str::to_owned)).unwrap();
        let plan = Plan::from_flags(&mut flags).unwrap();
        flags.finish().unwrap();
        plan
    }

    #[test]
    fn good_operations_are_counted_and_measured() {
        let outcome = run::<Scripted>(&plan("put")).unwrap();
        assert!(outcome.ops > 0 && outcome.errors == 0 && outcome.hung == 0, "{outcome:?}");
        assert!(outcome.cpu_us_per_op > 0.0 && outcome.p50_us <= outcome.max_us, "{outcome:?}");
        assert!(outcome.seconds >= 0.05 && outcome.peak_rss_mib > 0.0, "{outcome:?}");
        let line = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&line).unwrap(), outcome);
    }

    #[test]
    fn failures_are_counted_apart_and_the_first_is_kept() {
        let outcome = run::<Scripted>(&plan("get")).unwrap();
        assert!(outcome.ops == 0 && outcome.errors > 0, "{outcome:?}");
        assert_eq!(outcome.first_error.as_deref(), Some("no such key"));
    }
}
