//! What `snapshot status` tells about a database.

use std::io::{Read, Seek};

use crate::bbolt::{Entry, Value};
use crate::error::Result;
use crate::key_map::KeyMap;
use crate::schema::{Backend, Revision, Version, bucket, record_of};
use crate::walk::{Visitor, walk};

/// A database in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The CRC-32C of all buckets' names, keys and values. It tells databases apart, and nothing more: two members
    /// with the same keys differ in it.
    pub hash: u32,
    /// The last revision of a key; 0 without any.
    pub revision: i64,
    /// Entries of all buckets.
    pub entries: u64,
    /// Keys that exist at the last revision.
    pub live_keys: u64,
    /// Bytes of the database, free pages included, without a snapshot's trailer.
    pub size: u64,
    /// The version of the storage, where etcd 3.6 or newer has noted it.
    pub version: Option<Version>,
}

impl Status {
    /// Reads a database to its end, checks its structure and sums it up.
    ///
    /// A snapshot's trailer is neither needed nor looked at: [`snapshot::verify`](crate::snapshot::verify) does that.
    /// Memory stays below 200 MiB; for every two million live keys the keys are gone through once more.
    ///
    /// ```
    /// use etcdkit_datadir::Status;
    /// use etcdkit_datadir::bbolt::Writer;
    /// use etcdkit_datadir::schema::Backend;
    /// use std::io::Cursor;
    ///
    /// let mut writer = Writer::new(Cursor::new(Vec::new()))?;
    /// writer.begin_bucket(b"key")?;
    /// writer.put(b"\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0", b"\x0a\x01k\x2a\x01v")?;
    /// writer.end_bucket()?;
    /// let status = Status::of(&mut Backend::open(writer.finish()?)?)?;
    /// assert_eq!((status.revision, status.live_keys, status.size), (2, 1, 3 * 4096));
    /// # Ok::<(), etcdkit_datadir::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Corrupt` when the structure is damaged or a key is no revision, else when it cannot be read.
    pub fn of<R: Read + Seek>(backend: &mut Backend<R>) -> Result<Self> {
        Self::count(backend, KeyMap::new())
    }

    /// The number of keys as a version's own tool counts them: up to 3.5 all entries of all buckets, since 3.6 the keys
    /// that exist.
    #[must_use]
    pub fn total_keys(&self, tool: Version) -> u64 {
        if tool.line() < (3, 6) { self.entries } else { self.live_keys }
    }

    fn count<R: Read + Seek>(backend: &mut Backend<R>, keys: KeyMap<()>) -> Result<Self> {
        let mut summing = Summing { status: Self::default(), in_keys: false, keys };
        walk(backend.bbolt(), &mut summing)?;
        let Summing { mut status, mut keys, .. } = summing;
        status.live_keys = keys.len();
        while keys.next_part() {
            let mut records = backend.key_records()?;
            while let Some(record) = records.next_record()? {
                note(&mut keys, record.kv.key, record.tombstone);
            }
            status.live_keys += keys.len();
        }
        status.size = backend.bbolt().size();
        status.version = backend.meta()?.storage_version;
        Ok(status)
    }
}

struct Summing {
    status: Status,
    in_keys: bool,
    keys: KeyMap<()>,
}

impl Visitor for Summing {
    fn bucket(&mut self, name: &[u8]) -> Result<()> {
        self.status.hash = crc32c::crc32c_append(self.status.hash, name);
        self.in_keys = name == bucket::KEY.as_bytes();
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<()> {
        let value = if let Value::Bytes(value) = entry.value { value } else { &[] };
        let hash = crc32c::crc32c_append(self.status.hash, entry.key);
        self.status.hash = crc32c::crc32c_append(hash, value);
        self.status.entries += 1;
        if self.in_keys {
            let record = record_of(entry.key, &entry.value)?;
            let Revision { main, .. } = record.revision;
            self.status.revision = main;
            note(&mut self.keys, record.kv.key, record.tombstone);
        }
        Ok(())
    }
}

fn note(keys: &mut KeyMap<()>, key: &[u8], tombstone: bool) {
    let Some(key) = keys.fingerprint(key) else { return };
    if tombstone {
        keys.remove(key);
    } else {
        keys.insert(key, ());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::bbolt::Writer;
    use crate::schema::RevisionKey;

    #[test]
    fn live_keys_are_counted_in_as_many_passes_as_memory_asks_for() {
        let mut writer = Writer::new(Cursor::new(Vec::new())).expect("memory");
        writer.begin_bucket(b"key").expect("the first");
        for number in 0..1000_u16 {
            let tombstone = number % 3 == 2;
            let key = if tombstone { number - 1 } else { number };
            let revision = Revision { main: i64::from(number) + 2, sub: 0 };
            let mut message = vec![0x0a, 2];
            message.extend_from_slice(&key.to_be_bytes());
            writer.put(&RevisionKey { revision, tombstone }.encode(), &message).expect("in order");
        }
        writer.end_bucket().expect("open");
        let file = writer.finish().expect("memory");
        let mut backend = Backend::open(file).expect("a database");
        for limit in [1, 10, 100, 10_000] {
            let status = Status::count(&mut backend, KeyMap::with_limit(limit)).expect("sound");
            assert_eq!((status.live_keys, status.entries), (334, 1000), "{limit}");
            assert_eq!(status.total_keys(Version::new(3, 5)), 1000);
            assert_eq!(status.total_keys(Version::new(3, 6)), 334);
        }
    }
}
