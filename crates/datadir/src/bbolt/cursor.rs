//! Iteration over one bucket in key order.

use std::fmt;
use std::io::{Read, Seek};
use std::sync::Arc;

use super::page::{BRANCH, Fault, Header, LEAF, LeafElement, branch_element, leaf_element, slice};
use super::reader::{Bbolt, Bucket};
use super::source::MAX_PAGE_BYTES;
use crate::error::{Defect, Error, ErrorKind, Result};

/// No tree is as deep: each level has at least twice as many pages as the one above.
pub(super) const MAX_DEPTH: usize = 64;

/// An entry of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// The key, or the name of a nested bucket.
    pub key: &'a [u8],
    /// What it stands for.
    pub value: Value<'a>,
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A plain value.
    Bytes(&'a [u8]),
    /// A nested bucket.
    Bucket(Bucket),
}

/// Iterates over a bucket in key order, one page at a time.
///
/// It ends for good at the first error, and at damage it does end: keys that do not ascend, and trees that refer to
/// more pages than there are, are errors.
///
/// ```
/// use etcdkit_datadir::bbolt::{Bbolt, Value, Writer};
/// use std::io::Cursor;
///
/// let mut writer = Writer::new(Cursor::new(Vec::new()))?;
/// writer.begin_bucket(b"numbers")?;
/// for number in 0..1000_u32 {
///     writer.put(&number.to_be_bytes(), b"value")?;
/// }
/// writer.end_bucket()?;
/// let mut db = Bbolt::open(writer.finish()?)?;
///
/// let numbers = db.bucket(b"numbers")?.expect("it was written");
/// let mut entries = db.entries(&numbers);
/// entries.seek(&998_u32.to_be_bytes())?;
/// let entry = entries.next_entry()?.expect("there are two left");
/// assert_eq!(entry.key, 998_u32.to_be_bytes());
/// assert_eq!(entry.value, Value::Bytes(b"value"));
/// assert!(entries.next_entry()?.is_some());
/// assert!(entries.next_entry()?.is_none());
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
pub struct Cursor<'a, R> {
    db: &'a mut Bbolt<R>,
    root: u64,
    inline: Option<Arc<[u8]>>,
    state: State,
    branches: Vec<Branch>,
    /// The present leaf: its page, number of entries, and the next one.
    leaf: Vec<u8>,
    leaf_id: u64,
    count: usize,
    index: usize,
    /// Where the previous key of this leaf lies, and the last key of the leaf before.
    previous: Option<(usize, usize)>,
    before: Option<Vec<u8>>,
    loaded: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Inside,
    Ended,
}

struct Branch {
    page: Vec<u8>,
    id: u64,
    count: usize,
    /// The child that the cursor is in.
    index: usize,
}

/// Which child to enter on the way down.
#[derive(Clone, Copy)]
enum Way<'k> {
    First,
    Last,
    Key(&'k [u8]),
}

impl<R> fmt::Debug for Cursor<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("page", &self.leaf_id).finish_non_exhaustive()
    }
}

impl<'a, R: Read + Seek> Cursor<'a, R> {
    pub(super) fn new(db: &'a mut Bbolt<R>, bucket: &Bucket) -> Self {
        Self {
            db,
            root: bucket.root,
            inline: bucket.inline.clone(),
            state: State::Fresh,
            branches: Vec::new(),
            leaf: Vec::new(),
            leaf_id: bucket.root,
            count: 0,
            index: 0,
            previous: None,
            before: None,
            loaded: 0,
        }
    }

    /// The next entry, or `None` after the last.
    ///
    /// # Errors
    ///
    /// When the file is damaged there or cannot be read.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>> {
        let element = match self.advance() {
            Ok(Some(element)) => element,
            Ok(None) => {
                self.state = State::Ended;
                return Ok(None);
            }
            Err(error) => {
                self.state = State::Ended;
                return Err(error);
            }
        };
        let value = slice(&self.leaf, element.value);
        let value = if element.is_bucket {
            Value::Bucket(Bucket::parse(value).map_err(|error| error.at_page(self.leaf_id))?)
        } else {
            Value::Bytes(value)
        };
        Ok(Some(Entry { key: slice(&self.leaf, element.key), value }))
    }

    /// Moves to the first entry whose key is `key` or greater.
    ///
    /// # Errors
    ///
    /// When the way there is damaged or cannot be read.
    pub fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.restart(Way::Key(key))?;
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let element = self.element(middle)?;
            if slice(&self.leaf, element.key) < key { low = middle + 1 } else { high = middle }
        }
        self.index = low;
        Ok(())
    }

    /// Moves to the last entry.
    ///
    /// # Errors
    ///
    /// When the way there is damaged or cannot be read.
    pub fn seek_last(&mut self) -> Result<()> {
        self.restart(Way::Last)?;
        self.index = self.count.saturating_sub(1);
        Ok(())
    }

    fn restart(&mut self, way: Way<'_>) -> Result<()> {
        self.state = State::Ended;
        self.branches.clear();
        self.before = None;
        self.previous = None;
        self.loaded = 0;
        self.enter(way)?;
        self.state = State::Inside;
        Ok(())
    }

    fn enter(&mut self, way: Way<'_>) -> Result<()> {
        match self.inline.clone() {
            Some(page) => {
                self.leaf.clear();
                self.leaf.extend_from_slice(&page);
                self.start_leaf(Header::parse(&page), 0)
            }
            None => self.descend(self.root, way),
        }
    }

    /// Where the next entry lies, in whichever leaf.
    fn advance(&mut self) -> Result<Option<LeafElement>> {
        match self.state {
            State::Ended => return Ok(None),
            State::Fresh => {
                self.state = State::Inside;
                self.enter(Way::First)?;
            }
            State::Inside => {}
        }
        while self.index >= self.count {
            if !self.next_leaf()? {
                return Ok(None);
            }
        }
        let element = self.element(self.index)?;
        self.in_order(element)?;
        self.previous = Some(element.key);
        self.index += 1;
        Ok(Some(element))
    }

    fn element(&self, index: usize) -> Result<LeafElement> {
        leaf_element(&self.leaf, self.count, index).map_err(|fault| self.fault(fault))
    }

    fn fault(&self, (defect, message): Fault) -> Error {
        Error::corrupt(defect, message).at_page(self.leaf_id)
    }

    fn in_order(&self, element: LeafElement) -> Result<()> {
        let key = slice(&self.leaf, element.key);
        let previous = match self.previous {
            Some(previous) => Some(slice(&self.leaf, previous)),
            None => self.before.as_deref(),
        };
        if previous.is_some_and(|previous| previous >= key) {
            let message = format!("element {} is not greater than the key before", self.index);
            return Err(self.fault((Defect::KeyOrder, message)));
        }
        Ok(())
    }

    fn next_leaf(&mut self) -> Result<bool> {
        if let Some(previous) = self.previous.take() {
            self.before = Some(slice(&self.leaf, previous).to_vec());
        }
        while let Some(branch) = self.branches.last_mut() {
            branch.index += 1;
            if branch.index < branch.count {
                let fault = |(defect, message)| Error::corrupt(defect, message).at_page(branch.id);
                let element =
                    branch_element(&branch.page, branch.count, branch.index).map_err(fault)?;
                let bound = slice(&branch.page, element.key);
                if self.before.as_deref().is_some_and(|before| before >= bound) {
                    let message = format!("keys before element {} belong behind it", branch.index);
                    return Err(fault((Defect::KeyOutOfRange, message)));
                }
                self.descend(element.child, Way::First)?;
                return Ok(true);
            }
            self.branches.pop();
        }
        Ok(false)
    }

    fn child(branch: &Branch) -> Result<u64> {
        branch_element(&branch.page, branch.count, branch.index)
            .map(|element| element.child)
            .map_err(|(defect, message)| Error::corrupt(defect, message).at_page(branch.id))
    }

    fn descend(&mut self, mut id: u64, way: Way<'_>) -> Result<()> {
        loop {
            // A page can only be entered once: more of them than the file has are a loop.
            self.loaded += 1;
            if self.loaded > self.db.meta().high_water {
                let message = "the tree refers to more pages than there are";
                return Err(Error::corrupt(Defect::DoubleReference, message).at_page(id));
            }
            let header = self.db.source.page(id, &mut self.leaf)?;
            self.db.walk(id, &header)?;
            if header.flags == LEAF {
                return self.start_leaf(Some(header), id);
            }
            if header.flags != BRANCH {
                let message =
                    format!("its flags {:#x} are no branch's and no leaf's", header.flags);
                return Err(Error::corrupt(Defect::WrongPageType, message).at_page(id));
            }
            let page = std::mem::take(&mut self.leaf);
            id = self.push(Branch { page, id, count: header.count.into(), index: 0 }, way)?;
        }
    }

    fn push(&mut self, mut branch: Branch, way: Way<'_>) -> Result<u64> {
        if self.branches.len() >= MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} levels of pages");
            return Err(Error::corrupt(Defect::TooDeep, message).at_page(branch.id));
        }
        let held: usize = self.branches.iter().map(|branch| branch.page.len()).sum();
        if held + branch.page.len() > MAX_PAGE_BYTES {
            let message = format!("more than {MAX_PAGE_BYTES} bytes of branch pages");
            return Err(Error::new(ErrorKind::LimitExceeded, message).at_page(branch.id));
        }
        let fault = |(defect, message)| Error::corrupt(defect, message).at_page(branch.id);
        if branch.count == 0 {
            return Err(fault((Defect::WrongPageType, "a branch without children".to_owned())));
        }
        branch.index = match way {
            Way::First => 0,
            Way::Last => branch.count - 1,
            Way::Key(key) => {
                let (mut low, mut high) = (0, branch.count);
                while low < high {
                    let middle = low + (high - low) / 2;
                    let element =
                        branch_element(&branch.page, branch.count, middle).map_err(fault)?;
                    if slice(&branch.page, element.key) <= key {
                        low = middle + 1
                    } else {
                        high = middle
                    }
                }
                low.saturating_sub(1)
            }
        };
        let child = Self::child(&branch)?;
        self.branches.push(branch);
        Ok(child)
    }

    fn start_leaf(&mut self, header: Option<Header>, id: u64) -> Result<()> {
        self.leaf_id = id;
        self.index = 0;
        self.previous = None;
        self.count = 0;
        match header {
            Some(header) if header.flags == LEAF => {
                self.count = header.count.into();
                self.within_bounds()
            }
            _ => Err(self.fault((Defect::WrongPageType, "no leaf".to_owned()))),
        }
    }

    /// The branches' keys on the way to a leaf are no greater than its first one.
    fn within_bounds(&self) -> Result<()> {
        if self.count == 0 || self.branches.is_empty() {
            return Ok(());
        }
        let element = self.element(0)?;
        let first = slice(&self.leaf, element.key);
        for branch in &self.branches {
            let bound = branch_element(&branch.page, branch.count, branch.index)
                .map_err(|(defect, message)| Error::corrupt(defect, message).at_page(branch.id))?;
            let bound = slice(&branch.page, bound.key);
            if first < bound {
                let message = format!("its first key is less than page {} says", branch.id);
                return Err(self.fault((Defect::KeyOutOfRange, message)));
            }
        }
        Ok(())
    }
}
