//! The bytes of pages: header, branch elements, leaf elements.

use crate::error::Defect;

/// Bytes of a page's header, of an element of a branch or leaf page, and of a bucket's header.
pub(super) const HEADER: usize = 16;
pub(super) const ELEMENT: usize = 16;
pub(super) const BUCKET_HEADER: usize = 16;

pub(super) const BRANCH: u16 = 0x01;
pub(super) const LEAF: u16 = 0x02;
pub(super) const META: u16 = 0x04;
pub(super) const FREELIST: u16 = 0x10;

/// The flag of a leaf element whose value is a bucket.
pub(super) const BUCKET_FLAG: u32 = 1;

/// The freelist's page number in a meta page of a file that stores none.
pub(super) const NO_FREELIST: u64 = u64::MAX;

pub(super) const MAX_KEY: usize = 32768;
/// bbolt refuses values of 2^31 - 2 bytes and more.
pub(super) const MAX_VALUE: usize = (1 << 31) - 2;

/// What is wrong with the inside of a page. The reader knows which page it was.
pub(super) type Fault = (Defect, String);

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: u64,
    pub(super) flags: u16,
    pub(super) count: u16,
    pub(super) overflow: u32,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: u64_at(bytes, 0)?,
            flags: u16_at(bytes, 8)?,
            count: u16_at(bytes, 10)?,
            overflow: u32_at(bytes, 12)?,
        })
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.flags.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12..].copy_from_slice(&self.overflow.to_le_bytes());
        bytes
    }
}

/// An entry of a leaf page: positions within the page, checked to lie inside of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeafElement {
    pub(super) is_bucket: bool,
    pub(super) key: (usize, usize),
    pub(super) value: (usize, usize),
}

/// An entry of a branch page, checked alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct BranchElement {
    pub(super) key: (usize, usize),
    pub(super) child: u64,
}

/// The bytes of a checked position.
pub(super) fn slice(page: &[u8], (start, end): (usize, usize)) -> &[u8] {
    page.get(start..end).unwrap_or_default()
}

fn outside(index: usize, page: &[u8]) -> Fault {
    let message = format!("element {index} reaches out of the page's {} bytes", page.len());
    (Defect::ElementOutOfBounds, message)
}

fn key_size(index: usize, size: usize) -> Result<(), Fault> {
    if (1..=MAX_KEY).contains(&size) {
        return Ok(());
    }
    Err((Defect::KeySize, format!("element {index} has a key of {size} bytes")))
}

/// Where an element's data lie: `length` bytes, `position` bytes after the element's own start.
fn span(
    page: &[u8],
    element: usize,
    elements_end: usize,
    position: u32,
    length: u32,
) -> Option<(usize, usize)> {
    let start = element.checked_add(usize::try_from(position).ok()?)?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    (start >= elements_end && end <= page.len()).then_some((start, end))
}

pub(super) fn leaf_element(page: &[u8], count: usize, index: usize) -> Result<LeafElement, Fault> {
    let at = HEADER + index * ELEMENT;
    let end = HEADER + count * ELEMENT;
    let read = || {
        let flags = u32_at(page, at)?;
        let position = u32_at(page, at + 4)?;
        let key_len = u32_at(page, at + 8)?;
        let value_len = u32_at(page, at + 12)?;
        let key = span(page, at, end, position, key_len)?;
        let value_end = key.1.checked_add(usize::try_from(value_len).ok()?)?;
        (value_end <= page.len()).then_some((flags, key, (key.1, value_end)))
    };
    let (flags, key, value) = read().ok_or_else(|| outside(index, page))?;
    key_size(index, key.1 - key.0)?;
    if flags > BUCKET_FLAG {
        return Err((Defect::WrongPageType, format!("element {index} has flags {flags:#x}")));
    }
    Ok(LeafElement { is_bucket: flags == BUCKET_FLAG, key, value })
}

pub(super) fn branch_element(
    page: &[u8],
    count: usize,
    index: usize,
) -> Result<BranchElement, Fault> {
    let at = HEADER + index * ELEMENT;
    let end = HEADER + count * ELEMENT;
    let read = || {
        let key = span(page, at, end, u32_at(page, at)?, u32_at(page, at + 4)?)?;
        Some((key, u64_at(page, at + 8)?))
    };
    let (key, child) = read().ok_or_else(|| outside(index, page))?;
    if key.1 - key.0 > MAX_KEY {
        key_size(index, key.1 - key.0)?;
    }
    Ok(BranchElement { key, child })
}
