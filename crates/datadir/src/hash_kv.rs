//! The hash of the keys at a revision, as `HashKV` and `etcdutl hashkv` compute it.
//!
//! Members that hold the same keys agree in it, whether or not their compaction has finished: records that compaction
//! would remove don't count. Which those are follows from what comes later, so that the records are gone through twice
//! once there was a compaction; one bit remembers each record in between.

use std::io::{Read, Seek};

use crate::bbolt::Value;
use crate::error::{Error, ErrorKind, Result};
use crate::key_map::KeyMap;
use crate::schema::{Backend, KeyRecord, Revision, Version, bucket, record_of};

/// Which hash is asked for.
///
/// ```
/// use etcdkit_datadir::HashKv;
/// use etcdkit_datadir::bbolt::Writer;
/// use etcdkit_datadir::schema::Backend;
/// use std::io::Cursor;
///
/// let mut writer = Writer::new(Cursor::new(Vec::new()))?;
/// writer.begin_bucket(b"key")?;
/// writer.put(b"\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0", b"\x0a\x01k\x2a\x01v")?;
/// writer.end_bucket()?;
/// let mut backend = Backend::open(writer.finish()?)?;
///
/// let newest = HashKv::newest().compute(&mut backend)?;
/// assert_eq!(newest.revision, 2);
/// assert_eq!(newest.compact_revision, -1);
/// assert_eq!(HashKv::at(2).compute(&mut backend)?, newest);
/// assert!(HashKv::at(3).compute(&mut backend).is_err());
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct HashKv {
    revision: i64,
    version: Version,
}

/// The hash of the keys at a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KvHash {
    /// The hash, a CRC-32C.
    pub hash: u32,
    /// The revision up to which keys count.
    pub revision: i64,
    /// The revision that the store is compacted to; -1 if it never was.
    pub compact_revision: i64,
}

impl HashKv {
    /// The hash at the last revision.
    pub const fn newest() -> Self {
        Self::at(0)
    }

    /// The hash at a revision; 0 for the last one. Before the first one there is nothing, which has a hash too.
    pub const fn at(revision: i64) -> Self {
        Self { revision, version: Version::new(3, 7) }
    }

    /// Computes as this version does, 3.7 by default. It matters at the compacted revision: until 3.5.8 its own hash
    /// is refused, and until 3.4.33 and 3.5.15 a deletion at it counts.
    pub const fn as_etcd(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    fn refuses_compacted(self) -> bool {
        self.version < Version { major: 3, minor: 5, patch: 9 }
    }

    fn skips_tombstone(self) -> bool {
        let since = if self.version.line() < (3, 5) {
            Version { major: 3, minor: 4, patch: 34 }
        } else {
            Version { major: 3, minor: 5, patch: 16 }
        };
        self.version >= since
    }

    /// Computes it.
    ///
    /// # Errors
    ///
    /// `Compacted` and `FutureRevision` where etcd answers so, `Corrupt` when the keys are damaged, else when they cannot be
    /// read.
    pub fn compute<R: Read + Seek>(self, backend: &mut Backend<R>) -> Result<KvHash> {
        self.compute_with(backend, KeyMap::new())
    }

    fn compute_with<R: Read + Seek>(
        self,
        backend: &mut Backend<R>,
        keys: KeyMap<Latest>,
    ) -> Result<KvHash> {
        let compact_revision = backend.meta()?.compact_revision().unwrap_or(-1);
        let current = backend.revision()?;
        let revision = if self.revision == 0 { current } else { self.revision };
        let asked = self.revision > 0;
        let refused = revision == compact_revision && self.refuses_compacted();
        if asked && (revision < compact_revision || refused) {
            let message = format!("revision {revision} is compacted: {compact_revision}");
            return Err(Error::new(ErrorKind::Compacted, message));
        }
        if revision > current {
            let message = format!("revision {revision} does not exist yet: {current}");
            return Err(Error::new(ErrorKind::FutureRevision, message));
        }
        let kept = if compact_revision < 0 {
            Kept::All
        } else {
            keep(backend, keys, compact_revision, revision)?
        };
        let mut hash = crc32c::crc32c(bucket::KEY.as_bytes());
        let mut old = 0;
        let keys = backend.bbolt().required_bucket(bucket::KEY)?;
        let mut entries = backend.bbolt().entries(&keys);
        while let Some(entry) = entries.next_entry()? {
            let record = record_of(entry.key, &entry.value)?;
            let Revision { main, .. } = record.revision;
            if main > revision {
                break;
            }
            let counts = if main <= compact_revision {
                old += 1;
                kept.contains(old - 1)
            } else {
                true
            };
            let skipped = main == compact_revision && record.tombstone && self.skips_tombstone();
            if let (true, false, Value::Bytes(value)) = (counts, skipped, entry.value) {
                hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, entry.key), value);
            }
        }
        Ok(KvHash { hash, revision, compact_revision })
    }
}

/// The newest record of a key so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Latest {
    /// Compacted unless it stays the newest: its number among the records up to the compacted revision.
    Old(u64),
    /// After the compacted revision.
    New,
    /// The key was deleted at the very revision asked for, and what follows in the same transaction does not count.
    Closed,
}

/// Which records up to the compacted revision count.
enum Kept {
    All,
    Numbers(Vec<u64>),
}

impl Kept {
    fn contains(&self, number: u64) -> bool {
        match self {
            Self::All => true,
            Self::Numbers(words) => usize::try_from(number / 64)
                .ok()
                .and_then(|word| words.get(word))
                .is_some_and(|word| word & 1 << (number % 64) != 0),
        }
    }
}

/// Finds the records that compaction to `compacted` keeps and that are still the newest of their key at `revision`.
fn keep<R: Read + Seek>(
    backend: &mut Backend<R>,
    mut keys: KeyMap<Latest>,
    compacted: i64,
    revision: i64,
) -> Result<Kept> {
    let mut words: Vec<u64> = Vec::new();
    let mut any = false;
    loop {
        let mut old = 0;
        let mut records = backend.key_records()?;
        while let Some(record) = records.next_record()? {
            if record.revision.main > revision {
                break;
            }
            let number = (record.revision.main <= compacted).then_some(old);
            old += u64::from(number.is_some());
            note(&mut keys, &record, number, revision);
        }
        for latest in keys.values() {
            match latest {
                Latest::Old(number) => {
                    let word = usize::try_from(number / 64).unwrap_or(usize::MAX);
                    if words.len() <= word {
                        words.resize(word + 1, 0);
                    }
                    words[word] |= 1 << (number % 64);
                    any = true;
                }
                Latest::New => any = true,
                Latest::Closed => {}
            }
        }
        if !keys.next_part() {
            // Where no key is left at all, etcd takes everything for kept.
            return Ok(if any { Kept::Numbers(words) } else { Kept::All });
        }
    }
}

fn note(keys: &mut KeyMap<Latest>, record: &KeyRecord<'_>, number: Option<u64>, revision: i64) {
    let Some(key) = keys.fingerprint(record.kv.key) else { return };
    if keys.get(key) == Some(Latest::Closed) {
        return;
    }
    match (record.tombstone, number) {
        (true, _) if record.revision.main == revision => keys.insert(key, Latest::Closed),
        (true, _) => keys.remove(key),
        (false, Some(number)) => keys.insert(key, Latest::Old(number)),
        (false, None) => keys.insert(key, Latest::New),
    }
}
