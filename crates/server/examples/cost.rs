//! What the embedded server costs: the time from nothing to the first answer, the memory of idle watches with the client's
//! side of them, and the memory and time of a million keys beside those of real etcd 3.7.1 with the same keys.
//!
//! `cargo run --release -p etcdkit-server --example cost`
#![expect(clippy::print_stdout, reason = "a program that says what it measured")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etcdkit::{Client, Get, SortOrder, SortTarget};
use etcdkit_server::Server;
use etcdkit_testkit::etcd::{Etcd, Version};
use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt, TryStreamExt};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const STARTS: usize = 200;
const WATCHES: u64 = 10_000;
const KEYS: u64 = 1_000_000;
const VALUE: [u8; 256] = [b'v'; 256];
const WORKERS: usize = 128;
const READS: usize = 5;
/// More than the keys take.
const QUOTA: u64 = 8 << 30;
/// The argument with which this program serves instead.
const SERVE: &str = "serve";

#[tokio::main]
async fn main() -> Result<()> {
    if std::env::args().nth(1).is_some_and(|argument| argument == SERVE) {
        return serve().await;
    }
    first_answers().await?;
    watches().await?;
    // As they would be written by a list, and by those whose names have no order.
    keys("in order", u64::to_be_bytes).await?;
    keys("scattered", |number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()).await
}

async fn first_answers() -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "it is time that is measured")]
    let now = std::time::Instant::now;
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let start = now();
        let server = Server::start_ephemeral().await?;
        connect(&server).await?.get("a").await?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!("first answer: median {:?}, worst {:?}", times[STARTS / 2], times[STARTS - 1]);
    Ok(())
}

async fn watches() -> Result<()> {
    let server = Server::start_ephemeral().await?;
    let client = connect(&server).await?;
    let before = anonymous_memory(std::process::id())?;
    let mut watches = Vec::new();
    for number in 0..WATCHES {
        watches.push(client.watch(format!("watched/{number:05}").as_str()).await?);
    }
    let each = anonymous_memory(std::process::id())?.saturating_sub(before) / WATCHES;
    println!("{WATCHES} watches: {each} bytes each");
    Ok(())
}

/// Fills this server and etcd with the same keys, each in a process of its own.
async fn keys(order: &str, key: fn(u64) -> [u8; 8]) -> Result<()> {
    let mut ours = OwnProcess::start()?;
    let own = fill(&ours.url()?, ours.0.id(), key).await?;
    drop(ours);
    let etcd = Etcd::builder(Version::V3_7).quota_backend_bytes(QUOTA);
    let etcd = etcd.argument("--unsafe-no-fsync").start().await;
    let process = etcd.process_id().ok_or("etcd has ended")?;
    let real = fill(&etcd.client_url(), process, key).await?;
    println!(
        "{KEYS} keys {order}: {:.0} bytes each, in etcd {:.0}: {:.2} times as much",
        own.bytes,
        real.bytes,
        own.bytes / real.bytes
    );
    println!(
        "  {:.0} puts a second, {:.0} in etcd; {:.0} gets, {:.0}",
        own.puts, real.puts, own.gets, real.gets
    );
    println!(
        "  longest put while the newest of all is looked for: {:?}, in etcd {:?}",
        own.longest, real.longest
    );
    Ok(())
}

/// What a server with all keys costs.
struct Cost {
    /// Memory for each key.
    bytes: f64,
    /// A second.
    puts: f64,
    gets: f64,
    /// The longest that a put took beside reads that go through all keys.
    longest: Duration,
}

/// Puts all keys, and gets them.
async fn fill(url: &str, process: u32, key: fn(u64) -> [u8; 8]) -> Result<Cost> {
    #[expect(clippy::disallowed_methods, reason = "it is time that is measured")]
    let now = std::time::Instant::now;
    let rate = |since: std::time::Instant| KEYS as f64 / since.elapsed().as_secs_f64();
    let client = Client::connect([url]).await?;
    let start = now();
    let puts = stream::iter(0..KEYS).map(|number| client.put(key(number), VALUE));
    puts.buffer_unordered(WORKERS).try_for_each(async |_| Ok(())).await?;
    let (puts, bytes) = (rate(start), anonymous_memory(process)? as f64 / KEYS as f64);
    let start = now();
    let gets = stream::iter(0..KEYS).map(|number| client.get(key(number)));
    gets.buffer_unordered(WORKERS).try_for_each(async |_| Ok(())).await?;
    let gets = rate(start);
    let newest = Get::prefix("").sort(SortTarget::ModRevision, SortOrder::Descend).limit(1);
    let reader = Client::connect([url]).await?;
    let mut reads = pin!(async {
        for _ in 0..READS {
            reader.get(newest.clone()).await?;
        }
        Ok::<(), etcdkit::Error>(())
    });
    let mut longest = Duration::ZERO;
    loop {
        let start = now();
        let mut put = pin!(client.put("beside", VALUE));
        match select(&mut put, &mut reads).await {
            Either::Left((put, _)) => drop(put?),
            Either::Right((read, _)) => {
                read?;
                return Ok(Cost { bytes, puts, gets, longest });
            }
        }
        longest = longest.max(start.elapsed());
    }
}

/// This program once more, which serves until nobody holds its standard input.
struct OwnProcess(Child);

impl OwnProcess {
    fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self(command.spawn()?))
    }

    fn url(&mut self) -> Result<String> {
        let output = self.0.stdout.take().ok_or("the server says nothing")?;
        let mut url = String::new();
        BufReader::new(output).read_line(&mut url)?;
        Ok(url.trim().to_owned())
    }
}

impl Drop for OwnProcess {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

async fn serve() -> Result<()> {
    let server = Server::builder().listen("127.0.0.1:0").quota_backend_bytes(QUOTA).start().await?;
    println!("{}", server.client_urls().first().ok_or("nobody listens")?);
    tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await??;
    Ok(())
}

async fn connect(server: &Server) -> etcdkit::Result<Client> {
    let connector = etcdkit::transport::in_process(server.connector());
    Client::builder().connector(connector).endpoints(["inprocess:etcd"]).connect().await
}

/// In bytes, as Linux counts it.
fn anonymous_memory(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.ok_or("this system does not tell")?.trim().trim_end_matches(" kB");
    Ok(kilobytes.parse::<u64>()? * 1024)
}
