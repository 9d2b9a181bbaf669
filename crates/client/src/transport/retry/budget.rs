//! Retries may not multiply load: each answer pays in a little, each retry takes one out.
//!
//! Source: the token bucket of gRPC's retry throttling (gRFC A6), with an allowance by time for clients that make few
//! calls.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Instant;
use crate::config::RetryPolicy;

/// What one retry costs.
const RETRY: u64 = 1000;
/// How many retries a burst of failures may cost.
const FULL: u64 = 100 * RETRY;

/// A channel's allowance of retries.
#[derive(Debug)]
pub(in crate::transport) struct Budget {
    units: AtomicU64,
    per_answer: u64,
    per_second: f64,
    refilled: Mutex<Instant>,
}

impl Budget {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "validated to be a small positive number"
    )]
    pub(in crate::transport) fn new(policy: &RetryPolicy, now: Instant) -> Self {
        Self {
            units: AtomicU64::new(FULL),
            per_answer: (policy.budget_ratio * RETRY as f64) as u64,
            per_second: policy.budget_per_second * RETRY as f64,
            refilled: Mutex::new(now),
        }
    }

    /// A call was answered.
    pub(in crate::transport) fn pay_in(&self) {
        // Nearly always it is full: no write then.
        if self.units.load(Ordering::Relaxed) < FULL {
            self.add(self.per_answer);
        }
    }

    /// Takes out one retry; `false` if there is none left.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float to integer cast saturates, and `add` is bounded"
    )]
    pub(in crate::transport) fn take(&self, now: Instant) -> bool {
        {
            let mut refilled = self.refilled.lock().unwrap_or_else(PoisonError::into_inner);
            let earned = now.saturating_duration_since(*refilled).as_secs_f64() * self.per_second;
            if earned >= 1.0 {
                *refilled = now;
                self.add(earned as u64);
            }
        }
        self.units
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |units| units.checked_sub(RETRY))
            .is_ok()
    }

    fn add(&self, units: u64) {
        let _ = self.units.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            Some(now.saturating_add(units).min(FULL))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn an_outage_spends_it_and_answers_fill_it() {
        let start = clock::now();
        let budget = Budget::new(&RetryPolicy::new().budget(0.2, 0.0), start);
        assert_eq!((0..1000).filter(|_| budget.take(start)).count(), 100);
        (0..5).for_each(|_| budget.pay_in());
        assert!(budget.take(start));
        assert!(!budget.take(start));
        (0..10_000).for_each(|_| budget.pay_in());
        assert_eq!((0..1000).filter(|_| budget.take(start)).count(), 100);
    }

    #[test]
    fn time_allows_a_few() {
        let start = clock::now();
        let budget = Budget::new(&RetryPolicy::new().budget(0.0, 10.0), start);
        while budget.take(start) {}
        let later = start + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| budget.take(later)).count(), 10);
        let much_later = start + Duration::from_secs(86_400);
        assert_eq!((0..1000).filter(|_| budget.take(much_later)).count(), 100);
    }
}
