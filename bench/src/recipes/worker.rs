//! Our client as one who takes part, through its public API and with its defaults.

use std::sync::{Arc, Mutex as Shared, PoisonError};

use etcdkit::cache::Cache;
use etcdkit::concurrency::{Election, Guard, Mutex, Queue, RwMutex, Session, StmOptions};
use etcdkit::mirror::Syncer;
use etcdkit::{Client, ErrorKind, Get, KeyRange, Op, Put, Revision, Txn};
use tokio::task::JoinSet;

use super::{Kind, Outcome, Plan};
use crate::{Error, clock};

/// What an item says that ends whoever takes it.
pub(super) const LAST: &str = "last";

struct Worker {
    client: Client,
    plan: Plan,
    number: usize,
    outcome: Arc<Shared<Outcome>>,
}

/// Takes part until the plan is fulfilled.
///
/// # Errors
/// The server can't be reached, or a worker panicked.
pub async fn run(plan: &Plan) -> Result<Outcome, Error> {
    let client = Client::connect([format!("http://{}", plan.endpoint)]).await?;
    let outcome = Outcome {
        client: plan.client.clone(),
        kind: plan.kind,
        rounds: 0,
        attempts: 0,
        fenced: 0,
        errors: 0,
        first_error: String::new(),
        violations: Vec::new(),
        items: Vec::new(),
        seconds: 0.0,
    };
    let outcome = Arc::new(Shared::new(outcome));
    let ready = match plan.kind {
        Kind::Cache => Some(filled(&client, &plan.name).await?),
        _ => None,
    };
    let (began, cpu) = (clock::now(), clock::process_cpu());
    let mut workers = JoinSet::new();
    for number in 0..plan.workers {
        let (client, plan, outcome) = (client.clone(), plan.clone(), Arc::clone(&outcome));
        workers.spawn(Worker { client, plan, number, outcome }.work(ready.clone()));
    }
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // Reads from memory wait for nobody: what they take is what they take of a core.
    let took = match plan.kind {
        Kind::Cache => clock::process_cpu() - cpu,
        _ => began.elapsed(),
    };
    outcome.seconds = took.as_secs_f64();
    Ok(outcome)
}

async fn filled(client: &Client, prefix: &str) -> Result<Cache, Error> {
    let cache = client.cache(KeyRange::prefix(prefix)).await?;
    if cache.range(cache.key_range().clone())?.kvs.is_empty() {
        return Err(
            format!("no key begins with {prefix:?}: put some, there is nothing to read").into()
        );
    }
    Ok(cache)
}

impl Worker {
    async fn work(self, cache: Option<Cache>) {
        let done = match (self.plan.kind, cache) {
            (Kind::Mutex | Kind::RwMutex | Kind::Election, _) => {
                self.contend().await;
                Ok(())
            }
            (Kind::Queue, _) => {
                tokio::join!(self.add_items(), self.take_items());
                Ok(())
            }
            (Kind::Bank, _) => {
                self.transfer().await;
                Ok(())
            }
            (Kind::Lock, _) => self.lock_and_unlock().await,
            (Kind::Cache, Some(cache)) => self.read(&cache),
            (Kind::Mirror | Kind::Cache, _) => self.mirror().await,
        };
        if let Err(error) = done {
            self.failed(&error);
        }
    }

    fn note(&self, change: impl FnOnce(&mut Outcome)) {
        change(&mut self.outcome.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn failed(&self, error: &etcdkit::Error) {
        self.note(|outcome| {
            outcome.errors += 1;
            if outcome.first_error.is_empty() {
                outcome.first_error = error.to_string();
            }
        });
    }

    /// Holds the lock again and again, with another session whenever one is lost.
    async fn contend(&self) {
        loop {
            let session = match self.client.session(self.plan.ttl).await {
                Ok(session) => session,
                Err(error) => {
                    self.failed(&error);
                    continue;
                }
            };
            // Whoever stops processes wants to know whose a key is.
            let owner = format!("{}/{:x}", self.plan.beside("sessions"), session.lease().get());
            let owner = Put::new(owner, std::process::id().to_string()).lease(session.lease());
            if let Err(error) = self.client.call(owner).await {
                self.failed(&error);
            }
            let mut number = 0;
            while session.state().is_alive() {
                match self.round(&session, number).await {
                    Ok(true) => return session.close().await.unwrap_or_else(|_| session.orphan()),
                    Ok(false) => {}
                    Err(error) => self.failed(&error),
                }
                number += 1;
            }
        }
    }

    /// `true` when there is nothing left to do.
    async fn round(&self, session: &Session, number: u64) -> etcdkit::Result<bool> {
        let name = &*self.plan.name;
        match self.plan.kind {
            Kind::RwMutex if !number.is_multiple_of(3) => {
                let guard = RwMutex::new(session, name).read().await?;
                let done = self.beside(&guard).await?;
                guard.unlock().await?;
                Ok(done)
            }
            Kind::RwMutex => self.write(RwMutex::new(session, name).write().await?).await,
            Kind::Election => {
                let election = match self.number % 2 {
                    0 => Election::new(session, name),
                    _ => Election::on_server(session, name),
                };
                let leadership = election.campaign("etcdkit").await?;
                let done = self.inside(leadership.guard()).await?;
                leadership.resign().await?;
                Ok(done)
            }
            _ => {
                let mutex = match self.number % 2 {
                    0 => Mutex::new(session, name),
                    _ => Mutex::on_server(session, name),
                };
                self.write(mutex.lock().await?).await
            }
        }
    }

    async fn write(&self, guard: Guard) -> etcdkit::Result<bool> {
        let done = self.inside(&guard).await?;
        guard.unlock().await?;
        Ok(done)
    }

    /// Reads the register under a lock: its count, its last token and its revision. `None` if the lock is lost.
    async fn register(
        &self,
        guard: &Guard,
        more: Option<Put>,
    ) -> etcdkit::Result<Option<(u64, i64, Revision)>> {
        let read = Op::from(Get::new(self.plan.register()));
        let txn = Txn::new().then([read]).then(more);
        let answer = match guard.txn(txn).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        let read = answer.responses().first().and_then(|answer| answer.as_get()?.first());
        let Some(kv) = read else { return Ok(None) };
        let mut numbers = kv.value_str().unwrap_or_default().split(' ');
        let mut number = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let (count, last): (i64, i64) = (number(), number());
        Ok(Some((count.unsigned_abs(), last, kv.mod_revision())))
    }

    /// Does what only one may do at a time: reads the register, and writes it as if nobody else could have.
    async fn inside(&self, guard: &Guard) -> etcdkit::Result<bool> {
        let token = guard.fencing_token().get();
        let fenced = || self.note(|outcome| outcome.fenced += 1);
        let Some((count, last, before)) = self.register(guard, None).await? else {
            fenced();
            return Ok(false);
        };
        if last > token {
            self.violated(format!("token {token} holds after token {last}"));
        }
        if count >= self.plan.rounds {
            return Ok(true);
        }
        let put = Put::new(self.plan.register(), format!("{} {token}", count + 1));
        match self.register(guard, Some(put)).await? {
            None => fenced(),
            Some((_, _, now)) if now != before => self.violated(format!(
                "two hold: token {token} read revision {before}, and found {now} when it wrote"
            )),
            Some(_) => self.note(|outcome| outcome.rounds += 1),
        }
        Ok(count + 1 >= self.plan.rounds)
    }

    /// Reads the register twice, as one of many readers: nobody may write in between.
    async fn beside(&self, guard: &Guard) -> etcdkit::Result<bool> {
        let Some((count, _, before)) = self.register(guard, None).await? else { return Ok(false) };
        let Some((_, _, now)) = self.register(guard, None).await? else { return Ok(false) };
        if now != before {
            self.violated(format!("a reader saw a writer: revision {before}, then {now}"));
        }
        Ok(count >= self.plan.rounds)
    }

    fn violated(&self, what: String) {
        self.note(|outcome| outcome.violations.push(what));
    }

    async fn add_items(&self) {
        let queue = Queue::new(&self.client, &*self.plan.name);
        let me = format!("{}-{}-{}", self.plan.client, std::process::id(), self.number);
        for number in 0..self.plan.rounds {
            if let Err(error) = queue.enqueue(format!("{me}-{number}")).await {
                self.failed(&error);
            }
        }
        // Whoever keeps the books counts these.
        if let Err(error) = self.client.put(format!("{}/{me}", self.plan.beside("added")), "").await
        {
            self.failed(&error);
        }
    }

    async fn take_items(&self) {
        let queue = Queue::new(&self.client, &*self.plan.name);
        loop {
            match queue.dequeue().await {
                Ok(item) if item == LAST => return,
                Ok(item) => self.note(|outcome| {
                    outcome.items.push(String::from_utf8_lossy(&item).into_owned());
                    outcome.rounds += 1;
                }),
                Err(error) => self.failed(&error),
            }
        }
    }

    async fn transfer(&self) {
        let mut random = random_numbers(self.number);
        for _ in 0..self.plan.rounds {
            let mut account = || format!("{}/{:03}", self.plan.name, random(self.plan.accounts));
            let (from, to) = (account(), account());
            let amount = i64::try_from(random(10)).unwrap_or_default();
            if from == to {
                continue;
            }
            let (from, to) = (&*from, &*to);
            let options = StmOptions::new().attempts(u32::MAX);
            let transfer = self.client.stm(options, |stm| async move {
                let (has, gets) = (balance(stm.get(from).await?), balance(stm.get(to).await?));
                if has >= amount {
                    stm.put(from, (has - amount).to_string());
                    stm.put(to, (gets + amount).to_string());
                }
                Ok::<(), etcdkit::Error>(())
            });
            match transfer.await {
                Ok(committed) => self.note(|outcome| {
                    outcome.rounds += 1;
                    outcome.attempts += u64::from(committed.attempts);
                }),
                Err(error) => self.failed(&error),
            }
        }
    }

    async fn lock_and_unlock(&self) -> etcdkit::Result<()> {
        let session = self.client.session(self.plan.ttl).await?;
        let mutex = Mutex::new(&session, &*self.plan.name);
        for _ in 0..self.plan.rounds {
            mutex.lock().await?.unlock().await?;
            self.note(|outcome| outcome.rounds += 1);
        }
        session.close().await
    }

    async fn mirror(&self) -> etcdkit::Result<()> {
        let mut syncer = Syncer::new(&self.client, &*self.plan.name);
        let mut base = syncer.base().await?;
        while let Some(page) = base.next().await {
            let keys = page?.kvs().len() as u64;
            self.note(|outcome| outcome.rounds += keys);
        }
        Ok(())
    }

    fn read(&self, cache: &Cache) -> etcdkit::Result<()> {
        let keys: Vec<_> = cache.range(cache.key_range().clone())?.kvs;
        if keys.is_empty() {
            let name = &self.plan.name;
            self.note(|outcome| {
                outcome.violations.push(format!("no key begins with {name:?}: put some first"))
            });
            return Ok(());
        }
        let mut found = 0;
        for number in 0..usize::try_from(self.plan.rounds).unwrap_or(usize::MAX) {
            // A stride, so that neighbours in memory do not help each other.
            let key = keys[number.wrapping_mul(7919) % keys.len()].key();
            found += u64::from(cache.get(key)?.is_some());
        }
        self.note(|outcome| outcome.rounds += found);
        Ok(())
    }
}

fn balance(value: Option<bytes::Bytes>) -> i64 {
    let value = value.unwrap_or_default();
    std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Numbers below what is asked for, the same for the same worker: a linear congruential generator is random enough here.
fn random_numbers(worker: usize) -> impl FnMut(usize) -> usize {
    let mut state =
        0x5851_f42d_4c95_7f2d_u64.wrapping_mul(worker as u64 + u64::from(std::process::id()));
    move |below| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or_default() % below.max(1)
    }
}
