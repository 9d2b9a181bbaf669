//! Meta pages: which of the two counts, and what it says.

use super::page::{HEADER, Header, META, NO_FREELIST, u32_at, u64_at};

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Bytes of a meta page's body, of which the last eight are the checksum of the others.
const BODY: usize = 64;
/// What must be read of a file to parse a meta page.
pub(super) const META_LEN: usize = HEADER + BODY;

/// The smallest and the largest page size that bbolt itself looks for.
pub(super) const MIN_PAGE_SIZE: u32 = 1024;
pub(super) const MAX_PAGE_SIZE: u32 = 1024 << 14;

/// What a database's meta page says: where everything starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// Bytes of a page: the page size of the machine that made the file.
    pub page_size: u32,
    /// The page that the tree of buckets starts at.
    pub root: u64,
    /// The root bucket's sequence; etcd never uses it.
    pub sequence: u64,
    /// The page that lists the free pages; `None` when the file stores no such list, as etcd's do on Linux.
    pub freelist: Option<u64>,
    /// The first page that was never used. The file's data end there.
    pub high_water: u64,
    /// The transaction that wrote it.
    pub txid: u64,
}

/// Why a meta page does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    Magic,
    Version,
    Checksum,
    PageSize,
}

impl Invalid {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Magic => "invalid database",
            Self::Version => "version mismatch",
            Self::Checksum => "checksum error",
            Self::PageSize => "impossible page size",
        }
    }
}

impl Meta {
    /// Parses a meta page from the page's start.
    pub(super) fn parse(page: &[u8]) -> Result<Self, Invalid> {
        let body = page.get(HEADER..META_LEN).ok_or(Invalid::Magic)?;
        let read = || {
            let meta = Self {
                page_size: u32_at(body, 8)?,
                root: u64_at(body, 16)?,
                sequence: u64_at(body, 24)?,
                freelist: Some(u64_at(body, 32)?).filter(|&page| page != NO_FREELIST),
                high_water: u64_at(body, 40)?,
                txid: u64_at(body, 48)?,
            };
            Some((u32_at(body, 0)?, u32_at(body, 4)?, u64_at(body, 56)?, meta))
        };
        let (magic, version, checksum, meta) = read().ok_or(Invalid::Magic)?;
        if magic != MAGIC {
            return Err(Invalid::Magic);
        }
        if version != VERSION {
            return Err(Invalid::Version);
        }
        if checksum != fnv1a(&body[..BODY - 8]) {
            return Err(Invalid::Checksum);
        }
        let possible = (MIN_PAGE_SIZE..=MAX_PAGE_SIZE).contains(&meta.page_size);
        if !possible || !meta.page_size.is_power_of_two() {
            return Err(Invalid::PageSize);
        }
        Ok(meta)
    }

    /// The start of a meta page; the rest of the page is zero.
    pub(super) fn to_bytes(self, page: u64) -> [u8; META_LEN] {
        let mut bytes = [0; META_LEN];
        let header = Header { id: page, flags: META, count: 0, overflow: 0 };
        bytes[..HEADER].copy_from_slice(&header.to_bytes());
        let body = &mut bytes[HEADER..];
        body[..4].copy_from_slice(&MAGIC.to_le_bytes());
        body[4..8].copy_from_slice(&VERSION.to_le_bytes());
        body[8..12].copy_from_slice(&self.page_size.to_le_bytes());
        let numbers = [
            self.root,
            self.sequence,
            self.freelist.unwrap_or(NO_FREELIST),
            self.high_water,
            self.txid,
        ];
        for (place, number) in body[16..56].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let checksum = fnv1a(&body[..BODY - 8]);
        body[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

/// FNV-1a with 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_pages_survive_a_round_trip() {
        let meta = Meta {
            page_size: 4096,
            root: 7,
            sequence: 3,
            freelist: None,
            high_water: 9,
            txid: u64::MAX,
        };
        for freelist in [None, Some(2)] {
            let meta = Meta { freelist, ..meta };
            let bytes = meta.to_bytes(1);
            assert_eq!(Meta::parse(&bytes), Ok(meta));
            for index in HEADER..bytes.len() {
                let mut damaged = bytes;
                damaged[index] ^= 1;
                assert!(Meta::parse(&damaged).is_err(), "byte {index}");
            }
        }
    }

    #[test]
    fn fnv_vectors() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
