//! Keys of the bucket `key`: revisions.

use std::fmt;

use crate::error::{Defect, Error, Result};

/// Bytes of a revision's encoding, to which a tombstone adds one.
const LEN: usize = 17;
const SEPARATOR: u8 = b'_';
const TOMBSTONE: u8 = b't';

/// When a key changed: `main` counts transactions, `sub` the changes within one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The transaction.
    pub main: i64,
    /// The change within it, from 0.
    pub sub: i64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.main, self.sub)
    }
}

/// A key of the bucket `key`: a revision, and whether it deleted the key.
///
/// ```
/// use etcdkit_datadir::schema::{Revision, RevisionKey};
///
/// let key = RevisionKey { revision: Revision { main: 2, sub: 0 }, tombstone: true };
/// assert_eq!(key.encode(), b"\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0t");
/// assert_eq!(RevisionKey::decode(&key.encode())?, key);
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevisionKey {
    /// The revision.
    pub revision: Revision,
    /// Whether the key was deleted.
    pub tombstone: bool,
}

impl RevisionKey {
    /// Eight bytes of `main`, `_`, eight bytes of `sub`, and `t` for a deletion.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut key = Vec::with_capacity(LEN + 1);
        key.extend_from_slice(&self.revision.main.to_be_bytes());
        key.push(SEPARATOR);
        key.extend_from_slice(&self.revision.sub.to_be_bytes());
        if self.tombstone {
            key.push(TOMBSTONE);
        }
        key
    }

    /// Parses a key.
    ///
    /// # Errors
    ///
    /// `Corrupt` when it is no revision or a negative one.
    pub fn decode(key: &[u8]) -> Result<Self> {
        Self::parse(key).ok_or_else(|| {
            let message = format!("{} is no revision", key.escape_ascii());
            Error::corrupt(Defect::InvalidRevision, message)
        })
    }

    fn parse(key: &[u8]) -> Option<Self> {
        let tombstone = match key.get(LEN..)? {
            [] => false,
            [TOMBSTONE] => true,
            _ => return None,
        };
        if *key.get(8)? != SEPARATOR {
            return None;
        }
        let main = i64::from_be_bytes(key.get(..8)?.try_into().ok()?);
        let sub = i64::from_be_bytes(key.get(9..LEN)?.try_into().ok()?);
        (main >= 0 && sub >= 0).then_some(Self { revision: Revision { main, sub }, tombstone })
    }
}
