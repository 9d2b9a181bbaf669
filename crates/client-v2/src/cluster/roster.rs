//! The endpoints in the order in which they are tried, and the one that is turned to first. No I/O.

use fastrand::Rng;

use crate::config::Endpoint;

/// Never empty.
#[derive(Debug)]
pub(super) struct Roster {
    endpoints: Vec<Endpoint>,
    pinned: usize,
}

impl Roster {
    /// In random order.
    pub(super) fn new(mut endpoints: Vec<Endpoint>, rng: &mut Rng) -> Self {
        rng.shuffle(&mut endpoints);
        Self { endpoints, pinned: 0 }
    }

    /// In this order, with one of them turned to first; the first if there is no such one.
    pub(super) fn in_order(endpoints: Vec<Endpoint>, preferred: Option<&Endpoint>) -> Self {
        let mut roster = Self { endpoints, pinned: 0 };
        if let Some(preferred) = preferred {
            roster.pin(preferred);
        }
        roster
    }

    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub(super) fn pinned(&self) -> &Endpoint {
        &self.endpoints[self.pinned]
    }

    /// The pinned one and those that follow it, around.
    pub(super) fn order(&self) -> Vec<Endpoint> {
        let (before, from) = self.endpoints.split_at(self.pinned);
        from.iter().chain(before).cloned().collect()
    }

    /// Turns to `endpoint` first, if it is still one.
    pub(super) fn pin(&mut self, endpoint: &Endpoint) {
        if let Some(index) = self.endpoints.iter().position(|other| other == endpoint) {
            self.pinned = index;
        }
    }

    /// Turns to another than `endpoint` first.
    pub(super) fn leave(&mut self, endpoint: &Endpoint) {
        if self.pinned() == endpoint {
            self.pinned = (self.pinned + 1) % self.endpoints.len();
        }
    }

    /// Whether these are the same endpoints, in any order.
    pub(super) fn is_same(&self, endpoints: &[Endpoint]) -> bool {
        endpoints.len() == self.endpoints.len()
            && endpoints.iter().all(|endpoint| self.endpoints.contains(endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints<const N: usize>(names: [&str; N]) -> Vec<Endpoint> {
        names.iter().map(|name| format!("http://{name}").parse().unwrap()).collect()
    }

    fn names(roster: &Roster) -> Vec<String> {
        roster.order().iter().map(|endpoint| endpoint.host().to_owned()).collect()
    }

    #[test]
    fn the_pinned_one_comes_first_and_the_others_follow_around() {
        let list = endpoints(["a", "b", "c"]);
        let mut roster = Roster::in_order(list.clone(), Some(&list[1]));
        assert_eq!(names(&roster), ["b", "c", "a"]);
        roster.leave(&list[0]);
        assert_eq!(names(&roster), ["b", "c", "a"], "another one failed");
        roster.leave(&list[1]);
        roster.leave(&list[2]);
        assert_eq!(names(&roster), ["a", "b", "c"]);
        roster.pin(&list[2]);
        roster.pin(&endpoints(["x"])[0]);
        assert_eq!(names(&roster), ["c", "a", "b"]);
        assert!(roster.is_same(&endpoints(["b", "c", "a"])));
        assert!(!roster.is_same(&endpoints(["b", "c"])));
    }

    #[test]
    fn http_cluster_client_reset_pin_random() {
        const ROUNDS: usize = 3_000;
        let mut rng = Rng::with_seed(7);
        let mut first = 0;
        for _ in 0..ROUNDS {
            let roster = Roster::new(endpoints(["a", "b", "c"]), &mut rng);
            first += usize::from(roster.pinned().host() == "a");
        }
        let share = first as f64 / ROUNDS as f64;
        assert!((share - 1.0 / 3.0).abs() < 0.05, "{share}");
    }
}
