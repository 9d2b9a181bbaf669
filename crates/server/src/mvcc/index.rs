//! Which revisions each key has.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::chunk::Chunk;
use super::log::Stamp;
use super::range::KeyRange;

/// The keys in chunks, each by a bound: its keys are not before it, and those of the chunks before are. The first bound is
/// the empty key.
#[derive(Debug, Default)]
pub(super) struct Index {
    chunks: BTreeMap<Box<[u8]>, Chunk>,
}

impl Index {
    /// The chunk that a key is in, if it is in any.
    fn chunk(&self, key: &[u8]) -> Option<(&[u8], &Chunk)> {
        let (bound, chunk) = self.chunks.range::<[u8], _>(up_to(key)).next_back()?;
        Some((bound.as_ref(), chunk))
    }

    /// Adds the newest revision of a key.
    pub(super) fn push(&mut self, key: &[u8], stamp: Stamp) {
        while let Err((bound, rest)) = self.push_or_split(key, stamp) {
            self.chunks.insert(bound, rest);
        }
    }

    /// Fails with half of the chunk when that is full. Then there is room, or less in the way.
    fn push_or_split(&mut self, key: &[u8], stamp: Stamp) -> Result<(), (Box<[u8]>, Chunk)> {
        let Some((_, chunk)) = self.chunks.range_mut::<[u8], _>(up_to(key)).next_back() else {
            return Err((Box::default(), Chunk::default()));
        };
        chunk.push(key, stamp).map_err(|place| chunk.split(place))
    }

    /// The revision of a key that a reader at `revision` sees; `None` if it does not exist there.
    pub(super) fn get(&self, key: &[u8], revision: i64) -> Option<Stamp> {
        self.at(key, revision).filter(|stamp| !stamp.is_tombstone())
    }

    fn at(&self, key: &[u8], revision: i64) -> Option<Stamp> {
        self.chunk(key)?.1.at(key, revision)
    }

    /// The keys that exist at `revision`, in order.
    pub(super) fn range<'a>(
        &'a self,
        range: &KeyRange,
        revision: i64,
    ) -> impl Iterator<Item = (&'a [u8], Stamp)> {
        let chunks = range.bounds().and_then(|bounds| {
            let (first, _) = self.chunk(range.start())?;
            Some(self.chunks.range::<[u8], _>((Bound::Included(first), bounds.1)))
        });
        let chunks = chunks.into_iter().flatten();
        let keys =
            chunks.filter_map(move |(_, chunk)| Some(chunk.range(range.bounds()?, revision)));
        keys.flatten().filter(|(_, stamp)| !stamp.is_tombstone())
    }

    /// Whether a record up to the compacted revision is still needed by who reads at it or later.
    pub(super) fn needs(&self, key: &[u8], stamp: Stamp, compacted: i64) -> bool {
        self.at(key, compacted) == Some(stamp)
    }

    /// Compacts the chunks from a bound on, about so many keys at most. Returns where to go on; `None` at the end.
    pub(super) fn compact(
        &mut self,
        start: &[u8],
        revision: i64,
        limit: usize,
    ) -> Option<Box<[u8]>> {
        let mut looked_at = 0;
        let mut sparse = Vec::new();
        let mut next = None;
        let from = (Bound::Included(start), Bound::Unbounded);
        for (bound, chunk) in self.chunks.range_mut::<[u8], _>(from) {
            if looked_at >= limit {
                next = Some(bound.clone());
                break;
            }
            looked_at += chunk.len().max(1);
            chunk.compact(revision);
            if chunk.is_sparse() {
                sparse.push(bound.clone());
            }
        }
        for bound in sparse {
            self.join(&bound);
        }
        next
    }

    /// Joins a chunk with the one before it, if that has room.
    fn join(&mut self, bound: &[u8]) {
        let mut last_two = self.chunks.range_mut::<[u8], _>(up_to(bound)).rev();
        let (Some((_, chunk)), Some((_, before))) = (last_two.next(), last_two.next()) else {
            return;
        };
        before.join(chunk);
        if chunk.len() == 0 {
            self.chunks.remove(bound);
        }
    }
}

#[cfg(test)]
impl Index {
    fn keys(&self) -> usize {
        self.chunks.values().map(Chunk::len).sum()
    }
}

fn up_to(key: &[u8]) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (Bound::Unbounded, Bound::Included(key))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use etcdkit_datadir::schema::Revision;
    use proptest::prelude::*;

    use super::*;

    /// Keys one after the other, up or down, or scattered; every third time they are deleted again.
    #[derive(Clone, Debug)]
    struct Run {
        first: u32,
        step: u32,
        count: usize,
        length: usize,
        delete: bool,
    }

    fn run() -> impl Strategy<Value = Run> {
        let steps = prop_oneof![Just(1), Just(u32::MAX), Just(0x9e37_79b9), Just(4), Just(0)];
        let lengths = prop_oneof![9 => Just(8_usize), 3 => 1..40_usize, 1 => Just(40_000)];
        (0..5000_u32, steps, 1..700_usize, lengths, proptest::bool::weighted(0.3)).prop_map(
            |(first, step, count, length, delete)| {
                let count = if length > 1000 { count.min(6) } else { count };
                Run { first, step, count, length, delete }
            },
        )
    }

    impl Run {
        fn keys(&self) -> impl Iterator<Item = Vec<u8>> {
            (0..self.count).map(|number| {
                let number = self.step.wrapping_mul(u32::try_from(number).unwrap());
                let mut key =
                    format!("{:08}", self.first.wrapping_add(number) % 10_000).into_bytes();
                key.resize(self.length, b'.');
                key
            })
        }
    }

    fn stamp(main: i64, tombstone: bool) -> Stamp {
        Stamp::new(Revision { main, sub: 0 }, tombstone)
    }

    fn range(from: &[u8], to: &[u8]) -> KeyRange {
        KeyRange::new(Bytes::copy_from_slice(from), Bytes::copy_from_slice(to))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn it_agrees_with_a_map_of_keys(
            runs in proptest::collection::vec((run(), proptest::bool::weighted(0.2)), 1..12),
            bounds in proptest::collection::vec((0..5000_u32, 0..5000_u32), 8),
        ) {
            let mut index = Index::default();
            let mut map: BTreeMap<Vec<u8>, Stamp> = BTreeMap::new();
            let mut now = 1;
            for (run, compact) in runs {
                for key in run.keys() {
                    let delete = run.delete && map.get(&key).is_some_and(|stamp| !stamp.is_tombstone());
                    now += 1;
                    index.push(&key, stamp(now, delete));
                    map.insert(key, stamp(now, delete));
                }
                if compact {
                    let mut from = Some(Box::default());
                    while let Some(start) = from {
                        from = index.compact(&start, now, 1000);
                    }
                    map.retain(|_, stamp| !stamp.is_tombstone() || stamp.main == now);
                    prop_assert_eq!(index.keys(), map.len());
                }
                let alive = |range: &KeyRange| -> Vec<(Vec<u8>, Stamp)> {
                    let inside = map.iter().filter(|(key, stamp)| range.contains(key) && !stamp.is_tombstone());
                    inside.map(|(key, stamp)| (key.clone(), *stamp)).collect()
                };
                let spans = bounds.iter().map(|(from, to)| {
                    range(format!("{from:08}").as_bytes(), format!("{to:08}").as_bytes())
                });
                for range in spans.chain([range(&[0], &[0])]) {
                    let found: Vec<_> =
                        index.range(&range, now).map(|(key, stamp)| (key.to_vec(), stamp)).collect();
                    prop_assert!(found == alive(&range), "{:?}", range);
                }
            }
            for (key, stamp) in &map {
                prop_assert_eq!(index.at(key, now), Some(*stamp));
                prop_assert_eq!(index.at(key, 1), None);
            }
        }
    }

    #[test]
    fn keys_in_order_leave_full_chunks_whichever_way_they_go() {
        let up: Vec<u32> = (0..10_000).collect();
        let down: Vec<u32> = (0..10_000).rev().collect();
        // Two prefixes in turn, and runs down into the gap behind a full chunk.
        let both: Vec<u32> = (0..5000).flat_map(|number| [number, 500_000 + number]).collect();
        let gap: Vec<u32> = (0..128).chain((1000..2000).rev()).collect();
        for (what, order) in [("up", up), ("down", down), ("both", both), ("gap", gap)] {
            let mut index = Index::default();
            for (number, main) in order.iter().zip(2..) {
                index.push(&number.to_be_bytes(), stamp(main, false));
            }
            assert_eq!(index.keys(), order.len(), "{what}");
            let most = order.len().div_ceil(128) + 2;
            assert!(index.chunks.len() <= most, "{what}: {} chunks", index.chunks.len());
        }
    }

    #[test]
    fn chunks_that_lose_their_keys_are_joined() {
        let mut index = Index::default();
        for main in 2..20_002_i64 {
            index.push(&main.to_be_bytes(), stamp(main, false));
        }
        for main in (2..20_002_i64).filter(|main| main % 100 != 0) {
            index.push(&main.to_be_bytes(), stamp(main + 20_000, true));
        }
        let mut from = Some(Box::default());
        while let Some(start) = from {
            from = index.compact(&start, 50_000, 1000);
        }
        assert_eq!(index.keys(), 200);
        assert!(index.chunks.len() <= 4, "{} chunks", index.chunks.len());
    }
}
