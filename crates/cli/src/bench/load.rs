//! Clients that make requests when they are due.

use std::fmt;
use std::pin::pin;
use std::time::{Duration, Instant};

use etcdkit::{Client, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::histogram::Histogram;
use super::schedule::{Schedule, Turn};
use super::work::{Kind, Size, Worker};
use crate::signals;

/// What is done, and when.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) kind: Kind,
    pub(super) schedule: Schedule,
    pub(super) size: Size,
    pub(super) seed: u64,
    pub(super) now: fn() -> Instant,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    pub(super) took: Duration,
}

/// What clients have counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// From when a request was due until it was answered.
    pub(super) times: Histogram,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.times.add(&other.times);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

impl Load {
    /// Prepares keys, has all clients work until they are done or an interrupt comes, and deletes the keys.
    ///
    /// Dropping the future leaves the keys.
    pub(super) async fn run(&self, client: &Client) -> Result<Outcome> {
        self.kind.prepare(client, &self.size).await?;
        let mut workers = Vec::new();
        for number in 0..self.schedule.clients {
            workers
                .push(Worker::new(self.kind, client.clone(), &self.size, self.seed, number).await?);
        }
        let start = (self.now)();
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        for (number, worker) in (0..).zip(workers) {
            let schedule = self.schedule.clone();
            running.spawn(client_of(schedule, number, worker, start, self.now, stopped.clone()));
        }
        let mut tally = Tally::default();
        let mut interrupted = pin!(signals::interrupted());
        loop {
            let done = tokio::select! {
                done = running.join_next() => done,
                _ = &mut interrupted, if !*stop.borrow() => {
                    stop.send_replace(true);
                    continue;
                }
            };
            let Some(done) = done else { break };
            match done {
                Ok(part) => tally.add(part),
                Err(error) => {
                    tally.errors += 1;
                    tally.first_error.get_or_insert_with(|| error.to_string());
                }
            }
        }
        let took = (self.now)().duration_since(start);
        self.kind.clean_up(client, &self.size).await?;
        Ok(Outcome { tally, took })
    }
}

async fn client_of(
    schedule: Schedule,
    number: u64,
    mut worker: Worker,
    start: Instant,
    now: fn() -> Instant,
    mut stopped: watch::Receiver<bool>,
) -> Tally {
    let mut tally = Tally::default();
    let mut made = 0;
    while let Turn::Due(due) = schedule.turn(number, made, now().duration_since(start)) {
        made += 1;
        let due = start + due;
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        match worker.once().await {
            Ok(()) => tally.times.record(now().duration_since(due)),
            Err(error) => {
                tally.errors += 1;
                tally.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
    worker.end().await;
    tally
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { clients, between, duration, .. } = &self.schedule;
        write!(f, "{}: {clients} clients for {duration:?}", self.kind)?;
        match between {
            Some(between) => {
                write!(f, ", {:.0} requests due in a second", 1.0 / between.as_secs_f64())
            }
            None => write!(f, ", each asks again when it was answered"),
        }
    }
}
