//! Watches: the reference examples of etcd's Go client, one after the other, with the results that they print.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use etcdkit::{Client, Streaming, Watch, WatchControl, WatchResponse};
use etcdkit_examples::{Result, Target};

/// Prints the next events, as Go's examples do.
async fn print(changes: &mut Streaming<WatchResponse, WatchControl>, count: usize) -> Result {
    let mut left = count;
    while left > 0 {
        let response = changes.next().await.ok_or("the watch ended")??;
        for event in response.events() {
            let kind = if event.is_put() { "PUT" } else { "DELETE" };
            println!("{kind} {:?} : {:?}", event.kv().key_str()?, event.kv().value_str()?);
            left = left.saturating_sub(1);
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;

    // One key.
    let mut changes = client.watch("foo").await?;
    client.put("foo", "bar").await?;
    print(&mut changes, 1).await?;

    // All keys that begin with a prefix.
    let mut changes = client.watch(Watch::prefix("foo")).await?;
    client.put("foo1", "bar").await?;
    print(&mut changes, 1).await?;

    // From one key up to another, which is left out.
    let mut changes = client.watch(Watch::range("foo1", "foo4")).await?;
    client.put("foo1", "bar1").await?;
    client.put("foo5", "bar5").await?;
    client.put("foo2", "bar2").await?;
    client.put("foo3", "bar3").await?;
    print(&mut changes, 3).await?;

    // Progress: everything up to that revision has been seen. Servers send it now and then (`progress_notify`), or when
    // they are asked.
    let mut changes = client.watch(Watch::new("foo").progress_notify()).await?;
    let put = client.put("fum", "fiddle").await?;
    changes.control().request_progress();
    let response = changes.next().await.ok_or("the watch ended")??;
    println!("is progress: {}", response.is_progress());
    println!("up to the last put: {}", response.header().revision >= put.revision());

    client.close().await;
    etcd.stop().await;
    Ok(())
}
