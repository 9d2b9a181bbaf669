//! Leases: when they end, and which keys end with them.
//!
//! A machine without a clock. `apply/lease.rs` calls it for requests and `apply/kv.rs` as keys come and go; the task in
//! `expiry.rs` at the room above asks which have expired.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use etcdkit_proto::ServerError;
use etcdkit_proto::leasepb::Lease as Saved;

/// The longest life of a lease, in seconds.
const MAX_TTL: i64 = 9_000_000_000;

/// Time as leases know it: since the server's first start.
pub(crate) type Now = Duration;

#[derive(Debug)]
struct Lease {
    ttl: i64,
    /// What a checkpoint of etcd's left of it, in seconds, until it is renewed. A start gives it that; 0 is all of `ttl`.
    remaining: i64,
    deadline: Now,
    /// In order: ending the lease deletes them so.
    keys: BTreeSet<Box<[u8]>>,
}

impl Lease {
    /// How long it lives after a start.
    fn life(&self) -> Duration {
        seconds(if self.remaining > 0 { self.remaining } else { self.ttl })
    }
}

/// All leases.
#[derive(Debug)]
pub(crate) struct Lessor {
    leases: HashMap<i64, Lease>,
    deadlines: BTreeSet<(Now, i64)>,
    min_ttl: i64,
    next_id: u64,
}

/// What there is to know of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeToLive {
    pub(crate) remaining: Duration,
    pub(crate) granted: i64,
}

impl Lessor {
    /// `seed` is where the ids begin that it chooses itself.
    pub(crate) fn new(min_ttl: i64, seed: u64) -> Self {
        Self { leases: HashMap::new(), deadlines: BTreeSet::new(), min_ttl, next_id: seed }
    }

    /// Grants a lease; with the id 0 it chooses one. Returns its id and the seconds that it lives.
    pub(crate) fn grant(&mut self, id: i64, ttl: i64, now: Now) -> Result<(i64, i64), ServerError> {
        if ttl > MAX_TTL {
            return Err(ServerError::LeaseTtlTooLarge);
        }
        let id = if id == 0 { self.choose() } else { id };
        if self.leases.contains_key(&id) {
            return Err(ServerError::LeaseExist);
        }
        let ttl = ttl.max(self.min_ttl);
        self.load(&Saved { id, ttl, remaining_ttl: 0 }, now);
        Ok((id, ttl))
    }

    /// Takes over a lease of a file. It begins anew, or where a checkpoint left it.
    pub(crate) fn load(&mut self, saved: &Saved, now: Now) {
        let &Saved { id, ttl, remaining_ttl: remaining } = saved;
        let mut lease = Lease { ttl, remaining, deadline: now, keys: BTreeSet::new() };
        lease.deadline += lease.life();
        self.deadlines.insert((lease.deadline, id));
        self.leases.insert(id, lease);
    }

    fn choose(&mut self) -> i64 {
        loop {
            self.next_id = self.next_id.wrapping_add(1);
            let id = (self.next_id & (u64::MAX >> 1)).cast_signed();
            if id != 0 && !self.leases.contains_key(&id) {
                return id;
            }
        }
    }

    pub(crate) fn contains(&self, id: i64) -> bool {
        self.leases.contains_key(&id)
    }

    /// Ends a lease. Returns its keys, which end with it.
    pub(crate) fn revoke(&mut self, id: i64) -> Result<BTreeSet<Box<[u8]>>, ServerError> {
        let lease = self.leases.remove(&id).ok_or(ServerError::LeaseNotFound)?;
        self.deadlines.remove(&(lease.deadline, id));
        Ok(lease.keys)
    }

    /// Begins a lease's time anew. Returns its seconds; `None` if it does not exist or has expired.
    pub(crate) fn renew(&mut self, id: i64, now: Now) -> Option<i64> {
        let lease = self.leases.get_mut(&id).filter(|lease| lease.deadline > now)?;
        self.deadlines.remove(&(lease.deadline, id));
        lease.deadline = now + seconds(lease.ttl);
        self.deadlines.insert((lease.deadline, id));
        Some(lease.ttl)
    }

    /// Whether a checkpoint is known of a lease.
    pub(crate) fn has_checkpoint(&self, id: i64) -> bool {
        self.leases.get(&id).is_some_and(|lease| lease.remaining > 0)
    }

    /// Forgets the checkpoint of a lease. Returns how it is saved then, if it exists.
    pub(crate) fn forget_checkpoint(&mut self, id: i64) -> Option<Saved> {
        let lease = self.leases.get_mut(&id)?;
        lease.remaining = 0;
        Some(Saved { id, ttl: lease.ttl, remaining_ttl: 0 })
    }

    /// Begins the time of all leases anew, or where a checkpoint left them, and gives them `extra` on top, as a member that
    /// starts does.
    pub(crate) fn renew_all(&mut self, now: Now, extra: Duration) {
        self.deadlines.clear();
        for (id, lease) in &mut self.leases {
            lease.deadline = now + lease.life() + extra;
            self.deadlines.insert((lease.deadline, *id));
        }
    }

    /// Leases that `before` has too go on as they do there; others end at `ended`.
    pub(crate) fn go_on_from(&mut self, before: &Self, ended: Now) {
        self.next_id = before.next_id;
        self.deadlines.clear();
        for (id, lease) in &mut self.leases {
            lease.deadline = before.leases.get(id).map_or(ended, |lease| lease.deadline);
            self.deadlines.insert((lease.deadline, *id));
        }
    }

    pub(crate) fn time_to_live(&self, id: i64, now: Now) -> Option<TimeToLive> {
        let lease = self.leases.get(&id).filter(|lease| lease.deadline > now)?;
        Some(TimeToLive { remaining: lease.deadline - now, granted: lease.ttl })
    }

    /// The keys of a lease, in order.
    pub(crate) fn keys(&self, id: i64) -> impl Iterator<Item = &[u8]> {
        self.leases.get(&id).into_iter().flat_map(|lease| lease.keys.iter().map(AsRef::as_ref))
    }

    /// All ids, those that end soonest first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> {
        self.deadlines.iter().map(|(_, id)| *id)
    }

    /// Each as a file has it.
    pub(crate) fn saved(&self) -> impl Iterator<Item = Saved> {
        let saved = |(&id, lease): (&i64, &Lease)| Saved {
            id,
            ttl: lease.ttl,
            remaining_ttl: lease.remaining,
        };
        self.leases.iter().map(saved)
    }

    /// The lease gets a key. One that does not exist gets none.
    pub(crate) fn attach(&mut self, id: i64, key: &[u8]) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.insert(key.into());
        }
    }

    /// The lease loses a key.
    pub(crate) fn detach(&mut self, id: i64, key: &[u8]) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.remove(key);
        }
    }

    /// A lease that has expired, the earliest first.
    pub(crate) fn expired(&self, now: Now) -> Option<i64> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, id)| *id)
    }

    /// When the next one expires.
    pub(crate) fn next_deadline(&self) -> Option<Now> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(ttl.clamp(0, MAX_TTL).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    #[test]
    fn they_expire_in_the_order_of_their_deadlines() {
        let mut lessor = Lessor::new(2, 0);
        for (id, ttl) in [(1, 10), (2, 5), (3, 7)] {
            assert_eq!(lessor.grant(id, ttl, at(0)), Ok((id, ttl)));
        }
        assert_eq!(lessor.renew(2, at(4)), Some(5));
        let mut order = Vec::new();
        while let Some(deadline) = lessor.next_deadline() {
            assert_eq!(lessor.expired(deadline - Duration::from_nanos(1)), None, "too early");
            let id = lessor.expired(deadline).unwrap();
            assert_eq!(lessor.renew(id, deadline), None, "renewed after its end");
            lessor.revoke(id).unwrap();
            order.push((deadline.as_secs(), id));
        }
        assert_eq!(order, [(7, 3), (9, 2), (10, 1)]);
    }

    #[test]
    fn what_is_granted_is_within_bounds() {
        let mut lessor = Lessor::new(2, u64::MAX - 1);
        for (id, ttl, expected) in [
            (5, 0, Ok((5, 2))),
            (5, 9, Err(ServerError::LeaseExist)),
            (-7, -7, Ok((-7, 2))),
            (6, MAX_TTL + 1, Err(ServerError::LeaseTtlTooLarge)),
            (6, MAX_TTL, Ok((6, MAX_TTL))),
        ] {
            assert_eq!(lessor.grant(id, ttl, at(0)), expected, "{id} {ttl}");
        }
        let (chosen, _) = lessor.grant(0, 60, at(0)).unwrap();
        let (another, _) = lessor.grant(0, 60, at(0)).unwrap();
        assert!(chosen > 0 && another > 0 && chosen != another);
    }

    #[test]
    fn keys_belong_to_it_until_they_are_taken_away() {
        let mut lessor = Lessor::new(2, 0);
        lessor.grant(1, 10, at(0)).unwrap();
        for key in [b"b", b"a", b"c"] {
            lessor.attach(1, key);
        }
        lessor.detach(1, b"c");
        lessor.attach(9, b"x");
        assert_eq!(lessor.keys(1).collect::<Vec<_>>(), [b"a", b"b"]);
        let keys = lessor.revoke(1).unwrap();
        assert_eq!(keys.iter().map(|key| &key[..]).collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(lessor.revoke(1), Err(ServerError::LeaseNotFound));
    }

    #[test]
    fn a_restart_begins_them_anew() {
        let mut lessor = Lessor::new(2, 0);
        lessor.grant(1, 10, at(0)).unwrap();
        lessor.renew_all(at(9), at(1));
        let left = lessor.time_to_live(1, at(9)).unwrap();
        assert_eq!((left.remaining, left.granted), (at(11), 10));
        assert_eq!(lessor.time_to_live(1, at(20)), None);
    }
    #[test]
    fn a_start_gives_a_lease_what_a_checkpoint_left_of_it_until_it_is_renewed() {
        let mut lessor = Lessor::new(2, 0);
        let saved = Saved { id: 1, ttl: 3600, remaining_ttl: 10 };
        let left = |lessor: &Lessor, now| lessor.time_to_live(1, now).map(|left| left.remaining);
        lessor.load(&saved, at(0));
        lessor.renew_all(at(5), at(1));
        assert_eq!(left(&lessor, at(5)), Some(at(11)));
        // A second start knows no better.
        assert_eq!(lessor.saved().collect::<Vec<_>>(), [saved]);
        lessor.renew_all(at(9), at(1));
        assert_eq!(left(&lessor, at(9)), Some(at(11)));

        assert_eq!(lessor.renew(1, at(10)), Some(3600));
        assert_eq!(left(&lessor, at(10)), Some(at(3600)));
        assert!(lessor.has_checkpoint(1));
        let saved = Saved { id: 1, ttl: 3600, remaining_ttl: 0 };
        assert_eq!(lessor.forget_checkpoint(1).as_ref(), Some(&saved));
        assert!(!lessor.has_checkpoint(1));
        assert_eq!(lessor.saved().collect::<Vec<_>>(), [saved]);
        lessor.renew_all(at(20), at(1));
        assert_eq!(left(&lessor, at(20)), Some(at(3601)));
    }
}
