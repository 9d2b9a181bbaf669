//! Locks, elections and transactions in memory: what the reference examples print.

use std::time::Duration;

use etcdkit::concurrency::{Election, Mutex, StmOptions};
use etcdkit::{Error, Get};

use crate::kv::members::{in_time, on_own_member};

const TTL: Duration = Duration::from_secs(60);

#[tokio::test]
async fn example_mutex_try_lock() {
    on_own_member(async |client, _| {
        let mut lines = Vec::new();
        let (s1, s2) = (client.session(TTL).await.unwrap(), client.session(TTL).await.unwrap());
        let (m1, m2) = (Mutex::new(&s1, "/my-lock"), Mutex::new(&s2, "/my-lock"));
        let held = m1.lock().await.unwrap();
        lines.push("acquired lock for s1");
        if m2.try_lock().await.unwrap().is_none() {
            lines.push("cannot acquire lock for s2, as already locked in another session");
        }
        held.unlock().await.unwrap();
        lines.push("released lock for s1");
        if m2.try_lock().await.unwrap().is_some() {
            lines.push("acquired lock for s2");
        }
        let expected = [
            "acquired lock for s1",
            "cannot acquire lock for s2, as already locked in another session",
            "released lock for s1",
            "acquired lock for s2",
        ];
        assert_eq!(lines, expected);
    })
    .await;
}

#[tokio::test]
async fn example_mutex_lock() {
    on_own_member(async |client, _| {
        let mut lines = Vec::new();
        let (s1, s2) = (client.session(TTL).await.unwrap(), client.session(TTL).await.unwrap());
        let (m1, m2) = (Mutex::new(&s1, "/my-lock/"), Mutex::new(&s2, "/my-lock/"));
        let held = m1.lock().await.unwrap();
        lines.push("acquired lock for s1");
        let second = Box::pin(m2.lock());
        let release = async {
            held.unlock().await.unwrap();
            lines.push("released lock for s1");
        };
        let (second, ()) = in_time("the second", async { tokio::join!(second, release) }).await;
        second.unwrap().unlock().await.unwrap();
        lines.push("acquired lock for s2");
        assert_eq!(lines, ["acquired lock for s1", "released lock for s1", "acquired lock for s2"]);
    })
    .await;
}

#[tokio::test]
async fn example_election_campaign() {
    on_own_member(async |client, _| {
        let (s1, s2) = (client.session(TTL).await.unwrap(), client.session(TTL).await.unwrap());
        let lines = std::sync::Mutex::new(Vec::new());
        // Who is first is open; that the other comes after it is not.
        let campaign = async |session: &_, name: &str| {
            let election = Election::new(session, "/my-election/");
            let leadership = election.campaign(name).await.unwrap();
            let nth = if lines.lock().unwrap().is_empty() { "first" } else { "second" };
            lines.lock().unwrap().push(format!("completed {nth} election with {name}"));
            leadership.resign().await.unwrap();
        };
        in_time("both", async {
            tokio::join!(Box::pin(campaign(&s1, "e1")), Box::pin(campaign(&s2, "e2")))
        })
        .await;
        let mut lines = lines.into_inner().unwrap();
        for line in &mut lines {
            line.truncate(line.len() - 1);
        }
        assert_eq!(lines, ["completed first election with e", "completed second election with e"]);
    })
    .await;
}

#[tokio::test]
async fn example_stm_apply() {
    on_own_member(async |client, _| {
        for account in 0..5 {
            client.put(format!("accts/{account}"), "100").await.unwrap();
        }
        let exchange = async |from: usize| {
            let (from, to) =
                (format!("accts/{}", from % 5), format!("accts/{}", (from * 3 + 1) % 5));
            let done = client.stm(StmOptions::new(), async |stm| {
                let values = stm.get_all([&from, &to]).await?;
                let balance = |index: usize| -> i64 {
                    let value = values[index].as_deref().unwrap();
                    std::str::from_utf8(value).unwrap().parse().unwrap()
                };
                if from != to {
                    let amount = balance(0) / 2;
                    stm.put(&from, (balance(0) - amount).to_string());
                    stm.put(&to, (balance(1) + amount).to_string());
                }
                Ok::<_, Error>(())
            });
            done.await.unwrap();
        };
        let exchanges = (0..5).map(|from| Box::pin(exchange(from)));
        futures_util::future::join_all(exchanges).await;
        let accounts = client.get(Get::prefix("accts/")).await.unwrap();
        let sum: i64 =
            accounts.kvs().iter().map(|kv| kv.value_str().unwrap().parse::<i64>().unwrap()).sum();
        assert_eq!(format!("account sum is {sum}"), "account sum is 500");
    })
    .await;
}
