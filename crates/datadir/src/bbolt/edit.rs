//! Replacing buckets of a file without touching its pages: new pages go behind the last used one, and new meta pages
//! make them count. What is replaced becomes free, and bbolt finds it when it opens the file.
//!
//! This is how restore changes a copy of a snapshot: whatever its size, a few pages are written.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};

use super::cursor::Value;
use super::meta::Meta;
use super::page::{BRANCH, Header, LEAF, branch_element, leaf_element, slice};
use super::reader::{Bbolt, Bucket};
use super::tree::{BranchPage, LeafPage, PageSink, Tree};
use super::writer::write_metas;
use crate::error::{Defect, Error, ErrorKind, Result};

/// What the small buckets that are replaced may hold together.
const MAX_ENTRIES: usize = 16 << 20;

/// Sorted entries of a small bucket.
pub(crate) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Changes to a file that take effect by [`commit`](Self::commit).
pub(crate) struct Editor<F> {
    db: Bbolt<F>,
    sink: PageSink<Vec<u8>>,
    /// The root bucket's entries: the values of buckets.
    root: Entries,
    fill: usize,
}

impl<F: Read + Write + Seek> Editor<F> {
    pub(crate) fn open(file: F) -> Result<Self> {
        let mut db = Bbolt::open(file)?;
        let meta = *db.meta();
        let page_size = meta.page_size as usize;
        let sink = PageSink::new(Vec::new(), page_size, meta.high_water);
        let root = db.buckets()?.into_iter().map(|(name, bucket)| {
            let mut value = bucket.root.to_le_bytes().to_vec();
            value.extend_from_slice(&bucket.sequence.to_le_bytes());
            value.extend_from_slice(bucket.inline.as_deref().unwrap_or_default());
            (name, value)
        });
        let root = root.collect();
        Ok(Self { db, sink, root, fill: page_size * 9 / 10 })
    }

    /// All entries of a small bucket; none if it does not exist.
    pub(crate) fn read(&mut self, name: &[u8]) -> Result<Entries> {
        let mut all = Entries::new();
        let Some(bucket) = self.db.bucket(name)? else { return Ok(all) };
        let mut held = 0;
        let mut entries = self.db.entries(&bucket);
        while let Some(entry) = entries.next_entry()? {
            let Value::Bytes(value) = entry.value else {
                return Err(Error::corrupt(Defect::InvalidBucket, "a bucket where etcd has none"));
            };
            held += entry.key.len() + value.len();
            if held > MAX_ENTRIES {
                let message = format!("bucket {} is too large", name.escape_ascii());
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
            all.insert(entry.key.to_vec(), value.to_vec());
        }
        Ok(all)
    }

    /// Gives a bucket new entries, all of them.
    pub(crate) fn replace(&mut self, name: &[u8], entries: &Entries) -> Result<()> {
        let mut tree = Tree::new(self.fill);
        for (key, value) in entries {
            tree.put(&mut self.sink, key, value)?;
        }
        let value = tree.finish_bucket(&mut self.sink)?;
        self.root.insert(name.to_vec(), value);
        Ok(())
    }

    /// Adds an entry behind a bucket's last one.
    pub(crate) fn append(&mut self, name: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
        let bucket = self.db.bucket(name)?;
        let Some(root) = bucket.as_ref().and_then(Bucket::root) else {
            let mut entries = self.read(name)?;
            entries.insert(key.to_vec(), value.to_vec());
            return self.replace(name, &entries);
        };
        let mut path = Vec::new();
        let mut id = root;
        let leaf = loop {
            let mut page = Vec::new();
            let header = self.db.source.page(id, &mut page)?;
            let wrong = |message: &str| Error::corrupt(Defect::WrongPageType, message).at_page(id);
            match header.flags {
                LEAF => break (header, page),
                BRANCH if header.count > 0 && path.len() < super::cursor::MAX_DEPTH => {
                    let fault = |(defect, message)| Error::corrupt(defect, message).at_page(id);
                    let count = usize::from(header.count);
                    let last = branch_element(&page, count, count - 1).map_err(fault)?;
                    path.push((id, header, page));
                    id = last.child;
                }
                _ => return Err(wrong("no page of a tree")),
            }
        };
        let (header, page) = leaf;
        let count = usize::from(header.count);
        let mut leaf = LeafPage::default();
        for index in 0..count {
            let fault = |(defect, message)| Error::corrupt(defect, message).at_page(id);
            let element = leaf_element(&page, count, index).map_err(fault)?;
            let flags = u32::from(element.is_bucket);
            leaf.push(flags, slice(&page, element.key), slice(&page, element.value))?;
        }
        leaf.push(0, key, value)?;
        let fits = count == 0 || leaf.len() <= self.sink.page_size();
        let mut changed = if fits {
            (leaf.write(&mut self.sink)?, None)
        } else {
            let mut leaf = LeafPage::default();
            leaf.push(0, key, value)?;
            (id, Some(leaf.write(&mut self.sink)?))
        };
        while let Some((id, header, page)) = path.pop() {
            changed = (self.replace_last_child(id, header, &page, changed, key)?, None);
        }
        if let (old, Some(new)) = changed {
            let first = leaf_element(&page, count, 0)
                .map_err(|(defect, message)| Error::corrupt(defect, message).at_page(id))?;
            let mut branch = BranchPage::default();
            branch.push(slice(&page, first.key).to_vec(), old);
            branch.push(key.to_vec(), new);
            changed = (branch.write(2, &mut self.sink)?.1, None);
        }
        let mut value = changed.0.to_le_bytes().to_vec();
        let sequence = bucket.map_or(0, |bucket| bucket.sequence);
        value.extend_from_slice(&sequence.to_le_bytes());
        self.root.insert(name.to_vec(), value);
        Ok(())
    }

    /// Writes a branch anew with another last child, or one more behind it. It may grow beyond a page, which bbolt
    /// divides when it next writes there.
    fn replace_last_child(
        &mut self,
        id: u64,
        header: Header,
        page: &[u8],
        (last, more): (u64, Option<u64>),
        key: &[u8],
    ) -> Result<u64> {
        let count = usize::from(header.count);
        let mut branch = BranchPage::default();
        for index in 0..count {
            let element = branch_element(page, count, index)
                .map_err(|(defect, message)| Error::corrupt(defect, message).at_page(id))?;
            let number = if index + 1 == count { last } else { element.child };
            branch.push(slice(page, element.key).to_vec(), number);
        }
        if let Some(more) = more {
            branch.push(key.to_vec(), more);
        }
        Ok(branch.write(branch.count(), &mut self.sink)?.1)
    }

    /// Writes the changes and returns the file and its new length. Neither is synced or cut.
    pub(crate) fn commit(mut self) -> Result<(F, u64)> {
        let mut tree = Tree::new(self.fill);
        for (name, value) in &self.root {
            tree.put_bucket(&mut self.sink, name, value)?;
        }
        let old = *self.db.meta();
        let root = tree.finish(&mut self.sink)?;
        let high_water = self.sink.next();
        let txid = old.txid.saturating_add(2);
        let meta = Meta { root, freelist: None, high_water, txid, ..old };
        let page_size = u64::from(meta.page_size);
        let mut file = self.db.into_inner();
        let pages = std::mem::take(self.sink.get_mut());
        debug_assert_eq!(pages.len() as u64, (high_water - old.high_water) * page_size);
        let mut write = || {
            file.seek(SeekFrom::Start(old.high_water * page_size))?;
            file.write_all(&pages)?;
            write_metas(&mut file, meta)
        };
        write().map_err(|error| Error::io("cannot write the database", error))?;
        Ok((file, high_water * page_size))
    }
}
