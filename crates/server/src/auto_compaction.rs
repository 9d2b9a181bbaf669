//! When to compact to which revision, without being asked.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::AutoCompaction;
use crate::lease::Now;

/// How often the count of revisions is looked at.
const REVISIONS: Duration = Duration::from_secs(300);
/// Samples in a period.
const SAMPLES: u32 = 10;
const HOUR: Duration = Duration::from_secs(3600);

/// The machine. It takes the time and the revision, and says what to compact.
#[derive(Debug)]
pub(crate) struct AutoCompactor {
    which: AutoCompaction,
    next: Option<Now>,
    samples: VecDeque<(Now, i64)>,
    last: i64,
}

impl AutoCompactor {
    pub(crate) const fn new(which: AutoCompaction) -> Self {
        Self { which, next: None, samples: VecDeque::new(), last: 0 }
    }

    /// When to look again.
    pub(crate) fn next(&mut self, now: Now) -> Now {
        let interval = match self.which {
            // Periods of more than an hour are met by the hour.
            AutoCompaction::Periodic(period) => {
                (period.min(HOUR) / SAMPLES).max(Duration::from_millis(1))
            }
            AutoCompaction::Revisions(_) | AutoCompaction::Off => REVISIONS,
        };
        *self.next.get_or_insert(now + interval)
    }

    /// The revision to compact to, if it is time.
    pub(crate) fn due(&mut self, now: Now, revision: i64) -> Option<i64> {
        self.next = None;
        let target = match self.which {
            AutoCompaction::Off => return None,
            AutoCompaction::Revisions(kept) => revision - i64::try_from(kept).unwrap_or(i64::MAX),
            AutoCompaction::Periodic(period) => {
                self.samples.push_back((now, revision));
                let mut target = 0;
                while let Some((at, sampled)) = self.samples.front()
                    && now.saturating_sub(*at) >= period
                {
                    target = *sampled;
                    self.samples.pop_front();
                }
                target
            }
        };
        if target <= self.last || target <= 0 {
            return None;
        }
        self.last = target;
        Some(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Minutes and revisions at which it compacts, on a store that gets 10 revisions a minute.
    fn run(which: AutoCompaction, minutes: u32) -> Vec<(u32, i64)> {
        let mut auto = AutoCompactor::new(which);
        let mut compactions = Vec::new();
        let mut now = Duration::ZERO;
        loop {
            now = auto.next(now);
            let minute = u32::try_from(now.as_secs() / 60).unwrap();
            if minute > minutes {
                return compactions;
            }
            let revision = i64::from(minute) * 10;
            compactions.extend(auto.due(now, revision).map(|revision| (minute, revision)));
        }
    }

    #[test]
    fn what_is_older_than_a_period_goes() {
        let compactions = run(AutoCompaction::Periodic(10 * MINUTE), 13);
        assert_eq!(compactions, [(11, 10), (12, 20), (13, 30)]);
    }

    #[test]
    fn so_many_revisions_stay() {
        let compactions = run(AutoCompaction::Revisions(60), 15);
        assert_eq!(compactions, [(10, 40), (15, 90)]);
        assert_eq!(run(AutoCompaction::Off, 60), []);
    }
}
