//! Versions of etcd.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A version of etcd, of a member or of the whole cluster.
///
/// ```
/// use etcdkit::maintenance::Version;
///
/// let version: Version = "3.6".parse()?;
/// assert_eq!(version, Version::new(3, 6, 0));
/// assert!(version < "3.6.14".parse()?);
/// assert_eq!(version.to_string(), "3.6.0");
/// # Ok::<(), etcdkit::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 3, so far.
    pub major: u32,
    /// The minor version.
    pub minor: u32,
    /// The patch version. What is said of a cluster has none, and 0 here.
    pub patch: u32,
}

impl Version {
    /// The version `major.minor.patch`.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Reads `major.minor` and `major.minor.patch`; what follows a `-` or a `+` is left out.
impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = text.split(['-', '+']).next().unwrap_or_default();
        let parts: Option<Vec<u32>> = number.split('.').map(|part| part.parse().ok()).collect();
        match parts.as_deref() {
            Some(&[major, minor]) => Ok(Self::new(major, minor, 0)),
            Some(&[major, minor, patch]) => Ok(Self::new(major, minor, patch)),
            _ => Err(Error::invalid(format!("not a version such as 3.6 or 3.6.14: {text:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_shown() {
        let table = [
            ("3.5", Some("3.5.0")),
            ("3.6.14", Some("3.6.14")),
            ("3.8.0-alpha.0", Some("3.8.0")),
            ("3.6.0+git", Some("3.6.0")),
            ("3", None),
            ("", None),
            ("3.x", None),
            ("1.2.3.4", None),
        ];
        for (text, shown) in table {
            let read = text.parse::<Version>().ok().map(|version| version.to_string());
            assert_eq!(read.as_deref(), shown, "{text}");
        }
    }
}
