//! Errors: what kind they are, what the server said, what was tried, and whether a write may have been applied.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use etcdkit::{CallOptions, Client, Error, ErrorKind, Get};
use etcdkit_examples::{Result, Target};

/// What a caller may decide by. The text is for people only.
fn show(what: &str, error: &Error) {
    println!("\n{what}\n  text           {error}");
    println!("  kind           {:?}", error.kind());
    println!("  server error   {:?}", error.server_error());
    println!("  retryable      {}", error.is_retryable());
    println!("  maybe applied  {}", error.maybe_applied());
    for attempt in error.attempts() {
        println!("  attempt        {attempt}");
    }
}

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find_process().await?;
    let client = Client::connect(etcd.endpoints()).await?;

    if let Err(error) = client.put("", "value").await {
        show("A request that makes no sense is not sent:", &error);
    }

    let past = client.put("/errors/key", "1").await?.revision();
    let now = client.put("/errors/key", "2").await?.revision();
    client.compact(now).await?;
    match client.get(Get::new("/errors/key").at_revision(past)).await {
        // What to do about it depends on the kind alone.
        Err(error) if error.kind() == ErrorKind::Compacted => {
            show("That revision is compacted away:", &error);
        }
        other => println!("unexpected: {other:?}"),
    }

    // Members that were never reached are named, each with its failure.
    if let Err(error) = Client::connect(["127.0.0.1:1", "https://127.0.0.1:2"]).await {
        show("Nobody listens there:", &error);
    }

    // The whole point of `maybe_applied`: a member that is frozen, and a write that it may still make.
    if let Some(member) = etcd.started() {
        member.pause();
        let hasty = CallOptions::new().timeout(Duration::from_millis(300));
        if let Err(error) = client.with_options(hasty).put("/errors/key", "3").await {
            show("The member is frozen; a write was on its way:", &error);
        }
        member.resume();
        client.wait_ready().await?;
        let answer = client.get("/errors/key").await?;
        let value = answer.first().map(|kv| kv.value_str()).transpose()?;
        println!("\nIt goes on; only a read tells what became of the write: {value:?}");
    }

    client.delete("/errors/key").await?;
    client.close().await;
    let error = client.get("/errors/key").await.err().ok_or("a closed client answered")?;
    show("The client was closed:", &error);
    etcd.stop().await;
    Ok(())
}
