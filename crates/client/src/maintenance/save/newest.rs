//! The last revision in a member's backend, out of a few of its pages.
//!
//! The backend is a bbolt database: pages that form trees, one for each bucket. etcd keeps every change in the bucket
//! `key` under its revision, so the last key there is the last change. A copy that has come whole begins with the meta
//! page that counts. The format is in `docs/design/datadir.md`; whatever else the file may be, it has no revision.

use std::io::{self, Read, Seek, SeekFrom};

const MAGIC: u64 = 0xED0C_DAED;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
/// Of a page's header, and of each of its elements.
const SIZE: u64 = 16;
const LONGEST_KEY: u64 = 32768;
/// More than any tree has.
const LEVELS: usize = 64;

/// The revision of the last change that the database holds, if it is one and holds any.
pub(super) fn newest_revision<F: Read + Seek>(file: F) -> Option<i64> {
    let mut database = Database { file };
    let [magic, page_size, root] =
        [(16, 4), (24, 4), (32, 8)].map(|(at, len)| database.number(at, len));
    if magic.ok()? != MAGIC {
        return None;
    }
    let (page_size, root) = (page_size.ok()?, root.ok()?);
    let buckets = root.checked_mul(page_size)?;
    let (name, bucket) = database.last(buckets, page_size, Some(b"key")).ok()??;
    if name != b"key" {
        return None;
    }
    let changes = match database.number(bucket, 8).ok()? {
        // A small bucket has its only page beside its name.
        0 => bucket + SIZE,
        page => page.checked_mul(page_size)?,
    };
    let (last, _) = database.last(changes, page_size, None).ok()??;
    let revision = i64::from_be_bytes(*last.first_chunk()?);
    (revision > 0).then_some(revision)
}

struct Database<F> {
    file: F,
}

impl<F: Read + Seek> Database<F> {
    /// The last key in the tree below the page at `page` that does not lie behind `bound`, and where its value is.
    fn last(
        &mut self,
        mut page: u64,
        page_size: u64,
        bound: Option<&[u8]>,
    ) -> io::Result<Option<(Vec<u8>, u64)>> {
        for _ in 0..LEVELS {
            let header = self.bytes(page, SIZE)?;
            let kind = number(&header[8..10]) as u16;
            let elements = number(&header[10..12]);
            let mut found = None;
            for index in (0..elements).rev() {
                let at = page + SIZE * (1 + index);
                let element = self.bytes(at, SIZE)?;
                let (position, length) = match kind {
                    BRANCH => (number(&element[..4]), number(&element[4..8])),
                    LEAF => (number(&element[4..8]), number(&element[8..12])),
                    _ => return Ok(None),
                };
                let key = self.bytes(at + position, length)?;
                if bound.is_none_or(|bound| &*key <= bound) {
                    found = Some((key, at + position + length, number(&element[8..])));
                    break;
                }
            }
            let Some((key, value, child)) = found else { return Ok(None) };
            if kind == LEAF {
                return Ok(Some((key, value)));
            }
            page = child.saturating_mul(page_size);
        }
        Ok(None)
    }

    fn number(&mut self, at: u64, len: u64) -> io::Result<u64> {
        Ok(number(&self.bytes(at, len)?))
    }

    fn bytes(&mut self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        if len > LONGEST_KEY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; len as usize];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Little-endian, of 8 bytes at most.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A page: what it is, and its elements as key and value, or as key and child.
    fn page(kind: u16, elements: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut page = vec![0; 8];
        page.extend(kind.to_le_bytes());
        page.extend((elements.len() as u16).to_le_bytes());
        page.extend([0; 4]);
        let mut position = 16 * elements.len() as u32;
        for (key, value) in elements {
            let (key_len, value_len) = (key.len() as u32, value.len() as u32);
            if kind == LEAF {
                for field in [1, position, key_len, value_len] {
                    page.extend(field.to_le_bytes());
                }
                position += value_len;
            } else {
                page.extend(position.to_le_bytes());
                page.extend(key_len.to_le_bytes());
                page.extend(*value);
            }
            position = position + key_len - 16;
        }
        for (key, value) in elements {
            page.extend(*key);
            if kind == LEAF {
                page.extend(*value);
            }
        }
        page
    }

    fn database(pages: &[Vec<u8>]) -> Vec<u8> {
        const PAGE: usize = 512;
        let mut meta = vec![0; 16];
        for field in [MAGIC as u32, 2, PAGE as u32, 0] {
            meta.extend(field.to_le_bytes());
        }
        meta.extend(1_u64.to_le_bytes());
        let mut file = Vec::new();
        for page in std::iter::once(&meta).chain(pages) {
            file.extend(page);
            file.resize(file.len().next_multiple_of(PAGE), 0);
        }
        file
    }

    fn revision(main: i64) -> Vec<u8> {
        [&main.to_be_bytes()[..], b"_", &[0; 8]].concat()
    }

    fn of(pages: &[Vec<u8>]) -> Option<i64> {
        newest_revision(Cursor::new(database(pages)))
    }

    #[test]
    fn the_last_key_of_the_bucket_of_keys() {
        let (two, nine) = (revision(2), revision(9));
        let leaf = |revisions: &[&Vec<u8>]| {
            let elements: Vec<_> = revisions.iter().map(|it| (&***it, &b"value"[..])).collect();
            page(LEAF, &elements)
        };
        let at = |page: u64| [page.to_le_bytes(), [0; 8]].concat();
        let inline = |page: Vec<u8>| [at(0), page].concat();
        let buckets = |of_keys: &[u8]| {
            page(LEAF, &[(b"alarm", &at(77)), (b"key", of_keys), (b"meta", &at(78))])
        };
        assert_eq!(of(&[buckets(&inline(leaf(&[&two, &nine])))]), Some(9));
        assert_eq!(of(&[buckets(&inline(leaf(&[])))]), None);
        assert_eq!(of(&[buckets(&at(2)), leaf(&[&two])]), Some(2));
        let branch = page(BRANCH, &[(&two, &3_u64.to_le_bytes()), (&nine, &4_u64.to_le_bytes())]);
        assert_eq!(of(&[buckets(&at(2)), branch, leaf(&[&two]), leaf(&[&nine])]), Some(9));
        let names =
            page(BRANCH, &[(b"alarm", &2_u64.to_le_bytes()), (b"lease", &9_u64.to_le_bytes())]);
        assert_eq!(of(&[names, buckets(&at(3)), leaf(&[&nine])]), Some(9));
    }

    #[test]
    fn what_is_no_database_has_no_revision() {
        let loops = page(BRANCH, &[(b"a", &1_u64.to_le_bytes())]);
        assert_eq!(of(&[loops]), None);
        assert_eq!(of(&[page(LEAF, &[(b"meta", b"")])]), None);
        assert_eq!(of(&[]), None);
        assert_eq!(newest_revision(Cursor::new(b"abcdef")), None);
    }

    proptest::proptest! {
        #[test]
        fn any_byte_may_be_another(at in 0_usize..1100, to: u8) {
            let leaf = page(LEAF, &[(&revision(7), b"v")]);
            let bucket = [2_u64.to_le_bytes(), [0; 8]].concat();
            let mut file = database(&[page(LEAF, &[(b"key", &bucket)]), leaf]);
            file[at] = to;
            let _ = newest_revision(Cursor::new(file));
        }
    }
}
