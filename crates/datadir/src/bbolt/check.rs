//! Everything that is wrong with a file, not only the first thing.

use std::fmt;
use std::io::{Read, Seek};

use super::bitmap::Bitmap;
use super::cursor::MAX_DEPTH;
use super::page::{
    BRANCH, FREELIST, Fault, HEADER, Header, LEAF, branch_element, leaf_element, slice, u64_at,
};
use super::reader::{Bbolt, Bucket};
use super::source::MAX_PAGE_BYTES;
use crate::error::{Defect, Error, ErrorKind, Result};

/// A thoroughly broken file has many defects; so many are told.
const MAX_FINDINGS: usize = 100;

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of damage it is.
    pub defect: Defect,
    /// The page it was found on. 0 for an inline bucket, which has none of its own.
    pub page: u64,
    /// The details.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {}: {}: {}", self.page, self.defect, self.message)
    }
}

/// What [`Bbolt::check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// What is wrong: the first hundred findings.
    pub findings: Vec<Finding>,
    /// Pages of trees, their overflow included.
    pub reachable_pages: u64,
    /// Pages that nothing refers to.
    pub free_pages: u64,
    /// Entries of all buckets, nested buckets not counted themselves.
    pub entries: u64,
    /// Named buckets, nested ones included.
    pub buckets: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// The report as an error, unless nothing is wrong.
    ///
    /// # Errors
    ///
    /// `Corrupt`, with the first finding and their number.
    pub fn into_result(self) -> Result<Self> {
        let Some(first) = self.findings.first() else { return Ok(self) };
        let count = self.findings.len();
        let message = format!("integrity check failed: {count} errors found; the first: {first}");
        Err(Error::corrupt(first.defect, message))
    }
}

impl<R: Read + Seek> Bbolt<R> {
    /// Checks the whole file: that each page is reached once and within bounds, that keys ascend within and between
    /// pages, that nested buckets and their headers make sense, and that a stored list of free pages fits.
    ///
    /// It takes one bit of memory for each page, and visits each page once whatever the file says.
    ///
    /// # Errors
    ///
    /// When the file cannot be read. Damage is not an error but a finding.
    pub fn check(&mut self) -> Result<CheckReport> {
        let root = self.root();
        let high_water = self.meta().high_water;
        let mut check = Check {
            reached: Bitmap::new(high_water),
            report: CheckReport::default(),
            stack: Vec::new(),
            db: self,
        };
        check.enter_bucket(&root, 0)?;
        while let Some(top) = check.stack.len().checked_sub(1) {
            check.step(top)?;
        }
        check.free_pages()?;
        Ok(check.report)
    }
}

struct Check<'a, R> {
    db: &'a mut Bbolt<R>,
    reached: Bitmap,
    report: CheckReport,
    stack: Vec<Frame>,
}

/// A page that is being checked: its children come before its next element.
struct Frame {
    page: Vec<u8>,
    id: u64,
    is_leaf: bool,
    count: usize,
    index: usize,
    /// Keys of this page lie from here on, and before there.
    low: Option<Vec<u8>>,
    high: Option<Vec<u8>>,
    /// How many levels of pages and of buckets there are above.
    depth: usize,
    previous: Option<(usize, usize)>,
}

impl Frame {
    fn branch_key(&self, index: usize) -> Option<Vec<u8>> {
        let element = branch_element(&self.page, self.count, index).ok()?;
        Some(slice(&self.page, element.key).to_vec())
    }
}

impl<R: Read + Seek> Check<'_, R> {
    fn find(&mut self, page: u64, fault: impl Into<Option<Fault>>) {
        if let Some((defect, message)) = fault.into()
            && self.report.findings.len() < MAX_FINDINGS
        {
            self.report.findings.push(Finding { defect, page, message });
        }
    }

    fn enter_bucket(&mut self, bucket: &Bucket, depth: usize) -> Result<()> {
        match &bucket.inline {
            Some(page) => {
                let header = Header::parse(page).filter(|header| header.flags == LEAF);
                let Some(header) = header else {
                    self.find(0, (Defect::WrongPageType, "an inline bucket is no leaf".to_owned()));
                    return Ok(());
                };
                self.push(Frame {
                    page: page.to_vec(),
                    id: 0,
                    is_leaf: true,
                    count: header.count.into(),
                    index: 0,
                    low: None,
                    high: None,
                    depth,
                    previous: None,
                })
            }
            None => self.enter_page(bucket.root, (None, None), depth),
        }
    }

    fn enter_page(
        &mut self,
        id: u64,
        (low, high): (Option<Vec<u8>>, Option<Vec<u8>>),
        depth: usize,
    ) -> Result<()> {
        if self.reached.contains(id) {
            self.find(id, (Defect::DoubleReference, "reached twice".to_owned()));
            return Ok(());
        }
        let mut page = Vec::new();
        let header = match self.db.source.page(id, &mut page) {
            Ok(header) => header,
            Err(error) => match error.defect() {
                Some(defect) => {
                    self.reached.insert(id);
                    self.find(id, (defect, error.to_string()));
                    return Ok(());
                }
                None => return Err(error),
            },
        };
        for part in id..=id + u64::from(header.overflow) {
            if !self.reached.insert(part) {
                self.find(part, (Defect::DoubleReference, format!("also part of page {id}")));
            }
            self.report.reachable_pages += 1;
        }
        if header.flags != LEAF && header.flags != BRANCH {
            let message = format!("its flags {:#x} are no branch's and no leaf's", header.flags);
            self.find(id, (Defect::WrongPageType, message));
            return Ok(());
        }
        self.push(Frame {
            page,
            id,
            is_leaf: header.flags == LEAF,
            count: header.count.into(),
            index: 0,
            low,
            high,
            depth,
            previous: None,
        })
    }

    fn push(&mut self, frame: Frame) -> Result<()> {
        if frame.depth > MAX_DEPTH {
            self.find(frame.id, (Defect::TooDeep, format!("more than {MAX_DEPTH} levels")));
            return Ok(());
        }
        let held: usize = self.stack.iter().map(|frame| frame.page.len()).sum();
        if held + frame.page.len() > MAX_PAGE_BYTES {
            let message = format!("more than {MAX_PAGE_BYTES} bytes of pages above each other");
            return Err(Error::new(ErrorKind::LimitExceeded, message).at_page(frame.id));
        }
        self.stack.push(frame);
        Ok(())
    }

    /// Looks at the next element of the top page, and enters what it refers to.
    fn step(&mut self, top: usize) -> Result<()> {
        let frame = &mut self.stack[top];
        if frame.index >= frame.count {
            self.stack.pop();
            return Ok(());
        }
        let (index, id, depth) = (frame.index, frame.id, frame.depth);
        frame.index += 1;
        if frame.is_leaf {
            let element = match leaf_element(&frame.page, frame.count, index) {
                Ok(element) => element,
                Err(fault) => {
                    self.find(id, fault);
                    return Ok(());
                }
            };
            let bucket =
                element.is_bucket.then(|| Bucket::parse(slice(&frame.page, element.value)));
            let fault = order(frame, element.key);
            frame.previous = Some(element.key);
            self.find(id, fault);
            match bucket {
                None => self.report.entries += 1,
                Some(Ok(bucket)) => {
                    self.report.buckets += 1;
                    return self.enter_bucket(&bucket, depth + 1);
                }
                Some(Err(error)) => {
                    self.find(id, (Defect::InvalidBucket, error.to_string()));
                }
            }
            return Ok(());
        }
        let element = match branch_element(&frame.page, frame.count, index) {
            Ok(element) => element,
            Err(fault) => {
                self.find(id, fault);
                return Ok(());
            }
        };
        let fault = order(frame, element.key);
        frame.previous = Some(element.key);
        let low = Some(slice(&frame.page, element.key).to_vec());
        let high = frame.branch_key(index + 1).or_else(|| frame.high.clone());
        self.find(id, fault);
        self.enter_page(element.child, (low, high), depth + 1)
    }

    fn free_pages(&mut self) -> Result<()> {
        let meta = *self.db.meta();
        let Some(id) = meta.freelist else {
            let pages = meta.high_water.saturating_sub(2);
            self.report.free_pages = pages.saturating_sub(self.report.reachable_pages);
            return Ok(());
        };
        let mut page = Vec::new();
        let header = match self.db.source.page(id, &mut page) {
            Ok(header) => header,
            Err(error) => match error.defect() {
                Some(_) => {
                    self.find(id, (Defect::InvalidFreelist, error.to_string()));
                    return Ok(());
                }
                None => return Err(error),
            },
        };
        if header.flags != FREELIST {
            let message = format!("its flags {:#x} are no freelist's", header.flags);
            self.find(id, (Defect::InvalidFreelist, message));
            return Ok(());
        }
        for part in id..=id + u64::from(header.overflow) {
            if !self.reached.insert(part) {
                self.find(
                    part,
                    (Defect::FreePageInUse, "the freelist is part of a tree".to_owned()),
                );
            }
        }
        let Some(body) = free_body(&page, &header) else {
            let message = "its list reaches out of the page".to_owned();
            self.find(id, (Defect::InvalidFreelist, message));
            return Ok(());
        };
        for bytes in body.chunks_exact(8) {
            let free = u64_at(bytes, 0).unwrap_or_default();
            if free < 2 || free >= meta.high_water {
                self.find(id, (Defect::InvalidFreelist, format!("lists page {free}")));
            } else if !self.reached.insert(free) {
                self.find(free, (Defect::FreePageInUse, "in use or listed twice".to_owned()));
            } else {
                self.report.free_pages += 1;
            }
        }
        for page in (2..meta.high_water).filter(|&page| !self.reached.contains(page)) {
            if self.report.findings.len() >= MAX_FINDINGS {
                break;
            }
            let message = "neither reached nor free".to_owned();
            self.report.findings.push(Finding { defect: Defect::UnreachablePage, page, message });
        }
        Ok(())
    }
}

/// The page numbers of a freelist. A count that does not fit its field stands before them.
fn free_body<'p>(page: &'p [u8], header: &Header) -> Option<&'p [u8]> {
    let (start, count) = match header.count {
        u16::MAX => (HEADER + 8, u64_at(page, HEADER)?),
        count => (HEADER, u64::from(count)),
    };
    let length = usize::try_from(count).ok()?.checked_mul(8)?;
    page.get(start..start.checked_add(length)?)
}

fn order(frame: &Frame, key: (usize, usize)) -> Option<Fault> {
    let index = frame.index - 1;
    let key = slice(&frame.page, key);
    let previous = frame.previous.map(|previous| slice(&frame.page, previous));
    if previous.is_some_and(|previous| previous >= key) {
        let message = format!("element {index} is not greater than the one before");
        return Some((Defect::KeyOrder, message));
    }
    let below = frame.low.as_deref().is_some_and(|low| key < low);
    if below || frame.high.as_deref().is_some_and(|high| key >= high) {
        let message = format!("element {index} is outside of what the page above says");
        return Some((Defect::KeyOutOfRange, message));
    }
    None
}
