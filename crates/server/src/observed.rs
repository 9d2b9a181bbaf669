//! What is counted beside the state, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::histogram::{Histogram, doubling};

// The bounds are etcd's.
static BATCH: [f64; 14] = doubling(0.001);
static HASH: [f64; 15] = doubling(0.01);
static SNAPSHOT: [f64; 17] = doubling(0.01);
static DEFRAGMENTATION: [f64; 13] = doubling(0.1);
static TTL: [f64; 24] = doubling(1.0);
static PAUSE: [f64; 13] = doubling(1.0);
static COMPACTION: [f64; 14] = doubling(100.0);

/// A number that grows, or goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What readers, watchers and those who take care of the member did since the start.
#[derive(Debug)]
pub(crate) struct Observed {
    /// Ranges that were read by who changes nothing, and how often that was more than one at once.
    pub(crate) ranges: Count,
    pub(crate) txns: Count,
    /// Events that were sent to watchers.
    pub(crate) events: Count,
    /// Answers to `/health`.
    pub(crate) healthy: Count,
    pub(crate) unhealthy: Count,
    /// When the last compaction was done, in seconds since 1970.
    pub(crate) compacted: Count,
    /// 1 while the storage is defragmented.
    pub(crate) defragmenting: Count,
    pub(crate) batches: Histogram,
    pub(crate) hashes: Histogram,
    pub(crate) key_hashes: Histogram,
    pub(crate) snapshots: Histogram,
    pub(crate) defragmentations: Histogram,
    /// Of leases that were granted.
    pub(crate) ttls: Histogram,
    /// In milliseconds: for how long a step of a compaction kept others waiting, and compactions as a whole.
    pub(crate) pauses: Histogram,
    pub(crate) compactions: Histogram,
}

impl Default for Observed {
    fn default() -> Self {
        Self {
            ranges: Count::default(),
            txns: Count::default(),
            events: Count::default(),
            healthy: Count::default(),
            unhealthy: Count::default(),
            compacted: Count::default(),
            defragmenting: Count::default(),
            batches: Histogram::new(&BATCH),
            hashes: Histogram::new(&HASH),
            key_hashes: Histogram::new(&HASH),
            snapshots: Histogram::new(&SNAPSHOT),
            defragmentations: Histogram::new(&DEFRAGMENTATION),
            ttls: Histogram::new(&TTL),
            pauses: Histogram::new(&PAUSE),
            compactions: Histogram::new(&COMPACTION),
        }
    }
}

impl Observed {
    /// Counts what a reader did at one revision.
    pub(crate) fn read(&self, ranges: u64) {
        self.ranges.add(ranges);
        if ranges > 1 {
            self.txns.add(1);
        }
    }
}
