//! A fresh file out of sorted entries.

use std::fmt;
use std::io::{BufWriter, Seek, SeekFrom, Write};

use super::meta::{MAX_PAGE_SIZE, META_LEN, MIN_PAGE_SIZE, Meta};
use super::tree::{PageSink, Tree};
use crate::error::{Error, Result};

const BUFFER: usize = 256 << 10;

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct WriterOptions {
    page_size: u32,
    fill_percent: u32,
    freelist: bool,
    txid: u64,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { page_size: 4096, fill_percent: 90, freelist: false, txid: 2 }
    }
}

impl WriterOptions {
    /// Bytes of a page: a power of two. 4096 by default, as etcd writes on most machines.
    pub const fn page_size(mut self, bytes: u32) -> Self {
        self.page_size = bytes;
        self
    }

    /// How full pages get, 10 to 100. 90 by default, as in etcd's bucket of keys.
    pub const fn fill_percent(mut self, percent: u32) -> Self {
        self.fill_percent = percent;
        self
    }

    /// Stores a list of free pages, an empty one. etcd does so everywhere but on Linux; bbolt opens either.
    pub const fn freelist(mut self) -> Self {
        self.freelist = true;
        self
    }

    /// The number of the transaction that is said to have written the file. 2 by default.
    pub const fn txid(mut self, txid: u64) -> Self {
        self.txid = txid;
        self
    }

    /// Starts a file.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for a page size that is no power of two from 1 KiB to 16 MiB or another percentage; else
    /// when `out` cannot be written.
    pub fn start<W: Write + Seek>(self, out: W) -> Result<Writer<W>> {
        let sizes = MIN_PAGE_SIZE..=MAX_PAGE_SIZE;
        if !self.page_size.is_power_of_two() || !sizes.contains(&self.page_size) {
            return Err(Error::invalid(format!("impossible page size {}", self.page_size)));
        }
        if !(10..=100).contains(&self.fill_percent) || self.txid == 0 {
            return Err(Error::invalid("fill_percent must be 10 to 100, and txid not 0"));
        }
        let page_size = self.page_size as usize;
        let mut out = BufWriter::with_capacity(BUFFER, out);
        // The meta pages are written last: until then the file is no database.
        let metas = out.write_all(&vec![0; 2 * page_size]);
        metas.map_err(|error| Error::io("cannot write the meta pages", error))?;
        let fill = page_size / 100 * self.fill_percent as usize
            + page_size % 100 * self.fill_percent as usize / 100;
        Ok(Writer {
            sink: PageSink::new(out, page_size, 2),
            stack: vec![(Vec::new(), Tree::new(fill))],
            options: self,
            fill,
        })
    }
}

/// Makes a fresh database out of entries that come in order.
///
/// Pages are written as they fill up, so that memory stays at a few pages whatever is written. The result is what a
/// defragmented file looks like: no free page, leaves filled to nine tenths. `finish` flushes; to sync the file is the
/// caller's part.
///
/// ```
/// use etcdkit_datadir::bbolt::{Bbolt, WriterOptions};
/// use std::io::Cursor;
///
/// let options = WriterOptions::default().page_size(16 << 10);
/// let mut writer = options.start(Cursor::new(Vec::new()))?;
/// writer.begin_bucket(b"key")?;
/// for number in 0..10_000_u32 {
///     writer.put(&number.to_be_bytes(), &[0; 100])?;
/// }
/// writer.end_bucket()?;
/// let report = Bbolt::open(writer.finish()?)?.check()?;
/// assert!(report.is_sound());
/// assert_eq!((report.entries, report.free_pages), (10_000, 0));
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
pub struct Writer<W: Write + Seek> {
    sink: PageSink<BufWriter<W>>,
    /// The open buckets with their names; the first one is the root.
    stack: Vec<(Vec<u8>, Tree)>,
    options: WriterOptions,
    fill: usize,
}

impl<W: Write + Seek> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<W: Write + Seek> Writer<W> {
    /// Starts a file with pages of 4 KiB. [`WriterOptions::start`] starts others.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written.
    pub fn new(out: W) -> Result<Self> {
        WriterOptions::default().start(out)
    }

    /// Opens a bucket in the bucket that is open, at first in the root. What follows goes into it.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when 64 are open already. The name's order is checked when the bucket ends.
    pub fn begin_bucket(&mut self, name: &[u8]) -> Result<()> {
        if self.stack.len() > super::cursor::MAX_DEPTH {
            return Err(Error::invalid("buckets are nested too deeply"));
        }
        self.stack.push((name.to_vec(), Tree::new(self.fill)));
        Ok(())
    }

    /// Sets the open bucket's sequence.
    pub fn set_sequence(&mut self, sequence: u64) {
        if let Some((_, tree)) = self.stack.last_mut() {
            tree.sequence = sequence;
        }
    }

    /// Adds an entry to the open bucket.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when no bucket is open, or the key is empty, too long or not greater than the one before; else
    /// when the file cannot be written.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match self.stack.as_mut_slice() {
            [_, .., (_, tree)] => tree.put(&mut self.sink, key, value),
            _ => Err(Error::invalid("no bucket is open: the root holds only buckets")),
        }
    }

    /// Closes the open bucket.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when none is open or its name is not greater than the one before in its parent; else when the
    /// file cannot be written.
    pub fn end_bucket(&mut self) -> Result<()> {
        if self.stack.len() < 2 {
            return Err(Error::invalid("no bucket is open"));
        }
        let Some((name, tree)) = self.stack.pop() else { return Ok(()) };
        let value = tree.finish_bucket(&mut self.sink)?;
        match self.stack.last_mut() {
            Some((_, parent)) => parent.put_bucket(&mut self.sink, &name, &value),
            None => Ok(()),
        }
    }

    /// Writes the root and the meta pages, and gives back the file, flushed but not synced.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` when a bucket is still open; else when the file cannot be written.
    pub fn finish(mut self) -> Result<W> {
        let (Some((_, root)), true) = (self.stack.pop(), self.stack.is_empty()) else {
            return Err(Error::invalid("a bucket is still open"));
        };
        let sequence = root.sequence;
        let root = root.finish(&mut self.sink)?;
        let freelist =
            if self.options.freelist { Some(self.sink.write_empty_freelist()?) } else { None };
        let meta = Meta {
            page_size: self.options.page_size,
            root,
            sequence,
            freelist,
            high_water: self.sink.next(),
            txid: self.options.txid,
        };
        let mut out = self
            .sink
            .into_inner()
            .into_inner()
            .map_err(|error| Error::io("cannot write the database", error.into_error()))?;
        write_metas(&mut out, meta)
            .map_err(|error| Error::io("cannot write the meta pages", error))?;
        Ok(out)
    }
}

/// Writes both meta pages, the older one as if it came from the transaction before.
pub(super) fn write_metas<W: Write + Seek>(out: &mut W, meta: Meta) -> std::io::Result<()> {
    let page_size = u64::from(meta.page_size);
    for page in 0..2 {
        let older = page != meta.txid % 2;
        let meta = Meta { txid: meta.txid - u64::from(older), ..meta };
        let bytes: [u8; META_LEN] = meta.to_bytes(page);
        out.seek(SeekFrom::Start(page * page_size))?;
        out.write_all(&bytes)?;
    }
    out.flush()
}
