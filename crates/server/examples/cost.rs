//! What the embedded server costs a test: the time from nothing to the first answer, and the memory of idle watches, with
//! the client's side of them. `cargo run --release -p etcdkit-server --example cost`
#![expect(clippy::print_stdout, reason = "a program that says what it measured")]

use std::error::Error;

use etcdkit::Client;
use etcdkit_server::Server;

const STARTS: usize = 200;
const WATCHES: u64 = 10_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
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

    let server = Server::start_ephemeral().await?;
    let client = connect(&server).await?;
    let before = anonymous_memory()?;
    let mut watches = Vec::new();
    for number in 0..WATCHES {
        watches.push(client.watch(format!("watched/{number:05}").as_str()).await?);
    }
    let each = anonymous_memory()?.saturating_sub(before) / WATCHES;
    println!("{WATCHES} watches: {each} bytes each");
    Ok(())
}

async fn connect(server: &Server) -> etcdkit::Result<Client> {
    let connector = etcdkit::transport::in_process(server.connector());
    Client::builder().connector(connector).endpoints(["inprocess:etcd"]).connect().await
}

/// In bytes, as Linux counts it.
fn anonymous_memory() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.ok_or("this system does not tell")?.trim().trim_end_matches(" kB");
    Ok(kilobytes.parse::<u64>()? * 1024)
}
