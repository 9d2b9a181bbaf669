//! Where the etcd binaries are kept, and which ones there are. `cargo xtask` includes this file, so that the command
//! that fills the cache and the tests that read it cannot disagree; it uses nothing but the standard library.

use std::env;
use std::path::PathBuf;

/// The versions that everything is tested against, oldest first: one for each minor version.
pub(crate) const VERSIONS: [&str; 4] = ["3.4.23", "3.5.1", "3.6.14", "3.7.1"];

/// The cache's folder: `$ETCDKIT_CACHE`, else `$XDG_CACHE_HOME/etcdkit`, else `~/.cache/etcdkit`.
pub(crate) fn root() -> PathBuf {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(root) = folder("ETCDKIT_CACHE") {
        return root;
    }
    folder("XDG_CACHE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(env::temp_dir)
        .join("etcdkit")
}

/// The folder with one version's `etcd`, `etcdctl` and (since 3.5) `etcdutl`.
pub(crate) fn folder(version: &str) -> PathBuf {
    root().join("etcd").join(version)
}

/// Whether a version that cannot be had is a failure instead of a skip: `ETCDKIT_REQUIRE_ALL=1`.
pub(crate) fn require_all() -> bool {
    env::var_os("ETCDKIT_REQUIRE_ALL").is_some_and(|value| value == "1")
}
