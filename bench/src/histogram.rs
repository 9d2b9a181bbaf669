//! A histogram of latencies that many workers share.
//!
//! Buckets are linear inside each power of two (64 of them, so a bucket is at most 1.6 % wide), which
//! makes recording one shift and one relaxed add: cheap enough to be paid by every operation of every
//! client, and easy to repeat exactly in another language.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets per power of two.
const STEPS: u64 = 64;
/// Powers of two: the last bucket begins at some nine hours, which no run lasts.
const OCTAVES: usize = 40;

/// Counts of nanoseconds by bucket.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    max: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        let buckets = (0..OCTAVES * STEPS as usize).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, max: AtomicU64::new(0) }
    }

    /// Counts one latency.
    pub fn record(&self, nanos: u64) {
        let bucket = bucket_of(nanos).min(self.buckets.len() - 1);
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        // A plain load first: the maximum hardly ever moves, and a load does not take the line away.
        if nanos > self.max.load(Relaxed) {
            self.max.fetch_max(nanos, Relaxed);
        }
    }

    /// How many latencies were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// The largest latency, exactly.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    /// The smallest bucket start below which (its bucket included) at least `share` of all latencies lie.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let total = self.count();
        let rank = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count.load(Relaxed);
            if seen >= rank {
                return start_of(bucket);
            }
        }
        0
    }
}

/// Values below `STEPS` share the exact buckets `0..STEPS`; above, each octave has `STEPS` buckets.
fn bucket_of(nanos: u64) -> usize {
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(STEPS.ilog2() + 1);
    let within = nanos >> shift;
    (u64::from(shift) * STEPS + within) as usize
}

fn start_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / STEPS).saturating_sub(1);
    (bucket - shift * STEPS) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_within_the_promised_width() {
        for nanos in (0..1_000_000u64).step_by(7).chain([1 << 30, (1 << 30) + 1, 1 << 44]) {
            let start = start_of(bucket_of(nanos));
            assert!(start <= nanos, "{nanos} begins at {start}");
            assert!((nanos - start) as f64 <= nanos as f64 / STEPS as f64, "{nanos} in {start}");
            assert_eq!(bucket_of(start), bucket_of(nanos));
        }
    }

    #[test]
    fn buckets_are_contiguous() {
        for bucket in 0..2000 {
            assert_eq!(bucket_of(start_of(bucket)), bucket);
            assert!(start_of(bucket) < start_of(bucket + 1));
        }
    }

    #[test]
    fn quantiles_count_from_below() {
        let histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), 0);
        (1..=100).for_each(|nanos| histogram.record(nanos));
        assert_eq!(histogram.count(), 100);
        assert_eq!(histogram.quantile(0.5), 50);
        assert_eq!(histogram.quantile(0.0), 1);
        assert_eq!(histogram.quantile(1.0), 100);
        assert_eq!(histogram.max(), 100);
        histogram.record(u64::MAX);
        assert_eq!(histogram.max(), u64::MAX);
    }
}
