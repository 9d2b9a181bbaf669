//! Leader election: two candidates, of which one dies, and an observer who sees who leads.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use etcdkit::concurrency::Election;
use etcdkit::{Client, Put, Txn};
use etcdkit_examples::{Result, Target};

const NAME: &str = "/example/leader";

/// Leads, and works as long as it does: what it writes is written by a leader or not at all.
async fn candidate(client: Client, name: &str) -> Result {
    let session = client.session(Duration::from_secs(5)).await?;
    let leadership = Election::new(&session, NAME).campaign(name).await?;
    println!("{name} leads, with fencing token {}", leadership.fencing_token());
    leadership.txn(Txn::new().then([Put::new("/example/work", name)])).await?;
    // A program goes on here until `leadership.lost()`. This one stops without resigning, as if it had crashed: the
    // lease is ended, and with it the leadership.
    client.revoke(session.lease()).await?;
    println!("{name} is gone: {:?}", leadership.lost().await);
    Ok(())
}

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;
    let mut leaders = client.election_leaders(NAME);
    let observer = async {
        for _ in 0..2 {
            if let Some(leader) = leaders.next().await {
                println!("observed: {} leads", leader?.value_str()?);
            }
        }
        Result::Ok(())
    };
    let (one, two) = (candidate(client.clone(), "one"), candidate(client.clone(), "two"));
    let (observed, one, two) = tokio::join!(observer, Box::pin(one), Box::pin(two));
    observed.and(one).and(two)?;
    client.close().await;
    etcd.stop().await;
    Ok(())
}
