//! A lock with a fencing token: what a former holder sends has no effect, however late it comes.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use etcdkit::concurrency::Mutex;
use etcdkit::{Client, ErrorKind, Put, Txn};
use etcdkit_examples::{Result, Target};

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;
    let ttl = Duration::from_secs(5);
    let (one, two) = (client.session(ttl).await?, client.session(ttl).await?);
    let write = |value: &str| Txn::new().then([Put::new("/example/report", value)]);

    let first = Mutex::new(&one, "/example/lock").lock().await?;
    first.txn(write("by the first")).await?;
    println!("the first holds the lock, with token {}", first.fencing_token());
    println!("free for others: {}", Mutex::new(&two, "/example/lock").try_lock().await?.is_some());

    // The first sleeps for too long: its lease ends, and it does not know it yet. If it looked, it would stop.
    client.revoke(one.lease()).await?;
    println!("the first has lost it: {:?}", first.lost().await);
    let second = Mutex::new(&two, "/example/lock").lock().await?;
    println!("the second holds the lock, with token {}", second.fencing_token());
    second.txn(write("by the second")).await?;
    match first.txn(write("late")).await {
        Err(error) if error.kind() == ErrorKind::NotFound => println!("the first comes too late"),
        outcome => println!("{outcome:?}"),
    }
    // Other stores than etcd keep the highest token that they have seen, and refuse lower ones.
    assert!(second.fencing_token() > first.fencing_token());
    let report = client.get("/example/report").await?;
    println!("{:?}", report.first().map(|kv| kv.value_str()));

    second.unlock().await?;
    two.close().await?;
    client.close().await;
    etcd.stop().await;
    Ok(())
}
