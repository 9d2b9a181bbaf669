use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::cache;

/// A version of etcd that tests run against: one release of each minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// etcd 3.4.23.
    V3_4,
    /// etcd 3.5.1.
    V3_5,
    /// etcd 3.6.14.
    V3_6,
    /// etcd 3.7.1.
    V3_7,
}

impl Version {
    /// Every version, oldest first, whether or not this machine has it.
    #[must_use]
    pub const fn all() -> [Self; 4] {
        [Self::V3_4, Self::V3_5, Self::V3_6, Self::V3_7]
    }

    /// The versions whose binaries are in the cache, oldest first.
    ///
    /// Each missing one is named once on stderr, so that a test run says what it did not cover.
    ///
    /// # Panics
    ///
    /// When one is missing and `ETCDKIT_REQUIRE_ALL=1`, or when there is none at all.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let (available, missing): (Vec<Self>, Vec<Self>) =
            Self::all().into_iter().partition(|version| version.etcd().is_file());
        for version in missing {
            report_missing(version);
        }
        assert!(!available.is_empty(), "no etcd in {}: run cargo xtask etcd all", root());
        available
    }

    /// The newest version whose binaries are in the cache.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn newest() -> Self {
        let found = Self::all().into_iter().rfind(|version| version.etcd().is_file());
        found.unwrap_or_else(|| panic!("no etcd in {}: run cargo xtask etcd all", root()))
    }

    /// The full number, such as `3.6.14`.
    #[must_use]
    pub const fn number(self) -> &'static str {
        cache::VERSIONS[self as usize]
    }

    /// The minor version: 6 for 3.6.14.
    #[must_use]
    pub const fn minor(self) -> u32 {
        match self {
            Self::V3_4 => 4,
            Self::V3_5 => 5,
            Self::V3_6 => 6,
            Self::V3_7 => 7,
        }
    }

    /// Whether this is `major.minor` or newer.
    ///
    /// ```
    /// use etcdkit_testkit::etcd::Version;
    ///
    /// assert!(Version::V3_6.at_least(3, 6));
    /// assert!(!Version::V3_5.at_least(3, 6));
    /// ```
    #[must_use]
    pub const fn at_least(self, major: u32, minor: u32) -> bool {
        major < 3 || (major == 3 && self.minor() >= minor)
    }

    /// Where the server's binary is, or would be.
    #[must_use]
    pub fn etcd(self) -> PathBuf {
        cache::folder(self.number()).join("etcd")
    }

    /// Where this version's `etcdctl` is, or would be.
    #[must_use]
    pub fn etcdctl(self) -> PathBuf {
        cache::folder(self.number()).join("etcdctl")
    }

    /// Where this version's `etcdutl` is, or would be. etcd 3.4 has none: its verbs are `etcdctl`'s there.
    #[must_use]
    pub fn etcdutl(self) -> Option<PathBuf> {
        self.at_least(3, 5).then(|| cache::folder(self.number()).join("etcdutl"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.number())
    }
}

fn root() -> String {
    cache::root().display().to_string()
}

fn report_missing(version: Version) {
    static REPORTED: Mutex<BTreeSet<Version>> = Mutex::new(BTreeSet::new());
    let message = format!("etcd {version} not in {} (run cargo xtask etcd {version})", root());
    assert!(!cache::require_all(), "{message}");
    if REPORTED.lock().unwrap_or_else(PoisonError::into_inner).insert(version) {
        // Not `eprintln!`, which the test harness keeps to itself when a test passes.
        let _ = writeln!(io::stderr(), "skipped: {message}");
    }
}
