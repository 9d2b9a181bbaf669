//! The hash of the keys at a revision, equal to that of any etcd with the same history.

use etcdkit_datadir::schema::Revision;
use etcdkit_proto::ServerError;

use super::log::Stamp;
use super::range::KeyRange;
use super::store::Store;

/// A hash, and what it is the hash of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HashKv {
    pub(crate) hash: u32,
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
}

impl Store {
    /// The hash at a revision; 0 is the present one, and below lies nothing.
    pub(crate) fn hash_kv(&self, revision: i64) -> Result<HashKv, ServerError> {
        if revision > 0 && revision < self.compacted() {
            return Err(ServerError::Compacted);
        }
        if revision > self.revision() {
            return Err(ServerError::FutureRevision);
        }
        let revision = if revision == 0 { self.revision() } else { revision };
        Ok(self.hash_with(revision, self.compacted()))
    }

    /// The hash at a revision of a store that is compacted to another one. Records that such a compaction removes do not
    /// count, be they removed yet or not.
    pub(crate) fn hash_with(&self, revision: i64, compacted: i64) -> HashKv {
        // etcd applies its list of survivors only if it is not empty.
        let all = KeyRange::new(bytes::Bytes::from_static(&[0]), bytes::Bytes::from_static(&[0]));
        let survivors = self.range(&all, revision).next().is_some();
        let mut hash = crc32c::crc32c(b"key");
        for record in self.since(i64::MIN) {
            let Revision { main, .. } = record.key.revision;
            if main > revision {
                break;
            }
            if main <= compacted && survivors {
                let stamp = Stamp::new(record.key.revision, record.key.tombstone);
                if self.index.get(record.kv().key, revision) != Some(stamp) {
                    continue;
                }
            }
            if main == compacted && record.key.tombstone {
                continue;
            }
            hash = crc32c::crc32c_append(hash, &record.key.encode());
            hash = crc32c::crc32c_append(hash, record.message);
        }
        HashKv { hash, revision, compacted }
    }
}
