//! When a request is due.

use std::num::NonZeroU64;
use std::time::Duration;

/// When requests are made, and until when. Times count from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    pub(super) clients: u64,
    /// Time between two requests of all clients together; `None` has each client ask when it was answered.
    pub(super) between: Option<Duration>,
    pub(super) duration: Duration,
    pub(super) total: Option<NonZeroU64>,
}

/// What a client does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Make a request, which is due at this time.
    Due(Duration),
    End,
}

impl Schedule {
    /// What client number `client` does after so many requests of its own, `now`.
    pub(super) fn turn(&self, client: u64, made: u64, now: Duration) -> Turn {
        let number = made.saturating_mul(self.clients).saturating_add(client);
        if self.total.is_some_and(|total| number >= total.get()) || now >= self.duration {
            return Turn::End;
        }
        let due = match self.between {
            None => now,
            Some(between) => self.due(between, number),
        };
        if due >= self.duration { Turn::End } else { Turn::Due(due) }
    }

    fn due(&self, between: Duration, number: u64) -> Duration {
        let nanoseconds = between.as_nanos().saturating_mul(u128::from(number));
        u64::try_from(nanoseconds).map_or(Duration::MAX, Duration::from_nanos)
    }

    /// How many requests are due in all, if that is known.
    pub(super) fn planned(&self) -> Option<u64> {
        let by_time = self.between.map(|between| {
            let number = self.duration.as_nanos().div_ceil(between.as_nanos().max(1));
            u64::try_from(number).unwrap_or(u64::MAX)
        });
        match (by_time, self.total.map(NonZeroU64::get)) {
            (Some(by_time), Some(total)) => Some(by_time.min(total)),
            (Some(number), None) => Some(number),
            (None, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn requests_are_due_at_their_rate_whatever_the_time() {
        let schedule =
            Schedule { clients: 3, between: Some(ms(10)), duration: ms(100), total: None };
        assert_eq!(schedule.turn(0, 0, ms(0)), Turn::Due(ms(0)));
        assert_eq!(schedule.turn(2, 0, ms(0)), Turn::Due(ms(20)));
        assert_eq!(schedule.turn(1, 2, ms(0)), Turn::Due(ms(70)));
        // Late, and due when it was.
        assert_eq!(schedule.turn(1, 1, ms(95)), Turn::Due(ms(40)));
        assert_eq!(schedule.turn(1, 3, ms(0)), Turn::End);
        assert_eq!(schedule.turn(0, 0, ms(100)), Turn::End);
        assert_eq!(schedule.planned(), Some(10));
        let few = Schedule { total: NonZeroU64::new(4), ..schedule };
        assert_eq!(few.turn(0, 1, ms(0)), Turn::Due(ms(30)));
        assert_eq!(few.turn(1, 1, ms(0)), Turn::End);
        assert_eq!(few.planned(), Some(4));
    }

    #[test]
    fn without_a_rate_the_next_request_is_due_now() {
        let schedule = Schedule { clients: 2, between: None, duration: ms(100), total: None };
        assert_eq!(schedule.turn(1, 7, ms(33)), Turn::Due(ms(33)));
        assert_eq!(schedule.turn(1, 7, ms(100)), Turn::End);
        assert_eq!(schedule.planned(), None);
    }
}
