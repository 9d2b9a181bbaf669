//! A transaction in memory: money is moved between accounts by many at once, and none is made or lost.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use etcdkit::concurrency::{Stm, StmOptions};
use etcdkit::{Client, Error, Get};
use etcdkit_examples::{Result, Target};

/// Why a transfer is not made. What etcd fails with is passed on.
#[derive(Debug)]
enum Refused {
    TooLittle,
    NoAccount,
    Etcd(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Etcd(error)
    }
}

async fn balance(stm: &Stm, account: &str) -> std::result::Result<i64, Refused> {
    let value = stm.get(account).await?.ok_or(Refused::NoAccount)?;
    std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok()).ok_or(Refused::NoAccount)
}

async fn transfer(client: &Client, from: &str, to: &str, amount: i64) -> Result<bool> {
    let moved = client.stm(StmOptions::new().prefetch([from, to]), async |stm| {
        let (left, right) = (balance(&stm, from).await?, balance(&stm, to).await?);
        if left < amount {
            return Err(Refused::TooLittle);
        }
        stm.put(from, (left - amount).to_string());
        stm.put(to, (right + amount).to_string());
        Ok(())
    });
    match moved.await {
        Ok(done) => {
            println!(
                "{from} to {to}: {amount}, at revision {}, {} attempts",
                done.revision, done.attempts
            );
            Ok(true)
        }
        Err(Refused::TooLittle) => Ok(false),
        Err(Refused::NoAccount) => Err(format!("{from} or {to} is no account").into()),
        Err(Refused::Etcd(error)) => Err(error.into()),
    }
}

#[tokio::main]
async fn main() -> Result {
    let etcd = Target::find().await?;
    let client = Client::connect(etcd.endpoints()).await?;
    let accounts = ["/bank/ann", "/bank/bob", "/bank/eve"];
    for account in accounts {
        client.put(account, "100").await?;
    }
    let [ann, bob, eve] = accounts;
    let all = tokio::join!(
        Box::pin(transfer(&client, ann, bob, 30)),
        Box::pin(transfer(&client, bob, eve, 50)),
        Box::pin(transfer(&client, eve, ann, 20)),
        Box::pin(transfer(&client, ann, eve, 500)),
    );
    println!("refused: {}", !all.3?);
    let mut sum = 0;
    for kv in &client.get(Get::prefix("/bank/")).await? {
        sum += kv.value_str()?.parse::<i64>()?;
    }
    println!("account sum is {sum}");
    assert_eq!(sum, 300);
    client.close().await;
    etcd.stop().await;
    Ok(())
}
