//! Building a bucket's tree from sorted entries, pages in the order in which they fill up.
//!
//! A tree holds one page of each level in memory. Branch pages always get two children at least: bbolt merges pages
//! on deletion, and a branch with a single child is what it does not expect.

use std::io::{self, Write};

use super::page::{
    BRANCH, BUCKET_FLAG, BUCKET_HEADER, ELEMENT, FREELIST, HEADER, Header, LEAF, MAX_KEY, MAX_VALUE,
};
use crate::error::{Error, Result};

/// Where pages are written to, one after the other.
#[derive(Debug)]
pub(super) struct PageSink<W> {
    out: W,
    page_size: usize,
    next: u64,
}

impl<W: Write> PageSink<W> {
    /// The first page will have the number `next`; `out` stands at its place.
    pub(super) const fn new(out: W, page_size: usize, next: u64) -> Self {
        Self { out, page_size, next }
    }

    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    pub(super) const fn page_size(&self) -> usize {
        self.page_size
    }

    pub(super) const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    pub(super) fn into_inner(self) -> W {
        self.out
    }

    /// Writes a page, with overflow if it needs some, and returns its number.
    fn write(&mut self, flags: u16, count: usize, parts: &[&[u8]]) -> Result<u64> {
        let length = HEADER + parts.iter().map(|part| part.len()).sum::<usize>();
        let pages = length.div_ceil(self.page_size);
        let id = self.next;
        let count = u16::try_from(count).map_err(|_| Error::invalid("too many elements"))?;
        let overflow = u32::try_from(pages - 1).map_err(|_| Error::invalid("too large a page"))?;
        let header = Header { id, flags, count, overflow };
        let mut write = || {
            self.out.write_all(&header.to_bytes())?;
            for part in parts {
                self.out.write_all(part)?;
            }
            let padding = pages * self.page_size - length;
            io::copy(&mut io::Read::take(io::repeat(0), padding as u64), &mut self.out)
        };
        write().map_err(|error| Error::io("cannot write a page", error).at_page(id))?;
        self.next += pages as u64;
        Ok(id)
    }

    pub(super) fn write_empty_freelist(&mut self) -> Result<u64> {
        self.write(FREELIST, 0, &[])
    }
}

/// Entries of a leaf page that is being filled.
#[derive(Debug, Default)]
pub(super) struct LeafPage {
    /// Flags, length of the key, length of the value.
    elements: Vec<(u32, u32, u32)>,
    data: Vec<u8>,
    first_key: usize,
}

impl LeafPage {
    pub(super) fn len(&self) -> usize {
        HEADER + self.elements.len() * ELEMENT + self.data.len()
    }

    pub(super) fn push(&mut self, flags: u32, key: &[u8], value: &[u8]) -> Result<()> {
        let length =
            |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| Error::invalid("too long"));
        if self.elements.is_empty() {
            self.first_key = key.len();
        }
        self.elements.push((flags, length(key)?, length(value)?));
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
        Ok(())
    }

    fn first_key(&self) -> &[u8] {
        self.data.get(..self.first_key).unwrap_or_default()
    }

    fn element_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.elements.len() * ELEMENT);
        let mut data = 0;
        for (index, &(flags, key, value)) in self.elements.iter().enumerate() {
            let position = (self.elements.len() - index) * ELEMENT + data;
            for number in [flags, u32::try_from(position).unwrap_or(u32::MAX), key, value] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            data += key as usize + value as usize;
        }
        bytes
    }

    pub(super) fn write<W: Write>(&mut self, sink: &mut PageSink<W>) -> Result<u64> {
        let elements = self.element_bytes();
        let id = sink.write(LEAF, self.elements.len(), &[&elements, &self.data])?;
        self.elements.clear();
        self.data.clear();
        Ok(id)
    }
}

/// Children of a branch page that is being filled.
#[derive(Debug, Default)]
pub(super) struct BranchPage {
    children: Vec<(Vec<u8>, u64)>,
    data: usize,
}

impl BranchPage {
    pub(super) fn push(&mut self, key: Vec<u8>, child: u64) {
        self.data += key.len();
        self.children.push((key, child));
    }

    fn len(&self) -> usize {
        HEADER + self.children.len() * ELEMENT + self.data
    }

    /// Writes a page of the first `count` children, and returns its first key and number.
    pub(super) fn write<W: Write>(
        &mut self,
        count: usize,
        sink: &mut PageSink<W>,
    ) -> Result<(Vec<u8>, u64)> {
        let mut elements = Vec::with_capacity(count * ELEMENT);
        let mut data = Vec::new();
        for (index, (key, child)) in self.children[..count].iter().enumerate() {
            let position = (count - index) * ELEMENT + data.len();
            for number in [position, key.len()] {
                elements
                    .extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
            }
            elements.extend_from_slice(&child.to_le_bytes());
            data.extend_from_slice(key);
        }
        let id = sink.write(BRANCH, count, &[&elements, &data])?;
        let mut written = self.children.drain(..count);
        let first = written.next().map(|(key, _)| key).unwrap_or_default();
        drop(written);
        self.data -= data.len();
        Ok((first, id))
    }

    pub(super) const fn count(&self) -> usize {
        self.children.len()
    }
}

/// A bucket's tree that is being built.
#[derive(Debug)]
pub(super) struct Tree {
    leaf: LeafPage,
    levels: Vec<BranchPage>,
    last_key: Vec<u8>,
    fill: usize,
    pub(super) has_buckets: bool,
    pub(super) sequence: u64,
}

/// How many children stay back when a branch page is written, so that the last one of its level gets its two.
const KEPT: usize = 2;

impl Tree {
    /// Pages are filled up to `fill` bytes.
    pub(super) fn new(fill: usize) -> Self {
        Self {
            leaf: LeafPage::default(),
            levels: Vec::new(),
            last_key: Vec::new(),
            fill,
            has_buckets: false,
            sequence: 0,
        }
    }

    pub(super) fn put<W: Write>(
        &mut self,
        sink: &mut PageSink<W>,
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        self.push(sink, 0, key, value)
    }

    /// Adds a bucket by the value that [`Self::finish_bucket`] made of it.
    pub(super) fn put_bucket<W: Write>(
        &mut self,
        sink: &mut PageSink<W>,
        name: &[u8],
        value: &[u8],
    ) -> Result<()> {
        self.has_buckets = true;
        self.push(sink, BUCKET_FLAG, name, value)
    }

    fn push<W: Write>(
        &mut self,
        sink: &mut PageSink<W>,
        flags: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        if key.is_empty() || key.len() > MAX_KEY || value.len() >= MAX_VALUE {
            let (key, value) = (key.len(), value.len());
            return Err(Error::invalid(format!("a key of {key} and a value of {value} bytes")));
        }
        if key <= self.last_key.as_slice() {
            let key = key.escape_ascii();
            return Err(Error::invalid(format!("key {key} is not greater than the one before")));
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        let needed = self.leaf.len() + ELEMENT + key.len() + value.len();
        if self.leaf.elements.len() >= 2 && needed > self.fill {
            self.write_leaf(sink)?;
        }
        self.leaf.push(flags, key, value)
    }

    fn write_leaf<W: Write>(&mut self, sink: &mut PageSink<W>) -> Result<()> {
        let key = self.leaf.first_key().to_vec();
        let id = self.leaf.write(sink)?;
        self.add_child(sink, 0, key, id)
    }

    fn add_child<W: Write>(
        &mut self,
        sink: &mut PageSink<W>,
        level: usize,
        key: Vec<u8>,
        child: u64,
    ) -> Result<()> {
        let (mut level, mut key, mut child) = (level, key, child);
        loop {
            if level == self.levels.len() {
                self.levels.push(BranchPage::default());
            }
            let branch = &mut self.levels[level];
            let full = branch.len() + ELEMENT + key.len() > self.fill;
            if !full || branch.count() < 2 * KEPT {
                branch.push(key, child);
                return Ok(());
            }
            let written = branch.write(branch.count() - KEPT, sink)?;
            branch.push(key, child);
            (key, child) = written;
            level += 1;
        }
    }

    /// Writes what is left and returns the page that the tree starts at.
    pub(super) fn finish<W: Write>(mut self, sink: &mut PageSink<W>) -> Result<u64> {
        if self.levels.is_empty() {
            return self.leaf.write(sink);
        }
        if !self.leaf.elements.is_empty() {
            self.write_leaf(sink)?;
        }
        let mut level = 0;
        loop {
            let top = level + 1 == self.levels.len();
            let branch = &mut self.levels[level];
            if top && branch.count() == 1 {
                return Ok(branch.children[0].1);
            }
            let (key, id) = branch.write(branch.count(), sink)?;
            if top {
                return Ok(id);
            }
            level += 1;
            self.add_child(sink, level, key, id)?;
        }
    }

    /// Finishes a bucket and returns the value of its entry: inline if it is small, as bbolt itself does.
    pub(super) fn finish_bucket<W: Write>(self, sink: &mut PageSink<W>) -> Result<Vec<u8>> {
        let sequence = self.sequence;
        let small = self.leaf.len() <= sink.page_size() / 4;
        let inline = self.levels.is_empty() && !self.has_buckets && small;
        let mut value = Vec::with_capacity(BUCKET_HEADER);
        if inline {
            let count = u16::try_from(self.leaf.elements.len()).unwrap_or(u16::MAX);
            value.extend_from_slice(&0_u64.to_le_bytes());
            value.extend_from_slice(&sequence.to_le_bytes());
            value.extend_from_slice(&Header { id: 0, flags: LEAF, count, overflow: 0 }.to_bytes());
            value.extend_from_slice(&self.leaf.element_bytes());
            value.extend_from_slice(&self.leaf.data);
        } else {
            let root = self.finish(sink)?;
            value.extend_from_slice(&root.to_le_bytes());
            value.extend_from_slice(&sequence.to_le_bytes());
        }
        Ok(value)
    }
}
