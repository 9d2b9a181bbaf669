//! The database: buckets and single entries.

use std::fmt;
use std::io::{Read, Seek};
use std::sync::Arc;

use super::bitmap::Bitmap;
use super::cursor::{Cursor, Value};
use super::meta::Meta;
use super::page::{BUCKET_HEADER, HEADER, Header, u64_at};
use super::source::PageSource;
use crate::error::{Defect, Error, ErrorKind, Result};

/// What the root may hold: many times what etcd's does.
const MAX_BUCKETS: usize = 10_000;
const MAX_ROOT: usize = 16 << 20;

/// A bbolt database, read from anything that can be read and sought.
///
/// The caller sees to it that nobody writes the file meanwhile: a running etcd holds a lock on its own, and a copy
/// made with `cp` is only safe when etcd is down.
///
/// ```
/// use etcdkit_datadir::bbolt::{Bbolt, Writer};
/// use std::io::Cursor;
///
/// let mut writer = Writer::new(Cursor::new(Vec::new()))?;
/// writer.begin_bucket(b"meta")?;
/// writer.put(b"term", b"1")?;
/// writer.end_bucket()?;
/// let file = writer.finish()?;
///
/// let mut db = Bbolt::open(file)?;
/// let meta = db.bucket(b"meta")?.expect("it was written");
/// assert_eq!(db.get(&meta, b"term")?, Some(b"1".to_vec()));
/// assert!(db.check()?.is_sound());
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
pub struct Bbolt<R> {
    pub(super) source: PageSource<R>,
    /// Which pages a walk over the whole file has reached, while there is one.
    pub(super) walked: Option<Bitmap>,
}

/// Where a bucket's entries are.
#[derive(Clone, PartialEq, Eq)]
pub struct Bucket {
    pub(super) root: u64,
    pub(super) sequence: u64,
    pub(super) inline: Option<Arc<[u8]>>,
}

impl Bucket {
    /// Parses the value of a leaf element that stands for a bucket.
    pub(super) fn parse(value: &[u8]) -> Result<Self> {
        let invalid = |message| Error::corrupt(Defect::InvalidBucket, message);
        let (Some(root), Some(sequence)) = (u64_at(value, 0), u64_at(value, 8)) else {
            return Err(invalid("a bucket's header is cut off"));
        };
        let inline = match value.get(BUCKET_HEADER..) {
            Some(page) if root == 0 => {
                if page.len() < HEADER {
                    return Err(invalid("an inline bucket's page is cut off"));
                }
                if Header::parse(page).is_some_and(|header| header.overflow != 0) {
                    return Err(invalid("an inline bucket has overflow pages"));
                }
                Some(Arc::from(page))
            }
            _ => None,
        };
        Ok(Self { root, sequence, inline })
    }

    /// The page that its tree starts at; `None` when it is inline, in the value of its own entry.
    #[must_use]
    pub const fn root(&self) -> Option<u64> {
        if self.inline.is_some() { None } else { Some(self.root) }
    }

    /// The number that bbolt counts for the bucket's user. etcd has no use for it.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("root", &self.root())
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Bbolt<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bbolt").finish_non_exhaustive()
    }
}

impl<R: Read + Seek> Bbolt<R> {
    /// Opens a database at its newest valid meta page.
    ///
    /// # Errors
    ///
    /// `NotADatabase` without a valid meta page, `Unsupported` for another version than 2, `Truncated` when the file
    /// ends before its last used page.
    pub fn open(io: R) -> Result<Self> {
        Ok(Self { source: PageSource::open(io)?, walked: None })
    }

    /// The meta page that counts.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        self.source.meta()
    }

    /// Bytes of the file up to the last used page: what etcd calls its size. The file itself may be longer.
    #[must_use]
    pub const fn size(&self) -> u64 {
        let meta = self.source.meta();
        meta.high_water * meta.page_size as u64
    }

    /// Gives back what was opened.
    #[must_use]
    pub fn into_inner(self) -> R {
        self.source.into_inner()
    }

    /// The bucket that holds the named buckets. It has no name itself.
    #[must_use]
    pub const fn root(&self) -> Bucket {
        let meta = self.source.meta();
        Bucket { root: meta.root, sequence: meta.sequence, inline: None }
    }

    /// Finds a named bucket.
    ///
    /// # Errors
    ///
    /// When the way to it is damaged or cannot be read.
    pub fn bucket(&mut self, name: &[u8]) -> Result<Option<Bucket>> {
        let root = self.root();
        self.bucket_in(&root, name)
    }

    /// Finds a bucket within a bucket.
    ///
    /// # Errors
    ///
    /// When the way to it is damaged or cannot be read.
    pub fn bucket_in(&mut self, parent: &Bucket, name: &[u8]) -> Result<Option<Bucket>> {
        let mut cursor = self.entries(parent);
        cursor.seek(name)?;
        match cursor.next_entry()? {
            Some(entry) if entry.key == name => match entry.value {
                Value::Bucket(bucket) => Ok(Some(bucket)),
                Value::Bytes(_) => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// When the way to it is damaged or cannot be read.
    pub fn get(&mut self, bucket: &Bucket, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut cursor = self.entries(bucket);
        cursor.seek(key)?;
        match cursor.next_entry()? {
            Some(entry) if entry.key == key => match entry.value {
                Value::Bytes(value) => Ok(Some(value.to_vec())),
                Value::Bucket(_) => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// The last key of a bucket.
    ///
    /// # Errors
    ///
    /// When the way to it is damaged or cannot be read.
    pub fn last_key(&mut self, bucket: &Bucket) -> Result<Option<Vec<u8>>> {
        let mut cursor = self.entries(bucket);
        cursor.seek_last()?;
        Ok(cursor.next_entry()?.map(|entry| entry.key.to_vec()))
    }

    /// Iterates over a bucket's entries in key order.
    pub fn entries(&mut self, bucket: &Bucket) -> Cursor<'_, R> {
        Cursor::new(self, bucket)
    }

    /// The buckets in the root, in the order of their names.
    pub(crate) fn buckets(&mut self) -> Result<Vec<(Vec<u8>, Bucket)>> {
        let root = self.root();
        let (mut buckets, mut held) = (Vec::new(), 0);
        let mut entries = self.entries(&root);
        while let Some(entry) = entries.next_entry()? {
            let Value::Bucket(bucket) = entry.value else {
                let message = format!("{} in the root is no bucket", entry.key.escape_ascii());
                return Err(Error::corrupt(Defect::InvalidBucket, message));
            };
            held += entry.key.len() + bucket.inline.as_ref().map_or(0, |page| page.len());
            if held > MAX_ROOT || buckets.len() >= MAX_BUCKETS {
                let message =
                    format!("more than {MAX_BUCKETS} buckets, or {MAX_ROOT} bytes of them");
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
            buckets.push((entry.key.to_vec(), bucket));
        }
        Ok(buckets)
    }

    /// From here on each page that a cursor loads is noted, and one that is loaded twice is an error.
    pub(crate) fn begin_walk(&mut self) {
        self.walked = Some(Bitmap::new(self.meta().high_water));
    }

    pub(crate) fn end_walk(&mut self) {
        self.walked = None;
    }

    /// Notes that a walk has reached a page and its overflow.
    pub(super) fn walk(&mut self, id: u64, header: &Header) -> Result<()> {
        let Some(walked) = &mut self.walked else { return Ok(()) };
        for page in id..=id + u64::from(header.overflow) {
            if !walked.insert(page) {
                return Err(Error::corrupt(Defect::DoubleReference, "reached twice").at_page(page));
            }
        }
        Ok(())
    }

    /// The bucket of that name.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is none.
    pub(crate) fn required_bucket(&mut self, name: &str) -> Result<Bucket> {
        self.bucket(name.as_bytes())?
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no bucket {name:?}")))
    }
}
