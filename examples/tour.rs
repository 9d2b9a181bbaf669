//! A tour of the client: writes, reads, a transaction, a streamed range, and an error that says what happened.
//!
//! `cargo run --example tour`, or with `-- --endpoints 127.0.0.1:2379,127.0.0.1:22379` on a cluster that runs already.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use etcdkit::{Client, Compare, Delete, Get, Op, Put, Txn};
use etcdkit_examples::{Result, Target};

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;
    for endpoint in client.endpoint_states() {
        println!("{}: etcd {}", endpoint.endpoint(), endpoint.version().unwrap_or("not ready yet"));
    }

    let put = client.put("/tour/greeting", "hello").await?;
    println!("\nput /tour/greeting at revision {}", put.revision());

    let answer = client.get("/tour/greeting").await?;
    let kv = answer.first().ok_or("the key is gone already")?;
    println!("get /tour/greeting: {} (version {})", kv.value_str()?, kv.version());

    // Any request is a value, and options are part of it.
    let put = client.call(Put::new("/tour/greeting", "good morning").prev_kv()).await?;
    let before = put.prev_kv().ok_or("there was no such key")?;
    println!("put it again: it was {} before", before.value_str()?);

    // All or nothing: the greeting is moved, but only if nobody has changed it since.
    let moved = Txn::new()
        .when([Compare::mod_revision("/tour/greeting").eq(put.revision())])
        .then([Op::from(Delete::new("/tour/greeting")), Put::new("/tour/moved", "hi").into()])
        .or_else([Get::new("/tour/greeting")]);
    let outcome = client.txn(moved.clone()).await?;
    println!(
        "\ntransaction: {}",
        if outcome.succeeded() { "moved" } else { "somebody was faster" }
    );
    let outcome = client.txn(moved).await?;
    println!("once more:   {}", if outcome.succeeded() { "moved" } else { "somebody was faster" });

    // A range of any size, in pieces, all at one revision. Members older than 3.7 are read in pages.
    for number in 0..2500 {
        client.put(format!("/tour/numbers/{number:04}"), number.to_string()).await?;
    }
    let mut pieces = client.get_stream(Get::prefix("/tour/numbers/")).await?;
    let (mut keys, mut sum) = (0, 0);
    while let Some(piece) = pieces.next().await {
        for kv in &piece? {
            keys += 1;
            sum += kv.value_str()?.parse::<u64>()?;
        }
    }
    println!("\nstreamed {keys} keys; their values add up to {sum}");

    // No timeout without its cause: every endpoint is named, with how it failed.
    let nobody = Client::connect(["http://127.0.0.1:1", "http://nowhere.invalid:2379"]).await;
    let error = nobody.err().ok_or("something listens where nothing should")?;
    println!("\nan error, of kind {:?}:", error.kind());
    for attempt in error.attempts() {
        println!("  {attempt}");
    }

    let deleted = client.delete(Delete::prefix("/tour/")).await?;
    println!("\ndeleted what the tour wrote: {} keys", deleted.deleted());
    client.close().await;
    etcd.stop().await;
    Ok(())
}
