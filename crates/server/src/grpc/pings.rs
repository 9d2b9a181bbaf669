//! How often a client may ping, and pings of our own.

use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::timeout;

use super::wire::Seen;
use crate::clock::pause;
use crate::config::Keepalive;

/// Pings that come too early before the connection ends, not counting the last one.
const STRIKES: u32 = 2;

/// The time between the pings of a client that has no call open.
const IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// The rule of gRPC's servers: pings that come too early count until an answer goes out.
#[derive(Debug)]
pub(super) struct Rule {
    least: Duration,
    last: Option<Duration>,
    early: u32,
}

impl Rule {
    /// With the time that a client with open calls leaves between pings.
    pub(super) const fn new(least: Duration) -> Self {
        Self { least, last: None, early: 0 }
    }

    /// A ping came at `now`. Returns whether it is one too many.
    pub(super) fn breaks(&mut self, now: Duration, answered: bool, calls: usize) -> bool {
        let last = self.last.replace(now);
        if answered {
            self.early = 0;
            return false;
        }
        let least = if calls == 0 { IDLE } else { self.least };
        self.early += u32::from(last.is_some_and(|last| now < last + least));
        self.early > STRIKES
    }
}

/// Pings whenever nothing came for a while. Returns when there is no answer.
pub(super) async fn keep_alive(mut pings: PingPong, seen: &Seen<'_>, keepalive: Keepalive) {
    loop {
        let before = seen.bytes();
        pause(keepalive.interval).await;
        if seen.bytes() == before {
            let answer = timeout(keepalive.timeout, pings.ping(Ping::opaque())).await;
            let Ok(Ok(_)) = answer else { return };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pings at these seconds, until the one that is too many.
    fn check(calls: usize, answered: &[u64], pings: &[u64], expected: Option<u64>) {
        let mut rule = Rule::new(Duration::from_secs(5));
        let broken = pings
            .iter()
            .find(|at| rule.breaks(Duration::from_secs(**at), answered.contains(at), calls));
        assert_eq!(broken.copied(), expected, "{calls} calls, {answered:?}, {pings:?}");
    }

    #[test]
    fn the_third_ping_that_is_too_early_is_too_many() {
        check(1, &[], &[0, 1, 2, 3, 4], Some(3));
        check(1, &[], &[0, 0, 0, 0], Some(0));
        check(1, &[], &[0, 5, 10, 15, 20, 25], None);
        check(1, &[], &[0, 10, 20, 30, 40], None);
        // Those that keep to the rule don't make good for others.
        check(1, &[], &[0, 1, 10, 11, 20, 21], Some(21));
        // Answers do.
        check(1, &[2], &[0, 1, 2, 3, 4, 5], Some(5));
        check(1, &[1, 2, 3, 4, 5], &[0, 1, 2, 3, 4, 5], None);
    }

    #[test]
    fn without_a_call_there_is_no_need_to_ping() {
        check(0, &[], &[0, 60, 120, 180], Some(180));
        check(0, &[], &[0, 7200, 14400, 21600], None);
    }
}
