use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcdkit::Client;
use etcdkit_testkit::clock::Moment;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::history::{Call, Failure, History, Kind};
use super::{seconds, within};

/// 100 a second.
const PACE: Duration = Duration::from_millis(10);

/// 100 puts and 100 gets a second, however long they take, and one worker of each that calls again as soon as it is
/// answered.
///
/// Every put has a key of its own. Every get asks for a key whose put was acknowledged before the get began, so that a
/// stale answer shows.
pub(super) struct Load {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

struct Shared {
    client: Client,
    prefix: String,
    next: AtomicU64,
    acknowledged: AtomicU64,
    history: Mutex<History>,
}

impl Load {
    pub(super) async fn start(client: Client, prefix: &str) -> Self {
        let shared = Arc::new(Shared {
            client,
            prefix: prefix.to_owned(),
            next: AtomicU64::new(1),
            acknowledged: AtomicU64::new(0),
            history: Mutex::default(),
        });
        shared.call(Kind::Put).await;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for kind in [Kind::Put, Kind::Get] {
            tasks.spawn(open_loop(Arc::clone(&shared), kind, stopped.clone()));
            tasks.spawn(closed_loop(Arc::clone(&shared), kind, stopped.clone()));
        }
        Self { shared, stop, tasks }
    }

    /// Stops calling, waits for the calls under way, and returns all.
    pub(super) async fn stop(mut self) -> History {
        self.stop.send_replace(true);
        within("a call to end by its deadline of 10 s", seconds(12), async {
            while let Some(ended) = self.tasks.join_next().await {
                ended.expect("no caller panics");
            }
        })
        .await;
        std::mem::take(&mut *self.shared.lock())
    }
}

async fn open_loop(shared: Arc<Shared>, kind: Kind, mut stopped: watch::Receiver<bool>) {
    let mut ticks = interval(PACE);
    // What a machine that stood still has missed is not made up for: members are judged by how many calls are lost.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(ended) = calls.join_next() => ended.expect("no call panics"),
            _ = ticks.tick() => {
                let shared = Arc::clone(&shared);
                calls.spawn(async move { shared.call(kind).await });
            }
        }
    }
    while let Some(ended) = calls.join_next().await {
        ended.expect("no call panics");
    }
}

async fn closed_loop(shared: Arc<Shared>, kind: Kind, stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        shared.call(kind).await;
    }
}

impl Shared {
    async fn call(&self, kind: Kind) {
        let started = Moment::now();
        let (id, failure) = match kind {
            Kind::Put => {
                let id = self.next.fetch_add(1, Ordering::Relaxed);
                let put = self.client.put(format!("{}{id}", self.prefix), id.to_string()).await;
                if put.is_ok() {
                    self.acknowledged.store(id, Ordering::Relaxed);
                }
                (id, put.err().map(Failure::from))
            }
            Kind::Get => {
                let id = self.acknowledged.load(Ordering::Relaxed);
                let failure = match self.client.get(format!("{}{id}", self.prefix)).await {
                    Ok(answer) if !answer.is_empty() => None,
                    Ok(_) => Some(Failure {
                        maybe_applied: false,
                        endpoint: String::new(),
                        text: format!("stale: {id} was acknowledged before"),
                    }),
                    Err(error) => Some(error.into()),
                };
                (id, failure)
            }
        };
        self.lock().calls.push(Call { kind, id, started, ended: Moment::now(), failure });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().expect("no holder panics")
    }
}
