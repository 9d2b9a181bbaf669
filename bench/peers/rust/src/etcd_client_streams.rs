//! The crate etcd-client with many watches and leases, as its users have to write it.
//!
//! Watches share one stream, and a map from ids to bounded channels hands events to a task for each: the function that
//! etcd's Go client and etcdkit have built in. A lease has a stream and a task of its own, which renews it each third of
//! its time to live, since nothing in the crate does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, WatchRequestSender, WatchResponse};
use etcdkit_bench::Error;
use etcdkit_bench::streams::{Held, StreamClient, Tally, key};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The client, and what creates further watches on its stream.
pub struct EtcdClientStreams {
    client: Client,
    watcher: Option<WatchRequestSender>,
}

impl StreamClient for EtcdClientStreams {
    async fn connect(endpoint: &str) -> Result<Self, Error> {
        let mut client = Client::connect([endpoint], None).await?;
        client.get(key(0), None).await?;
        Ok(Self { client, watcher: None })
    }

    async fn watch(&mut self, count: usize, tally: &Arc<Tally>) -> Result<Held, Error> {
        let (mut watcher, mut stream) = self.client.watch(key(0), None).await?.split();
        let (all_created, created) = tokio::sync::oneshot::channel();
        let mut all_created = Some(all_created);
        let mut tasks = JoinSet::new();
        let tally = Arc::clone(tally);
        tasks.spawn(async move {
            let mut readers = JoinSet::new();
            let mut channels: HashMap<i64, mpsc::Sender<WatchResponse>> = HashMap::new();
            while let Ok(Some(response)) = stream.message().await {
                if response.created() {
                    let (sender, mut receiver) = mpsc::channel::<WatchResponse>(16);
                    channels.insert(response.watch_id(), sender);
                    let tally = Arc::clone(&tally);
                    readers.spawn(async move {
                        while let Some(response) = receiver.recv().await {
                            tally.add(response.events().len());
                        }
                    });
                    if channels.len() == count
                        && let Some(all_created) = all_created.take()
                    {
                        let _ = all_created.send(());
                    }
                } else if let Some(channel) = channels.get(&response.watch_id()) {
                    let _ = channel.send(response).await;
                }
            }
            tally.lost();
        });
        for number in 1..count {
            watcher.watch(key(number), None).await?;
        }
        created.await?;
        self.watcher = Some(watcher);
        Ok(Box::new(tasks))
    }

    async fn start(&mut self, key: String) -> Result<Held, Error> {
        self.watcher.as_mut().ok_or("nothing is watched")?.watch(key, None).await?;
        Ok(Box::new(()))
    }

    async fn keep_alive(&mut self, count: usize, tally: &Arc<Tally>) -> Result<Held, Error> {
        let (renewed, mut waiting) = mpsc::channel::<()>(1);
        let mut tasks = JoinSet::new();
        for number in 1..=count {
            let (mut client, tally) = (self.client.clone(), Arc::clone(tally));
            let renewed = renewed.clone();
            tasks.spawn(async move {
                let Ok((mut keeper, mut answers)) = client.lease_keep_alive(number as i64).await else {
                    return tally.lost();
                };
                let mut renewed = Some(renewed);
                loop {
                    if keeper.keep_alive().await.is_err() {
                        break;
                    }
                    let Ok(Some(answer)) = answers.message().await else { break };
                    renewed = None;
                    let third = u64::try_from(answer.ttl()).unwrap_or(0) * 1000 / 3;
                    tokio::time::sleep(Duration::from_millis(third)).await;
                }
                drop(renewed);
                tally.lost();
            });
        }
        drop(renewed);
        waiting.recv().await;
        Ok(Box::new(tasks))
    }

    async fn renewals(&mut self) -> Result<u64, Error> {
        let answer = self.client.lease_time_to_live(1, None).await?;
        Ok(answer.granted_ttl() as u64)
    }
}
