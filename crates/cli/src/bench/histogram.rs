//! Times, counted in steps of less than a hundredth of their size.

use std::time::Duration;

/// Each power of two is cut into so many steps.
const STEPS_BITS: u32 = 7;
const STEPS: usize = 1 << STEPS_BITS;
/// As many as nanoseconds in 64 bits need.
const BUCKETS: usize = (64 - STEPS_BITS as usize + 1) * STEPS;

/// Counts of times.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    least: u64,
    most: u64,
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, sum: 0, least: u64::MAX, most: 0 }
    }
}

impl Histogram {
    pub(super) fn record(&mut self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(time)] += 1;
        self.count += 1;
        self.sum += u128::from(time);
        self.least = self.least.min(time);
        self.most = self.most.max(time);
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn least(&self) -> Duration {
        Duration::from_nanos(if self.count == 0 { 0 } else { self.least })
    }

    pub(super) const fn most(&self) -> Duration {
        Duration::from_nanos(self.most)
    }

    pub(super) fn mean(&self) -> Duration {
        let mean = self.sum / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The time that this part of all stays at or below; a step too high at most.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a count that a double cannot tell from its neighbour is as good as it"
        )]
        let wanted = ((part.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(end(index).clamp(self.least, self.most));
            }
        }
        Duration::from_nanos(self.most)
    }

    /// How many times are in this range, whose end is not part of it.
    pub(super) fn between(&self, from: Duration, to: Duration) -> u64 {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (from, to) = (nanoseconds(from), nanoseconds(to));
        let inside = |index: &usize| (from..to).contains(&end(*index));
        (0..BUCKETS).filter(inside).map(|index| self.counts[index]).sum()
    }
}

const fn bucket(time: u64) -> usize {
    if time < STEPS as u64 {
        return time as usize;
    }
    let shift = 63 - time.leading_zeros() - STEPS_BITS;
    (shift as usize + 1) * STEPS + (time >> shift) as usize - STEPS
}

/// The last time of a bucket.
const fn end(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let shift = bucket / STEPS - 1;
    let first = ((bucket % STEPS + STEPS) as u64) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_in_its_bucket_and_buckets_are_narrow() {
        for bits in 0..64 {
            for time in [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + (1 << bits) / 3] {
                let index = bucket(time);
                assert!(index < BUCKETS);
                assert!(end(index) >= time, "{time}");
                assert!(index == 0 || end(index - 1) < time, "{time}");
                assert!(end(index) - time <= time / 128, "{time}");
            }
        }
        assert_eq!(end(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles_are_those_of_the_times() {
        let mut times = Histogram::default();
        let mut other = Histogram::default();
        for number in 1..=1000_u64 {
            let into = if number % 3 == 0 { &mut other } else { &mut times };
            into.record(Duration::from_micros(number));
        }
        times.add(&other);
        assert_eq!(times.count(), 1000);
        assert_eq!(
            (times.least(), times.most()),
            (Duration::from_micros(1), Duration::from_millis(1))
        );
        assert_eq!(times.mean(), Duration::from_nanos(500_500));
        for (part, expected) in
            [(0.0, 1), (0.5, 500), (0.9, 900), (0.99, 990), (0.999, 999), (1.0, 1000)]
        {
            let found = times.quantile(part).as_nanos();
            let expected = u128::from(expected * 1000_u64);
            assert!((expected..=expected * 129 / 128).contains(&found), "{part}: {found}");
        }
        assert_eq!(times.between(Duration::ZERO, Duration::MAX), 1000);
        let half = times.between(Duration::ZERO, Duration::from_micros(500));
        assert!((495..=500).contains(&half), "{half}");
        assert_eq!(Histogram::default().quantile(0.5), Duration::ZERO);
    }
}
