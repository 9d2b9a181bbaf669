//! Offline defragmentation: a database copied into a fresh one without free pages.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::ops::ControlFlow;
use std::path::Path;

use crate::bbolt::{Bbolt, Bucket, Value, Writer, WriterOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{self, Draft};
use crate::progress::{Progress, Stage};

/// Sizes before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Defragmented {
    /// Bytes of the database before.
    pub before: u64,
    /// Bytes after.
    pub after: u64,
}

const REPORT_BYTES: u64 = 1 << 20;

/// Copies a database into a fresh file, checked before and without free pages. Nested buckets and sequences are kept.
///
/// ```
/// use etcdkit_datadir::bbolt::{Bbolt, WriterOptions};
/// use etcdkit_datadir::defragment;
/// use std::io::Cursor;
///
/// let mut writer = WriterOptions::default().fill_percent(10).start(Cursor::new(Vec::new()))?;
/// writer.begin_bucket(b"key")?;
/// for number in 0..1000_u32 {
///     writer.put(&number.to_be_bytes(), &[0; 100])?;
/// }
/// writer.end_bucket()?;
/// let mut loose = Bbolt::open(writer.finish()?)?;
///
/// let dense = defragment::copy(&mut loose, Cursor::new(Vec::new()))?;
/// let mut dense = Bbolt::open(dense)?;
/// assert!(dense.size() * 4 < loose.size());
/// assert_eq!(dense.check()?.entries, 1000);
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
///
/// # Errors
///
/// `Corrupt` when the database is damaged, else when something cannot be read or written.
pub fn copy<R: Read + Seek, W: Write + Seek>(db: &mut Bbolt<R>, out: W) -> Result<W> {
    copy_with(db, out, &mut |_| ControlFlow::Continue(()))
}

/// Like [`copy`], and says how far it is.
///
/// # Errors
///
/// Those of [`copy`], and `Cancelled`.
pub fn copy_with<R: Read + Seek, W: Write + Seek>(
    db: &mut Bbolt<R>,
    out: W,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<W> {
    // The check visits each page once. After it, going through a tree can't take longer than the file is long.
    db.check()?.into_result()?;
    let options = WriterOptions::default().page_size(db.meta().page_size);
    let total = db.size();
    let mut copy = Copy { db, out: options.start(out)?, progress, done: 0, reported: 0, total };
    let root = copy.db.root();
    copy.bucket(&root)?;
    copy.out.finish()
}

struct Copy<'a, R, W: Write + Seek> {
    db: &'a mut Bbolt<R>,
    out: Writer<W>,
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    done: u64,
    reported: u64,
    total: u64,
}

impl<R: Read + Seek, W: Write + Seek> Copy<'_, R, W> {
    /// Copies what is in a bucket. The depth of buckets is bounded, as the check has found.
    fn bucket(&mut self, bucket: &Bucket) -> Result<()> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let mut nested = None;
            let mut entries = self.db.entries(bucket);
            if let Some(after) = &after {
                entries.seek(after)?;
            }
            while let Some(entry) = entries.next_entry()? {
                match entry.value {
                    Value::Bytes(value) => {
                        self.out.put(entry.key, value)?;
                        self.done += (entry.key.len() + value.len()) as u64;
                        if self.done - self.reported >= REPORT_BYTES {
                            self.reported = self.done;
                            let (done, total) = (self.done, self.total);
                            Progress { stage: Stage::Defragmenting, done, total }
                                .report(self.progress)?;
                        }
                    }
                    Value::Bucket(_) if after.as_deref() == Some(entry.key) => {}
                    Value::Bucket(bucket) => {
                        nested = Some((entry.key.to_vec(), bucket));
                        break;
                    }
                }
            }
            let Some((name, nested)) = nested else { return Ok(()) };
            self.out.begin_bucket(&name)?;
            self.out.set_sequence(nested.sequence());
            self.bucket(&nested)?;
            self.out.end_bucket()?;
            after = Some(name);
        }
    }
}

/// Defragments the database of a data directory in place, while no etcd runs on it.
///
/// The new file is complete, checked against nothing but written and synced, before it takes the old one's name; until
/// then, and after any failure, the old one is untouched.
///
/// # Errors
///
/// `InUse` when a process holds the database open, else those of [`copy_with`].
pub fn data_dir(
    data_dir: &Path,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Defragmented> {
    let path = data_dir.join("member").join("snap").join("db");
    let file = fs::OpenOptions::new().read(true).write(true).open(&path);
    let file = file.map_err(|error| Error::io("cannot open", error).in_file(&path))?;
    files::lock(&file, &path)?;
    let mut db = Bbolt::open(&file).map_err(|error| error.in_file(&path))?;
    let draft = Draft::of(&path)?;
    let out = files::create_file(draft.path())?;
    let before = db.size();
    let out: File = copy_with(&mut db, out, progress).map_err(|error| error.in_file(&path))?;
    let after = out.metadata().map_err(|error| Error::io("cannot read", error))?.len();
    Progress { stage: Stage::Syncing, done: 0, total: after }.report(progress)?;
    files::sync_file(&out, draft.path())?;
    draft.publish()?;
    Ok(Defragmented { before, after })
}

/// The error for a database that somebody holds.
pub(crate) fn in_use(path: &Path) -> Error {
    Error::new(ErrorKind::InUse, "another process, probably etcd, holds it open").in_file(path)
}
