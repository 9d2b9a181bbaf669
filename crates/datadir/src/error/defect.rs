//! The names of what can be wrong with a file.

use std::fmt;

/// What is wrong with a damaged file.
///
/// ```
/// use etcdkit_datadir::Defect;
///
/// assert_eq!(Defect::DoubleReference.to_string(), "double reference");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Defect {
    /// A page number outside of the file's used pages.
    PageOutOfBounds,
    /// A page that carries another page's number.
    PageIdMismatch,
    /// A page that is neither branch nor leaf where one of them must be.
    WrongPageType,
    /// A key or value that reaches out of its page.
    ElementOutOfBounds,
    /// Keys that do not ascend.
    KeyOrder,
    /// A key outside of the range that the page above gives to its page.
    KeyOutOfRange,
    /// An empty or over-long key.
    KeySize,
    /// A page that is reached twice.
    DoubleReference,
    /// A page that is reached and also listed as free.
    FreePageInUse,
    /// A page that is neither reached nor listed as free, in a file that lists its free pages.
    UnreachablePage,
    /// A list of free pages that makes no sense.
    InvalidFreelist,
    /// A tree or a nesting of buckets that is deeper than any real one.
    TooDeep,
    /// A bucket's header that makes no sense.
    InvalidBucket,
    /// An entry of the key bucket whose key is no revision.
    InvalidRevision,
    /// A record that is not the message it should be.
    InvalidMessage,
    /// A WAL record whose checksum does not fit the records before it.
    WalChecksum,
    /// A WAL record of an unknown type.
    WalRecordType,
    /// WAL segments that do not follow each other.
    WalSequence,
    /// Two different metadata records in one WAL.
    WalMetadata,
    /// A WAL record that is cut off before the end of the log.
    WalTornRecord,
}

impl Defect {
    /// Its name in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PageOutOfBounds => "page out of bounds",
            Self::PageIdMismatch => "page id mismatch",
            Self::WrongPageType => "wrong page type",
            Self::ElementOutOfBounds => "element out of bounds",
            Self::KeyOrder => "key order",
            Self::KeyOutOfRange => "key out of range",
            Self::KeySize => "key size",
            Self::DoubleReference => "double reference",
            Self::FreePageInUse => "free page in use",
            Self::UnreachablePage => "unreachable page",
            Self::InvalidFreelist => "invalid freelist",
            Self::TooDeep => "too deep",
            Self::InvalidBucket => "invalid bucket",
            Self::InvalidRevision => "invalid revision",
            Self::InvalidMessage => "invalid message",
            Self::WalChecksum => "WAL checksum",
            Self::WalRecordType => "WAL record type",
            Self::WalSequence => "WAL sequence",
            Self::WalMetadata => "WAL metadata",
            Self::WalTornRecord => "torn WAL record",
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
