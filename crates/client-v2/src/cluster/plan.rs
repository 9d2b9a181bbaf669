//! In which order, and how fast, endpoints join in on a call that may be repeated. No I/O and no clock.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::Endpoint;

/// Each is tried in turn, and those that stay silent again: on a new connection, and maybe there is a leader then. The
/// pauses grow from the third turn on, where it is rather the cluster than an endpoint that is slow.
#[derive(Debug)]
pub(super) struct Plan {
    waiting: VecDeque<Endpoint>,
    started: u32,
    endpoints: u32,
}

/// How many attempts are made beyond two for each endpoint.
const BEYOND: u32 = 2;

impl Plan {
    pub(super) fn new(order: Vec<Endpoint>) -> Self {
        let endpoints = order.len().try_into().unwrap_or(u32::MAX / 4);
        Self { waiting: order.into(), started: 0, endpoints }
    }

    /// The next to be tried, and whether on a new connection.
    pub(super) fn next(&mut self) -> Option<(Endpoint, bool)> {
        if self.started >= 2 * self.endpoints + BEYOND {
            return None;
        }
        let endpoint = self.waiting.pop_front()?;
        self.waiting.push_back(endpoint.clone());
        self.started += 1;
        Some((endpoint, self.started > self.endpoints))
    }

    /// How long after the attempt made last another one follows, if nothing happens. `None` if none does.
    pub(super) fn pause(&self, usual: Duration) -> Option<Duration> {
        if self.waiting.is_empty() || self.started >= 2 * self.endpoints + BEYOND {
            return None;
        }
        let growth = (self.started + 1).saturating_sub(2 * self.endpoints);
        Some(usual * 2_u32.pow(growth))
    }

    /// Leaves out an endpoint that failed.
    pub(super) fn remove(&mut self, endpoint: &Endpoint) {
        self.waiting.retain(|other| other != endpoint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(hosts: &str) -> Plan {
        let endpoints = hosts.split(' ').map(|host| format!("http://{host}").parse().unwrap());
        Plan::new(endpoints.collect())
    }

    /// Who is tried when, in units of the usual pause, while everybody is silent.
    fn schedule(plan: &mut Plan) -> Vec<(String, u32, bool)> {
        let (mut at, mut tried) = (0, Vec::new());
        while let Some((endpoint, fresh)) = plan.next() {
            tried.push((endpoint.host().to_owned(), at, fresh));
            at += plan.pause(Duration::from_secs(1)).map_or(0, |pause| pause.as_secs() as u32);
        }
        tried
    }

    #[test]
    fn silent_endpoints_are_tried_again_ever_more_slowly() {
        let shown = |hosts| {
            let tried = schedule(&mut plan(hosts));
            let one = |(host, at, fresh): &(String, u32, bool)| {
                format!("{host}{at}{}", if *fresh { "!" } else { "" })
            };
            tried.iter().map(one).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown("a"), "a0 a1! a3! a7!");
        assert_eq!(shown("a b c"), "a0 b1 c2 a3! b4! c5! a7! b11!");
    }

    #[test]
    fn those_that_failed_are_left_out() {
        let mut plan = plan("a b");
        let (a, _) = plan.next().unwrap();
        plan.remove(&a);
        assert_eq!(plan.next().unwrap().0.host(), "b");
        assert_eq!(plan.next().unwrap().0.host(), "b");
        plan.remove(&"http://b".parse().unwrap());
        assert_eq!((plan.next(), plan.pause(Duration::from_secs(1))), (None, None));
    }
}
