//! Versions as etcd writes them: three numbers.

use std::fmt;
use std::str::FromStr;

use crate::error::{Defect, Error, Result};

/// A version of etcd or of its storage.
///
/// ```
/// use etcdkit_datadir::schema::Version;
///
/// let version: Version = "3.6.0".parse()?;
/// assert!(version > Version::new(3, 5));
/// assert_eq!(version.to_string(), "3.6.0");
/// assert!("3.6".parse::<Version>().is_err());
/// # Ok::<(), etcdkit_datadir::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Version {
    /// The 3 of 3.6.0.
    pub major: u64,
    /// The 6 of 3.6.0.
    pub minor: u64,
    /// The last 0 of 3.6.0.
    pub patch: u64,
}

impl Version {
    /// The version `major.minor.0`.
    #[must_use]
    pub const fn new(major: u64, minor: u64) -> Self {
        Self { major, minor, patch: 0 }
    }

    /// Major and minor alone, which is what etcd compares.
    #[must_use]
    pub const fn line(self) -> (u64, u64) {
        (self.major, self.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = Error;

    /// Parses `3.6.0`; what follows a `-` or `+`, as in `3.7.0-rc.0`, is left out.
    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts = numbers.split('.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if digits { part.parse().ok() } else { None }
        });
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => {
                Ok(Self { major, minor, patch })
            }
            _ => Err(Error::corrupt(Defect::InvalidMessage, format!("{text:?} is no version"))),
        }
    }
}
