//! A range of keys in memory: reads without a round trip, as good as one where it matters, and local watchers.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use etcdkit::cache::CacheChange;
use etcdkit::{Client, KeyRange};
use etcdkit_examples::{Result, Target};

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;
    client.put("/flags/dark", "on").await?;

    let cache = client.cache(KeyRange::prefix("/flags/")).await?;
    println!("{} keys at revision {}", cache.len(), cache.revision());
    println!("dark: {:?}", cache.get("/flags/dark")?.map(|kv| kv.value_bytes()));

    // Any number of these share one watch of etcd.
    let mut changes = cache.subscribe("/flags/beta")?;
    let written = client.put("/flags/beta", "on").await?.revision();
    // What was just written, by this program: wait for its revision.
    cache.wait_for(written).await?;
    println!("beta: {:?}", cache.get("/flags/beta")?.map(|kv| kv.value_bytes()));
    // What anybody wrote before now: ask the cluster how far it is.
    client.delete("/flags/dark").await?;
    cache.catch_up().await?;
    println!("dark: {:?}", cache.get("/flags/dark")?);
    println!("all: {:?}", cache.range(KeyRange::prefix("/flags/"))?.kvs);

    while let Some(change) = changes.next().await {
        match change? {
            CacheChange::State { kvs, revision } => println!("{kvs:?} at {revision}"),
            CacheChange::Events(events) => {
                println!("{events:?}");
                break;
            }
            _ => {}
        }
        client.put("/flags/beta", "off").await?;
    }
    client.close().await;
    etcd.stop().await;
    Ok(())
}
