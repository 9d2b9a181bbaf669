//! Directories: making one, listing it, and removing it with what is in it.
//!
//! Needs etcd 3.4 or 3.5: `etcd --enable-v2`, then `cargo run --example directory`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use etcdkit_v2::{Client, Delete, Get, Keys, Result};

/// Makes a directory with two keys, lists it, and removes it.
pub(crate) async fn run(keys: &Keys) -> Result<()> {
    keys.create_directory("/myNodes").await?;
    keys.set("/myNodes/key1", "value1").await?;
    keys.set("/myNodes/key2", "value2").await?;

    let answer = keys.get(Get::new("/myNodes").recursive().sorted()).await?;
    for node in answer.node().map(|node| node.nodes()).unwrap_or_default() {
        println!("{} = {}", node.key(), node.value().unwrap_or_default());
    }
    keys.delete(Delete::new("/myNodes").recursive().directory()).await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    run(&Client::new(["http://127.0.0.1:2379"])?.keys()).await
}
