//! Every revision of every key, in the order in which they were written.

use std::fmt;
use std::io::{Read, Seek};

use super::{KeyValueRef, Revision, RevisionKey};
use crate::bbolt::{Cursor, Value};
use crate::error::{Defect, Error, Result};

/// A change of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRecord<'a> {
    /// When.
    pub revision: Revision,
    /// Whether the key was deleted: then only its name is in `kv`.
    pub tombstone: bool,
    /// What was written.
    pub kv: KeyValueRef<'a>,
}

/// Iterates over the bucket `key`.
///
/// What compaction has removed is not there. `etcdutl snapshot restore --bump-revision` leaves a record that is no
/// change of a key: it is empty.
///
/// ```
/// use etcdkit_datadir::bbolt::Writer;
/// use etcdkit_datadir::schema::{Backend, Revision, RevisionKey};
/// use std::io::Cursor;
///
/// let mut writer = Writer::new(Cursor::new(Vec::new()))?;
/// writer.begin_bucket(b"key")?;
/// let revision = Revision { main: 2, sub: 0 };
/// writer.put(&RevisionKey { revision, tombstone: false }.encode(), b"\x0a\x01k\x2a\x01v")?;
/// writer.end_bucket()?;
///
/// let mut backend = Backend::open(writer.finish()?)?;
/// let mut records = backend.key_records()?;
/// let record = records.next_record()?.expect("there is one");
/// assert_eq!((record.revision, record.kv.key), (revision, &b"k"[..]));
/// assert!(records.next_record()?.is_none());
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
pub struct KeyRecords<'a, R> {
    cursor: Option<Cursor<'a, R>>,
}

impl<R> fmt::Debug for KeyRecords<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecords").finish_non_exhaustive()
    }
}

impl<'a, R: Read + Seek> KeyRecords<'a, R> {
    pub(super) const fn new(cursor: Option<Cursor<'a, R>>) -> Self {
        Self { cursor }
    }

    /// Moves to the first record at `revision` or later.
    ///
    /// # Errors
    ///
    /// When the file is damaged there or cannot be read.
    pub fn seek(&mut self, revision: Revision) -> Result<()> {
        match &mut self.cursor {
            Some(cursor) => cursor.seek(&RevisionKey { revision, tombstone: false }.encode()),
            None => Ok(()),
        }
    }

    /// The next record, or `None` after the last.
    ///
    /// # Errors
    ///
    /// When the file is damaged there or cannot be read.
    pub fn next_record(&mut self) -> Result<Option<KeyRecord<'_>>> {
        let Some(cursor) = &mut self.cursor else { return Ok(None) };
        match cursor.next_entry()? {
            Some(entry) => record(entry.key, &entry.value).map(Some),
            None => Ok(None),
        }
    }
}

/// Parses an entry of the bucket.
pub(crate) fn record<'a>(key: &[u8], value: &Value<'a>) -> Result<KeyRecord<'a>> {
    let RevisionKey { revision, tombstone } = RevisionKey::decode(key)?;
    let Value::Bytes(value) = *value else {
        return Err(Error::corrupt(Defect::InvalidBucket, "a bucket among the keys"));
    };
    let kv = KeyValueRef::decode(value).map_err(|error| {
        Error::corrupt(Defect::InvalidMessage, format!("revision {revision}")).caused_by(error)
    })?;
    Ok(KeyRecord { revision, tombstone, kv })
}
