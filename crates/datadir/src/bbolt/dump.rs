//! A database as text, to look at.

use std::io::{self, Read, Seek, Write};

use super::cursor::{MAX_DEPTH, Value};
use super::reader::{Bbolt, Bucket};
use crate::error::{Defect, Error, Result};

/// How much of a database is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct DumpOptions {
    entries: bool,
    max_bytes: usize,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self { entries: true, max_bytes: 64 }
    }
}

impl DumpOptions {
    /// Prints only the names of buckets, not what is in them.
    pub const fn buckets_only(mut self) -> Self {
        self.entries = false;
        self
    }

    /// Cuts keys and values after so many bytes. 64 by default.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
}

impl<R: Read + Seek> Bbolt<R> {
    /// Prints the meta page, the buckets and their entries. Bytes that are not printable ASCII are escaped.
    ///
    /// ```
    /// use etcdkit_datadir::bbolt::{Bbolt, DumpOptions, Writer};
    /// use std::io::Cursor;
    ///
    /// let mut writer = Writer::new(Cursor::new(Vec::new()))?;
    /// writer.begin_bucket(b"meta")?;
    /// writer.put(b"term", &[0, 1])?;
    /// writer.end_bucket()?;
    /// let mut text = Vec::new();
    /// Bbolt::open(writer.finish()?)?.dump(&mut text, DumpOptions::default())?;
    /// let text = String::from_utf8(text).expect("it is ASCII");
    /// assert!(text.ends_with("bucket meta (inline)\n  term = \\x00\\x01\n"), "{text}");
    /// # Ok::<(), etcdkit_datadir::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the file is damaged or cannot be read, or `out` cannot be written.
    pub fn dump(&mut self, out: &mut impl Write, options: DumpOptions) -> Result<()> {
        let meta = *self.meta();
        let freelist = meta.freelist.map_or_else(|| "none".to_owned(), |page| page.to_string());
        writeln!(
            out,
            "page size {}, {} pages, root page {}, freelist {freelist}, transaction {}",
            meta.page_size, meta.high_water, meta.root, meta.txid
        )
        .map_err(cannot_write)?;
        let root = self.root();
        self.begin_walk();
        let result = self.dump_bucket(&root, out, options, 0);
        self.end_walk();
        result
    }

    fn dump_bucket(
        &mut self,
        bucket: &Bucket,
        out: &mut impl Write,
        options: DumpOptions,
        depth: usize,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::corrupt(Defect::TooDeep, "buckets are nested too deeply"));
        }
        let mut buckets = Vec::new();
        let mut entries = self.entries(bucket);
        let mut held = 0;
        while let Some(entry) = entries.next_entry()? {
            match entry.value {
                Value::Bytes(value) if options.entries => {
                    let (key, value) = (shown(entry.key, options), shown(value, options));
                    writeln!(out, "{:width$}{key} = {value}", "", width = 2 * depth)
                        .map_err(cannot_write)?;
                }
                Value::Bytes(_) => {}
                Value::Bucket(bucket) => {
                    held += entry.key.len() + bucket.inline.as_ref().map_or(0, |page| page.len());
                    if held > super::source::MAX_PAGE_BYTES {
                        let message = "too many nested buckets to list";
                        return Err(Error::new(crate::ErrorKind::LimitExceeded, message));
                    }
                    buckets.push((entry.key.to_vec(), bucket));
                }
            }
        }
        for (name, bucket) in buckets {
            let place =
                bucket.root().map_or_else(|| "inline".to_owned(), |page| format!("page {page}"));
            writeln!(
                out,
                "{:width$}bucket {} ({place})",
                "",
                shown(&name, options),
                width = 2 * depth
            )
            .map_err(cannot_write)?;
            self.dump_bucket(&bucket, out, options, depth + 1)?;
        }
        Ok(())
    }
}

fn shown(bytes: &[u8], options: DumpOptions) -> String {
    match bytes.get(..options.max_bytes) {
        Some(start) if start.len() < bytes.len() => {
            format!("{}… ({} bytes)", start.escape_ascii(), bytes.len())
        }
        _ => bytes.escape_ascii().to_string(),
    }
}

fn cannot_write(error: io::Error) -> Error {
    Error::io("cannot write the dump", error)
}
