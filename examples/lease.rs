//! Leases: the reference examples of etcd's Go client, one after the other, with the results that they print.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use etcdkit::{Client, Put};
use etcdkit_examples::{Result, Target};

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;
    let ttl = Duration::from_secs(5);

    // Grant: the key `foo` is removed after 5 seconds.
    let lease = client.grant(ttl).await?.id();
    client.call(Put::new("foo", "bar").lease(lease)).await?;

    // Revoke: the key goes at once.
    client.revoke(lease).await?;
    println!("number of keys: {}", client.get("foo").await?.kvs().len());

    // KeepAlive: the lease stays for as long as `kept` is held.
    let lease = client.grant(ttl).await?.id();
    let mut kept = client.keep_alive(lease).await?;
    if let Some(renewal) = kept.next().await {
        println!("ttl: {}", renewal?.ttl.as_secs());
    }
    println!("alive: {}", kept.control().state().is_alive());
    drop(kept);

    // KeepAliveOnce.
    println!("ttl: {}", client.keep_alive_once(lease).await?.ttl.as_secs());

    client.close().await;
    etcd.stop().await;
    Ok(())
}
