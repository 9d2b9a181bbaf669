//! Something about each key, in bounded memory.
//!
//! Keys are told apart by 128 bits of hashes with random keys, so that long keys cost no more than short ones. When a
//! map outgrows its limit, it goes on with one half of all keys and leaves the other half to another pass: memory
//! stays the same, time grows.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// Keys held at once: about 100 MiB while the map grows.
const LIMIT: usize = 1_800_000;

/// Stands for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(u128);

/// Those keys whose lowest `bits` are `wanted`.
#[derive(Clone, Copy, Debug)]
struct Part {
    bits: u32,
    wanted: u128,
}

impl Part {
    const fn contains(self, key: Fingerprint) -> bool {
        key.0 & ((1 << self.bits) - 1) == self.wanted
    }
}

/// Uses a fingerprint's own bits, of which those above [`Part`]'s are as good as any hash.
#[derive(Default)]
struct Upper(u64);

impl Hasher for Upper {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, number: u128) {
        self.0 = (number >> 64) as u64;
    }
}

/// A map from keys to something small, one part of all keys at a time.
pub(crate) struct KeyMap<V> {
    map: HashMap<u128, V, BuildHasherDefault<Upper>>,
    part: Part,
    deferred: Vec<Part>,
    states: [RandomState; 2],
    limit: usize,
}

impl<V: Copy> KeyMap<V> {
    pub(crate) fn new() -> Self {
        Self::with_limit(LIMIT)
    }

    pub(crate) fn with_limit(limit: usize) -> Self {
        Self {
            map: HashMap::default(),
            part: Part { bits: 0, wanted: 0 },
            deferred: Vec::new(),
            states: [RandomState::new(), RandomState::new()],
            limit,
        }
    }

    /// What stands for a key, if it belongs to this pass.
    pub(crate) fn fingerprint(&self, key: &[u8]) -> Option<Fingerprint> {
        let hash = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            hasher.write(key);
            u128::from(hasher.finish())
        };
        let key = Fingerprint(hash(&self.states[0]) << 64 | hash(&self.states[1]));
        self.part.contains(key).then_some(key)
    }

    pub(crate) fn get(&self, key: Fingerprint) -> Option<V> {
        self.map.get(&key.0).copied()
    }

    pub(crate) fn insert(&mut self, key: Fingerprint, value: V) {
        self.map.insert(key.0, value);
        while self.map.len() > self.limit && self.part.bits < 64 {
            let bit = 1 << self.part.bits;
            let bits = self.part.bits + 1;
            self.deferred.push(Part { bits, wanted: self.part.wanted | bit });
            self.part.bits = bits;
            let part = self.part;
            self.map.retain(|&key, _| part.contains(Fingerprint(key)));
        }
    }

    pub(crate) fn remove(&mut self, key: Fingerprint) {
        self.map.remove(&key.0);
    }

    pub(crate) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = V> {
        self.map.values().copied()
    }

    /// Goes on with the next part, if there is one: everything has to be gone through again.
    pub(crate) fn next_part(&mut self) -> bool {
        let Some(part) = self.deferred.pop() else { return false };
        self.part = part;
        self.map.clear();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_limit_counts_alike() {
        for limit in [1, 7, 100, 1000, 5000] {
            let mut map = KeyMap::with_limit(limit);
            let (mut total, mut passes) = (0, 0);
            loop {
                passes += 1;
                for number in 0..1000_u32 {
                    if let Some(key) = map.fingerprint(&number.to_be_bytes()) {
                        map.insert(key, number);
                    }
                }
                for number in 0..500_u32 {
                    if let Some(key) = map.fingerprint(&number.to_be_bytes()) {
                        assert_eq!(map.get(key), Some(number));
                        map.remove(key);
                    }
                }
                total += map.len();
                assert!(map.len() <= limit as u64);
                if !map.next_part() {
                    break;
                }
            }
            assert_eq!(total, 500, "{limit}");
            assert!(passes == 1 || limit < 1000);
        }
    }
}
