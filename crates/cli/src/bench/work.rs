//! The requests.

use std::fmt;
use std::time::Duration;

use etcdkit::{
    Client, Delete, Get, LeaseId, Put, Result, Streaming, Txn, WatchControl, WatchResponse,
};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    Range,
    TxnPut,
    Watch,
    KeepAlive,
}

/// How much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) prefix: Vec<u8>,
    pub(super) keys: u64,
    pub(super) value: usize,
    /// In a transaction.
    pub(super) operations: u64,
}

/// Keys that are put in one transaction before they are read.
const FILLED_AT_ONCE: u64 = 64;
/// Longer than anybody measures between two renewals.
const LEASE: Duration = Duration::from_secs(3600);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Put => "put",
            Self::Range => "range",
            Self::TxnPut => "txn-put",
            Self::Watch => "watch",
            Self::KeepAlive => "lease-keepalive",
        })
    }
}

impl Size {
    fn key(&self, number: u64) -> Vec<u8> {
        [&self.prefix[..], format!("{number:012}").as_bytes()].concat()
    }

    fn put(&self, number: u64) -> Put {
        Put::new(self.key(number), vec![b'v'; self.value])
    }
}

impl Kind {
    /// Makes what is asked about. It is no part of what is measured.
    pub(super) async fn prepare(self, client: &Client, size: &Size) -> Result<()> {
        // Who can't be asked at all says so once.
        client.get(Get::prefix(size.prefix.clone()).count_only()).await?;
        if self != Self::Range {
            return Ok(());
        }
        // A transaction stays below what a request may have.
        let at_once = (1 << 19) / (size.value as u64 + 64);
        let at_once = at_once.clamp(1, FILLED_AT_ONCE);
        let mut from = 0;
        while from < size.keys {
            let to = size.keys.min(from + at_once);
            client.txn(Txn::new().then((from..to).map(|number| size.put(number)))).await?;
            from = to;
        }
        Ok(())
    }

    /// Removes it.
    pub(super) async fn clean_up(self, client: &Client, size: &Size) -> Result<()> {
        if self == Self::KeepAlive {
            return Ok(());
        }
        client.delete(Delete::prefix(size.prefix.clone())).await.map(drop)
    }
}

/// One client.
pub(super) struct Worker {
    client: Client,
    size: Size,
    random: fastrand::Rng,
    state: State,
}

enum State {
    Put,
    Range,
    TxnPut,
    Watch(Box<Streaming<WatchResponse, WatchControl>>, u64),
    KeepAlive(LeaseId),
}

impl Worker {
    pub(super) async fn new(
        kind: Kind,
        client: Client,
        size: &Size,
        seed: u64,
        number: u64,
    ) -> Result<Self> {
        let state = match kind {
            Kind::Put => State::Put,
            Kind::Range => State::Range,
            Kind::TxnPut => State::TxnPut,
            Kind::Watch => {
                let key = size.keys.wrapping_add(number);
                State::Watch(Box::new(client.watch(size.key(key)).await?), key)
            }
            Kind::KeepAlive => State::KeepAlive(client.grant(LEASE).await?.id()),
        };
        let random = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9).wrapping_add(number));
        Ok(Self { client, size: size.clone(), random, state })
    }

    /// Makes a request, and waits for what it is about.
    pub(super) async fn once(&mut self) -> Result<()> {
        let number = self.random.u64(..self.size.keys);
        match &mut self.state {
            State::Put => self.client.call(self.size.put(number)).await.map(drop),
            State::Range => self.client.get(Get::new(self.size.key(number))).await.map(drop),
            State::TxnPut => {
                let (size, random) = (&self.size, &mut self.random);
                // A transaction takes no key twice.
                let step = size.keys.div_ceil(size.operations);
                let first = random.u64(..step);
                let keys = (0..size.operations).map(|index| first + index * step);
                let puts: Vec<Put> = keys.map(|number| size.put(number)).collect();
                self.client.txn(Txn::new().then(puts)).await.map(drop)
            }
            State::Watch(watching, key) => {
                self.client.call(self.size.put(*key)).await?;
                loop {
                    let Some(response) = watching.next().await else { return Ok(()) };
                    if !response?.events().is_empty() {
                        return Ok(());
                    }
                }
            }
            State::KeepAlive(lease) => self.client.keep_alive_once(*lease).await.map(drop),
        }
    }

    /// Lets go of what the server holds for it.
    pub(super) async fn end(self) {
        if let State::KeepAlive(lease) = self.state {
            // It runs out by itself otherwise.
            let _ = self.client.revoke(lease).await;
        }
    }
}
