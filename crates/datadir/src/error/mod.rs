//! The crate's one error type.
//!
//! An [`Error`] says what kind of failure it is, which file, page and byte it is about, and, for damaged files, which
//! [`Defect`] was found. `defect.rs` names the defects.

mod defect;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use defect::Defect;

/// What this crate's fallible functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a file could not be read, written or restored. One word wide.
///
/// ```
/// use etcdkit_datadir::{ErrorKind, bbolt::Bbolt};
/// use std::io::Cursor;
///
/// let error = Bbolt::open(Cursor::new(b"no database".to_vec())).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotADatabase);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    defect: Option<Defect>,
    path: Option<PathBuf>,
    page: Option<u64>,
    offset: Option<u64>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of failure an [`Error`] is: one for each way to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused: reading, writing, permissions, space.
    Io,
    /// The file is no bbolt database at all, or both its meta pages are damaged.
    NotADatabase,
    /// The file's structure is damaged; [`Error::defect`] names how.
    Corrupt,
    /// The file ends too early: fetch it again.
    Truncated,
    /// A stored checksum does not match: fetch the file again.
    ChecksumMismatch,
    /// A snapshot without the trailer that `snapshot save` appends; a plain copy of a database has none.
    ChecksumMissing,
    /// A format or version that this crate does not know.
    Unsupported,
    /// A page or record larger than this crate is willing to hold in memory.
    LimitExceeded,
    /// The caller's own arguments make no sense; the message says what to change.
    InvalidArgument,
    /// The target exists already. Nothing is ever overwritten.
    AlreadyExists,
    /// There is no such file or bucket.
    NotFound,
    /// etcd would not start from the result; the message says why.
    Refused,
    /// Another process has the database open: end it, or wait for its end.
    InUse,
    /// The revision asked for is compacted away.
    Compacted,
    /// The revision asked for does not exist yet.
    FutureRevision,
    /// The progress callback asked to stop.
    Cancelled,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            defect: None,
            path: None,
            page: None,
            offset: None,
            source: None,
        }))
    }

    pub(crate) fn corrupt(defect: Defect, message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Corrupt, message);
        error.0.defect = Some(defect);
        error
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    pub(crate) fn io(what: &str, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::UnexpectedEof => ErrorKind::Truncated,
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            _ => ErrorKind::Io,
        };
        Self::new(kind, what).caused_by(source)
    }

    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn at_page(mut self, page: u64) -> Self {
        self.0.page.get_or_insert(page);
        self
    }

    pub(crate) fn at_offset(mut self, offset: u64) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    pub(crate) fn in_file(mut self, path: &Path) -> Self {
        self.0.path.get_or_insert_with(|| path.to_owned());
        self
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What is wrong with the file's structure, if that is what is wrong.
    #[must_use]
    pub fn defect(&self) -> Option<Defect> {
        self.0.defect
    }

    /// The file that the error is about, where the crate opened it itself.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The number of the page that the error is about.
    #[must_use]
    pub fn page(&self) -> Option<u64> {
        self.0.page
    }

    /// The byte of the file that the error is about.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        if let Some(path) = &inner.path {
            write!(f, "{}: ", path.display())?;
        }
        if let Some(page) = inner.page {
            write!(f, "page {page}: ")?;
        }
        if let Some(offset) = inner.offset {
            write!(f, "byte {offset}: ")?;
        }
        f.write_str(&inner.message)?;
        match &inner.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.0.kind);
        if let Some(defect) = self.0.defect {
            debug.field("defect", &defect);
        }
        debug.field("message", &format_args!("{self}")).finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>());
