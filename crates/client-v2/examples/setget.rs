//! Writing a key and reading it back.
//!
//! Needs etcd 3.4 or 3.5: `etcd --enable-v2`, then `cargo run --example setget`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use etcdkit_v2::{Client, Keys, Result};

/// Writes a key and reads it back.
pub(crate) async fn run(keys: &Keys) -> Result<()> {
    let set = keys.set("/foo", "bar").await?;
    println!("set at index {}", set.index());

    let answer = keys.get("/foo").await?;
    if let Some(node) = answer.node() {
        println!("{} = {}", node.key(), node.value().unwrap_or_default());
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    run(&Client::new(["http://127.0.0.1:2379"])?.keys()).await
}
