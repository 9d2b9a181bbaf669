//! Fetching pages out of a `Read + Seek`.

use std::io::{self, Read, Seek, SeekFrom};

use super::meta::{Invalid, META_LEN, MIN_PAGE_SIZE, Meta};
use super::page::Header;
use crate::error::{Defect, Error, ErrorKind, Result};

/// Pages that follow each other are read ahead, up to this many bytes at a time.
const MAX_WINDOW: usize = 256 << 10;
const MIN_WINDOW: usize = 16 << 10;

/// The largest page, its overflow included, that is held in memory; also the most that one path through a tree may
/// hold. etcd's values are at most 1.5 MiB by default.
pub(super) const MAX_PAGE_BYTES: usize = 128 << 20;

/// A file with a window of bytes that were read ahead.
#[derive(Debug)]
pub(super) struct PageSource<R> {
    io: R,
    meta: Meta,
    window: Vec<u8>,
    window_start: u64,
    /// Where the last fetch ended: a fetch that starts here is a sequential one.
    expected: u64,
    ahead: usize,
}

impl<R: Read + Seek> PageSource<R> {
    /// Finds the newest valid meta page.
    pub(super) fn open(mut io: R) -> Result<Self> {
        let len = io.seek(SeekFrom::End(0)).map_err(|error| Error::io("cannot seek", error))?;
        let meta = choose(&mut io, len)?;
        let end = meta.high_water.checked_mul(u64::from(meta.page_size));
        if end.is_none_or(|end| end > len) {
            let message = format!(
                "the database has {} pages of {} bytes, but the file ends after {len} bytes",
                meta.high_water, meta.page_size
            );
            return Err(Error::new(ErrorKind::Truncated, message));
        }
        Ok(Self { io, meta, window: Vec::new(), window_start: 0, expected: 0, ahead: MIN_WINDOW })
    }

    pub(super) const fn meta(&self) -> &Meta {
        &self.meta
    }

    pub(super) fn into_inner(self) -> R {
        self.io
    }

    pub(super) const fn page_size(&self) -> usize {
        self.meta.page_size as usize
    }

    /// Reads a page with its overflow into `page` and returns its header, of which number and bounds are checked.
    pub(super) fn page(&mut self, id: u64, page: &mut Vec<u8>) -> Result<Header> {
        if id < 2 || id >= self.meta.high_water {
            let message = format!("not one of the pages 2 to {}", self.meta.high_water);
            return Err(Error::corrupt(Defect::PageOutOfBounds, message).at_page(id));
        }
        let size = self.page_size();
        let offset = id * u64::from(self.meta.page_size);
        page.clear();
        page.resize(size, 0);
        self.read(offset, page).map_err(|error| error.at_page(id))?;
        let header =
            Header::parse(page).unwrap_or(Header { id: 0, flags: 0, count: 0, overflow: 0 });
        if header.id != id {
            let message = format!("it says that it is page {}", header.id);
            return Err(Error::corrupt(Defect::PageIdMismatch, message).at_page(id));
        }
        if header.overflow > 0 {
            self.overflow(id, header.overflow, page)?;
        }
        Ok(header)
    }

    fn overflow(&mut self, id: u64, overflow: u32, page: &mut Vec<u8>) -> Result<()> {
        if id + u64::from(overflow) >= self.meta.high_water {
            let message = format!("its {overflow} overflow pages reach out of the file");
            return Err(Error::corrupt(Defect::PageOutOfBounds, message).at_page(id));
        }
        let size = self.page_size();
        let total = (overflow as usize + 1).saturating_mul(size);
        if total > MAX_PAGE_BYTES {
            let message = format!("{total} bytes are more than the {MAX_PAGE_BYTES} that are held");
            return Err(Error::new(ErrorKind::LimitExceeded, message).at_page(id));
        }
        page.resize(total, 0);
        let offset = (id + 1) * u64::from(self.meta.page_size);
        self.read(offset, &mut page[size..]).map_err(|error| error.at_page(id))
    }

    fn read(&mut self, offset: u64, mut out: &mut [u8]) -> Result<()> {
        let mut offset = offset;
        while !out.is_empty() {
            let start = offset
                .checked_sub(self.window_start)
                .and_then(|start| usize::try_from(start).ok())
                .filter(|&start| start < self.window.len());
            let Some(start) = start else {
                if out.len() >= MAX_WINDOW {
                    let read = self.io.seek(SeekFrom::Start(offset));
                    let read = read.and_then(|_| self.io.read_exact(out));
                    self.expected = offset + out.len() as u64;
                    return read.map_err(|error| Error::io("cannot read", error));
                }
                self.fill(offset).map_err(|error| Error::io("cannot read", error))?;
                continue;
            };
            let available = &self.window[start..];
            let count = available.len().min(out.len());
            out[..count].copy_from_slice(&available[..count]);
            out = &mut out[count..];
            offset += count as u64;
        }
        Ok(())
    }

    /// Reads the window anew: more of it as long as reads follow each other.
    fn fill(&mut self, offset: u64) -> io::Result<()> {
        let sequential = offset == self.expected;
        self.ahead = if sequential { (self.ahead * 2).min(MAX_WINDOW) } else { MIN_WINDOW };
        let wanted = self.ahead.max(self.page_size());
        self.io.seek(SeekFrom::Start(offset))?;
        self.window.resize(wanted, 0);
        self.window_start = offset;
        let mut filled = 0;
        while filled < wanted {
            match self.io.read(&mut self.window[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.window.clear();
                    return Err(error);
                }
            }
        }
        self.window.truncate(filled);
        self.expected = offset + filled as u64;
        if filled == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// The valid meta page with the greater transaction number.
fn choose<R: Read + Seek>(io: &mut R, len: u64) -> Result<Meta> {
    let first = meta_at(io, 0)?;
    let second = match first {
        Ok(meta) => meta_at(io, u64::from(meta.page_size))?,
        Err(_) => probe(io, len)?,
    };
    match (first, second) {
        (Ok(first), Ok(second)) if second.page_size == first.page_size => {
            Ok(if second.txid > first.txid { second } else { first })
        }
        (Ok(meta), _) | (_, Ok(meta)) => Ok(meta),
        (Err(first), Err(_)) => {
            let message = format!("no valid meta page: {}", first.as_str());
            let kind = if first == Invalid::Version {
                ErrorKind::Unsupported
            } else {
                ErrorKind::NotADatabase
            };
            Err(Error::new(kind, message))
        }
    }
}

/// Looks for the second meta page where the first one does not tell the page size.
fn probe<R: Read + Seek>(io: &mut R, len: u64) -> Result<Result<Meta, Invalid>> {
    for shift in 0..=14 {
        let offset = u64::from(MIN_PAGE_SIZE) << shift;
        if offset >= len {
            break;
        }
        if let Ok(meta) = meta_at(io, offset)?
            && u64::from(meta.page_size) == offset
        {
            return Ok(Ok(meta));
        }
    }
    Ok(Err(Invalid::Magic))
}

fn meta_at<R: Read + Seek>(io: &mut R, offset: u64) -> Result<Result<Meta, Invalid>> {
    let mut bytes = [0; META_LEN];
    let read = io.seek(SeekFrom::Start(offset)).and_then(|_| io.read_exact(&mut bytes));
    match read {
        Ok(()) => Ok(Meta::parse(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Err(Invalid::Magic)),
        Err(error) => Err(Error::io("cannot read", error)),
    }
}
