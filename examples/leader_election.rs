//! Leader election: two candidates, of which one dies, and an observer who sees who leads.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use etcdkit::concurrency::{Election, Leadership};
use etcdkit::{Client, Put, Txn};
use etcdkit_examples::{Result, Target};

const NAME: &str = "/example/leader";

/// Leads, and works as long as it does.
async fn candidate(client: Client, name: &str) -> Result {
    let session = client.session(Duration::from_secs(5)).await?;
    let leadership = Election::new(&session, NAME).campaign(name).await?;
    println!("{name} leads, with fencing token {}", leadership.fencing_token());
    tokio::select! {
        // Told early, so that no work is begun in vain. It can't be told in time: that is what `txn` is for.
        loss = leadership.lost() => println!("{name} leads no more: {loss:?}"),
        outcome = work(&leadership, name) => outcome?,
    }
    Ok(())
}

/// What it writes is written by a leader, or not at all.
async fn work(leadership: &Leadership, name: &str) -> Result {
    for step in 1.. {
        leadership.txn(Txn::new().then([Put::new("/example/work", name)])).await?;
        if step == 3 {
            // As if it had crashed, without resigning: the lease ends, and with it the leadership.
            let session = leadership.guard().session();
            session.client().revoke(session.lease()).await?;
            break;
        }
    }
    // A program would have more to do.
    std::future::pending().await
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
