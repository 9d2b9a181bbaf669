//! Our own client's watches and leases, through its public API and with its defaults.

use std::sync::Arc;
use std::time::Duration;

use etcdkit::{Client, LeaseId, Watch};
use tokio::task::JoinSet;

use crate::Error;
use crate::streams::{Held, StreamClient, Tally, key};

/// `READ` says whether each lease has a task that reads its renewals; without, whoever holds it looks at its state.
#[derive(Debug)]
pub struct OurStreams<const READ: bool>(Client);

fn lease(number: usize) -> Result<LeaseId, Error> {
    Ok(LeaseId::new(i64::try_from(number)?).ok_or("no lease is 0")?)
}

impl<const READ: bool> StreamClient for OurStreams<READ> {
    async fn connect(endpoint: &str) -> Result<Self, Error> {
        let client = Client::connect([format!("http://{endpoint}")]).await?;
        client.get(key(0)).await?;
        Ok(Self(client))
    }

    async fn watch(&mut self, count: usize, tally: &Arc<Tally>) -> Result<Held, Error> {
        let (created, mut waiting) = tokio::sync::mpsc::channel::<()>(1);
        let mut readers = JoinSet::new();
        for number in 0..count {
            let (client, tally, created) = (self.0.clone(), Arc::clone(tally), created.clone());
            readers.spawn(async move {
                // The null server knows no revisions: a watch that is paused for a slow reader can't go on there.
                let watch = Watch::new(key(number)).created_notify().buffer(1 << 30, 1 << 30);
                let Ok(mut stream) = client.watch(watch).await else { return tally.lost() };
                drop(client);
                let first = stream.next().await;
                drop(created);
                if !matches!(first, Some(Ok(response)) if response.is_created()) {
                    return tally.lost();
                }
                while let Some(Ok(response)) = stream.next().await {
                    tally.add(response.events().len());
                }
                tally.lost();
            });
        }
        // Closed when each reader has given its end back.
        drop(created);
        waiting.recv().await;
        Ok(Box::new(readers))
    }

    async fn start(&mut self, key: String) -> Result<Held, Error> {
        Ok(Box::new(self.0.watch(Watch::new(key)).await?))
    }

    async fn keep_alive(&mut self, count: usize, tally: &Arc<Tally>) -> Result<Held, Error> {
        let mut opening = JoinSet::new();
        for number in 1..=count {
            let (client, lease) = (self.0.clone(), lease(number)?);
            opening.spawn(async move { client.keep_alive(lease).await });
        }
        let mut held = Vec::with_capacity(count);
        while let Some(opened) = opening.join_next().await {
            held.push(opened??);
        }
        if !READ {
            return Ok(Box::new(held));
        }
        let mut readers = JoinSet::new();
        for mut kept in held {
            let tally = Arc::clone(tally);
            readers.spawn(async move {
                while let Some(Ok(_)) = kept.next().await {}
                tally.lost();
            });
        }
        Ok(Box::new(readers))
    }

    async fn renewals(&mut self) -> Result<u64, Error> {
        let answer = self.0.time_to_live(lease(1)?).await?;
        Ok(answer.granted().map_or(0, |granted: Duration| granted.as_secs()))
    }
}
