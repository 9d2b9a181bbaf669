//! Locks, elections, queues and transactions in memory: whether those of two clients exclude each other, and what they
//! cost.
//!
//! A driver (`worker.rs` is ours, `bench/peers/go/recipes.go` Go's) takes part with some workers and prints an
//! [`Outcome`]. `referee.rs` starts several of both against one etcd, stops them with signals for longer than their
//! leases live, and judges by what the store saw; `figures.rs` runs one after the other and compares.

mod delay;
mod figures;
mod referee;
mod worker;

pub use figures::Figures;
pub use referee::Referee;
pub use worker::run as take_part;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::args::Flags;

/// What is taken part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A lock, and a register that is written under it.
    Mutex,
    /// The same with two readers for each writer.
    RwMutex,
    /// An election, whose leader writes the register.
    Election,
    /// A queue, of which each item is to be taken once.
    Queue,
    /// Transfers between accounts, as transactions in memory.
    Bank,
    /// A lock that is taken and given up, and nothing else.
    Lock,
    /// Reading all keys under a prefix for a mirror.
    Mirror,
    /// Reading single keys from a cache.
    Cache,
}

const NAMES: [(&str, Kind); 8] = [
    ("mutex", Kind::Mutex),
    ("rwmutex", Kind::RwMutex),
    ("election", Kind::Election),
    ("queue", Kind::Queue),
    ("bank", Kind::Bank),
    ("lock", Kind::Lock),
    ("mirror", Kind::Mirror),
    ("cache", Kind::Cache),
];

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
        found.ok_or_else(|| format!("none of {}", NAMES.map(|(name, _)| name).join(", ")))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = NAMES.iter().find(|(_, kind)| kind == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

/// What a driver is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The name to report.
    pub client: String,
    /// What is taken part in.
    pub kind: Kind,
    /// The name of it in the store.
    pub name: String,
    /// How many take part.
    pub workers: usize,
    /// How many rounds: of all together where the store counts them, else of each.
    pub rounds: u64,
    /// How long a session lives without a sign of life.
    pub ttl: Duration,
    /// Of a bank.
    pub accounts: usize,
    /// `host:port` of the server.
    pub endpoint: String,
}

impl Plan {
    /// Reads the flags of the `recipes` command, which are the same for every driver.
    ///
    /// # Errors
    /// A flag is malformed.
    pub fn from_flags(flags: &mut Flags) -> Result<Self, Error> {
        Ok(Self {
            client: flags.value("client", "etcdkit".to_owned())?,
            kind: flags.value("kind", Kind::Mutex)?,
            name: flags.value("name", "recipes".to_owned())?,
            workers: flags.value("workers", 1)?,
            rounds: flags.value("rounds", 1000)?,
            ttl: Duration::from_secs(flags.value("ttl", 60)?),
            accounts: flags.value("accounts", 100)?,
            endpoint: flags.value("endpoints", "127.0.0.1:2379".to_owned())?,
        })
    }

    /// The same as flags.
    fn flags(&self) -> Vec<String> {
        [
            ("client", self.client.clone()),
            ("kind", self.kind.to_string()),
            ("name", self.name.clone()),
            ("workers", self.workers.to_string()),
            ("rounds", self.rounds.to_string()),
            ("ttl", self.ttl.as_secs().to_string()),
            ("accounts", self.accounts.to_string()),
            ("endpoints", self.endpoint.clone()),
        ]
        .map(|(name, value)| format!("--{name}={value}"))
        .into()
    }

    /// What the count of rounds, and the last token, is written to.
    fn register(&self) -> String {
        self.beside("register")
    }

    /// A place for what belongs to a name and is not to be found by its prefix: Go's queues take all of that.
    fn beside(&self, what: &str) -> String {
        format!("{what}/{}", self.name)
    }
}

/// The line of JSON that every driver prints.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// The driver's name.
    pub client: String,
    /// What it took part in.
    pub kind: Kind,
    /// What was done: writes of the register, items taken, transfers, locks, keys.
    pub rounds: u64,
    /// How often transactions in memory were run.
    pub attempts: u64,
    /// How often the store refused what came from a former holder.
    pub fenced: u64,
    /// How many calls failed: sessions end, and what was under way with them.
    pub errors: u64,
    /// The first of those, in words; empty if there is none.
    pub first_error: String,
    /// What must never happen, each in words.
    pub violations: Vec<String>,
    /// The items taken from a queue.
    pub items: Vec<String>,
    /// How long it took; of reads from a cache, how much of a core.
    pub seconds: f64,
}
