//! A server that is killed under load, again and again: every acknowledged write is there when it is back.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use etcdkit::{Client, Get, Put, Revision, Txn};
use etcdkit_server::Server;
use etcdkit_server::storage::{Disk, StorageError};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Names the folder to the process that is killed; without a name it is in memory.
const DATA_DIR: &str = "ETCDKIT_TEST_DATA_DIR";
const WRITERS: usize = 16;

/// The process that is killed. It ends as well when nobody holds its standard input any more.
#[test]
#[ignore = "it is the process that the other tests start and kill"]
fn server_process() {
    let Some(folder) = std::env::var_os(DATA_DIR) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(async {
        let mut builder = Server::builder().listen("127.0.0.1:0");
        if !folder.is_empty() {
            builder = builder.storage(Disk::open(folder).unwrap());
        }
        builder.start().await.unwrap()
    });
    // Past the test runner, which keeps what is printed.
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nserving {}", server.client_urls()[0]).unwrap();
    out.flush().unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
    _stdin: Option<ChildStdin>,
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn start(folder: &Path) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program)
            .args(["durable::crash::server_process", "--exact", "--ignored", "--nocapture"])
            .env(DATA_DIR, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| line.unwrap().strip_prefix("serving ").map(str::to_owned));
        let stdin = child.stdin.take();
        Self { child, url: url.expect("it starts"), _stdin: stdin }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL, for this child alone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a writer was told, and what it sent.
#[derive(Debug, Default)]
struct Writer {
    acknowledged: AtomicU64,
    sent: AtomicU64,
}

#[derive(Debug, Default)]
struct Run {
    writers: Vec<Writer>,
    /// The last revision that anybody was told.
    revision: AtomicI64,
    total: AtomicU64,
    /// How many acknowledged writes in all it takes until the server is killed.
    enough: AtomicU64,
    reached: Notify,
}

impl Run {
    /// Writes pairs of keys that belong together, each pair in one transaction, until it is aborted.
    async fn write(&self, number: usize, client: Client) {
        let writer = &self.writers[number];
        loop {
            let next = writer.sent.fetch_add(1, Ordering::Relaxed) + 1;
            let value = next.to_string();
            let pair = ["a", "b"].map(|half| Put::new(format!("{half}-{number}"), value.as_str()));
            let Ok(answer) = client.txn(Txn::new().then(pair)).await else { return };
            writer.acknowledged.store(next, Ordering::Relaxed);
            self.revision.fetch_max(answer.header().revision.get(), Ordering::Relaxed);
            let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
            if total >= self.enough.load(Ordering::Relaxed) {
                self.reached.notify_one();
            }
        }
    }

    /// Compares what the server has with what was told.
    async fn check(&self, client: &Client, round: u64) {
        let all = client.get(Get::prefix("")).await.unwrap();
        let revision = all.header().revision.get();
        let told = self.revision.load(Ordering::Relaxed);
        assert!(revision >= told, "round {round}: revision {told} went back to {revision}");
        let value = |key: String| -> u64 {
            let found = all.kvs().iter().find(|kv| kv.key() == key.as_bytes());
            found.map_or(0, |kv| std::str::from_utf8(kv.value()).unwrap().parse().unwrap())
        };
        for (number, writer) in self.writers.iter().enumerate() {
            let found = value(format!("a-{number}"));
            let torn = value(format!("b-{number}"));
            assert_eq!(found, torn, "round {round}: writer {number}'s transaction is torn");
            let acknowledged = writer.acknowledged.load(Ordering::Relaxed);
            let sent = writer.sent.load(Ordering::Relaxed);
            assert!(
                (acknowledged..=sent).contains(&found),
                "round {round}: writer {number} has {found}, not {acknowledged} to {sent}"
            );
            // Go on from there.
            writer.acknowledged.store(found, Ordering::Relaxed);
            writer.sent.store(found, Ordering::Relaxed);
        }
    }
}

async fn killed(rounds: u64) {
    let folder = tempfile::tempdir().unwrap();
    let run = Arc::new(Run {
        writers: (0..WRITERS).map(|_| Writer::default()).collect(),
        ..Run::default()
    });
    let mut random = fastrand::Rng::with_seed(rounds);
    for round in 0..rounds {
        let path = folder.path().to_owned();
        let process = tokio::task::spawn_blocking(move || Process::start(&path)).await.unwrap();
        let client = Client::connect([process.url.as_str()]).await.unwrap();
        run.check(&client, round).await;
        let now = run.total.load(Ordering::Relaxed);
        run.enough.store(now + random.u64(1..300), Ordering::Relaxed);
        let mut tasks = JoinSet::new();
        for number in 0..WRITERS {
            let (run, client) = (Arc::clone(&run), client.clone());
            tasks.spawn(async move { run.write(number, client).await });
        }
        if round % 8 == 7 {
            // The kill may also hit a compaction.
            let revision = Revision::new(run.revision.load(Ordering::Relaxed));
            client.compact(revision).await.unwrap();
        }
        run.reached.notified().await;
        drop(process);
        tasks.shutdown().await;
    }
    let process = Process::start(folder.path());
    let client = Client::connect([process.url.as_str()]).await.unwrap();
    run.check(&client, rounds).await;
    assert!(run.total.load(Ordering::Relaxed) > rounds);
}

#[test]
fn a_folder_that_another_process_has_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let error = Disk::open(folder.path()).unwrap_err();
    assert!(matches!(error, StorageError::InUse(_)), "{error}");
    drop(process);
    Disk::open(folder.path()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_a_kill() {
    killed(20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: cargo xtask soak"]
async fn soak_acknowledged_writes_survive_250_kills() {
    killed(250).await;
}
