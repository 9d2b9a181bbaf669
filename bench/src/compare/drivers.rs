//! Which program runs a client, and how to get it where it is missing.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::args::Flags;
use crate::load::Runtime;
use crate::{Error, clients, report};

/// A client in a runtime: `etcd-client-mt`, or just `go`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The client's name, as its driver knows it.
    pub name: String,
    /// The runtime; drivers in other languages have their own and do not look at it.
    pub runtime: Runtime,
    /// As it was written.
    label: String,
}

impl FromStr for Candidate {
    type Err = Error;

    fn from_str(label: &str) -> Result<Self, Error> {
        let (name, runtime) = match label.rsplit_once('-') {
            Some((name, "mt")) => (name, Runtime::MultiThread),
            Some((name, "ct")) => (name, Runtime::CurrentThread),
            _ => (label, Runtime::MultiThread),
        };
        Ok(Self { name: name.to_owned(), runtime, label: label.to_owned() })
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

/// Where the programs of other authors' clients are.
#[derive(Debug)]
pub struct Drivers {
    rust: PathBuf,
    go: PathBuf,
}

/// Who runs a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    /// This program.
    Own,
    /// `bench/peers/rust`.
    Rust,
    /// `bench/peers/go`.
    Go,
}

impl Driver {
    fn of(candidate: &Candidate) -> Option<Self> {
        match candidate.name.as_str() {
            "etcd-client" | "tonic" | "tonic-door" => Some(Self::Rust),
            "go" => Some(Self::Go),
            name if clients::NAMES.contains(&name) || clients::STREAM_NAMES.contains(&name) => {
                Some(Self::Own)
            }
            _ => None,
        }
    }
}

impl Drivers {
    /// Reads the flags `--peers-rust` and `--peers-go`.
    ///
    /// # Errors
    /// None so far: any text is a path.
    pub fn from_flags(flags: &mut Flags) -> Result<Self, Error> {
        let rust = PathBuf::from("bench/peers/rust/target/release/etcdkit-bench-peers");
        let go = PathBuf::from("bench/peers/go/etcdkit-bench-go");
        Ok(Self { rust: flags.value("peers-rust", rust)?, go: flags.value("peers-go", go)? })
    }

    /// Those of the clients that can be run; why the others can't is noted.
    ///
    /// # Errors
    /// There is none.
    pub fn present<'a>(&self, candidates: &'a [Candidate]) -> Result<Vec<&'a Candidate>, Error> {
        let mut present = Vec::new();
        for candidate in candidates {
            match self.missing(candidate) {
                None => present.push(candidate),
                Some(reason) => report::note(&format!("without {candidate}: {reason}")),
            }
        }
        if present.is_empty() { Err("none of the clients is there".into()) } else { Ok(present) }
    }

    /// Why a client cannot be run, and what would change that.
    #[must_use]
    pub fn missing(&self, candidate: &Candidate) -> Option<String> {
        match Driver::of(candidate) {
            Some(Driver::Own) => None,
            Some(Driver::Rust) => (!self.rust.exists()).then(|| {
                format!(
                    "no {}; build it with `cd bench/peers/rust && cargo build --release` (needs protoc)",
                    self.rust.display()
                )
            }),
            Some(Driver::Go) => (!self.go.exists()).then(|| {
                format!(
                    "no {}; build it with `cd bench/peers/go && go build -o etcdkit-bench-go .`",
                    self.go.display()
                )
            }),
            None => Some("nobody knows a client of this name".to_owned()),
        }
    }

    /// The program that runs a client, and what to say to it before the flags.
    ///
    /// # Errors
    /// Nobody runs this client.
    pub fn program(
        &self,
        candidate: &Candidate,
    ) -> Result<(PathBuf, &'static [&'static str]), Error> {
        match Driver::of(candidate) {
            Some(Driver::Own) => Ok((std::env::current_exe()?, &["kv"])),
            Some(Driver::Rust) => Ok((self.rust.clone(), &[])),
            Some(Driver::Go) => Ok((self.go.clone(), &[])),
            None => Err(format!("nobody runs {candidate}").into()),
        }
    }
}

impl Drivers {
    /// The program that takes part in the recipes as a client: its first argument is `recipes`.
    ///
    /// # Errors
    /// This client has no such driver.
    pub fn recipes(&self, candidate: &Candidate) -> Result<PathBuf, Error> {
        match candidate.name.as_str() {
            "etcdkit" => Ok(std::env::current_exe()?),
            "go" => Ok(self.go.clone()),
            _ => Err(format!("{candidate} takes part in no recipe").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_name_a_client_and_a_runtime() {
        for (label, name, runtime) in [
            ("etcd-client-ct", "etcd-client", Runtime::CurrentThread),
            ("etcd-client-mt", "etcd-client", Runtime::MultiThread),
            ("etcd-client", "etcd-client", Runtime::MultiThread),
            ("go", "go", Runtime::MultiThread),
        ] {
            let candidate: Candidate = label.parse().unwrap();
            assert_eq!((candidate.name.as_str(), candidate.runtime), (name, runtime), "{label}");
            assert_eq!(candidate.to_string(), label);
        }
    }

    #[test]
    fn missing_programs_are_explained() {
        let drivers = Drivers { rust: "/nowhere/rust".into(), go: "/nowhere/go".into() };
        for (label, hint) in [
            ("h2-decode-ct", None),
            ("tonic-ct", Some("cargo build --release")),
            ("go", Some("go build")),
            ("jetcd", Some("nobody knows")),
        ] {
            let missing = drivers.missing(&label.parse().unwrap());
            match hint {
                None => assert_eq!(missing, None, "{label}"),
                Some(hint) => assert!(missing.unwrap().contains(hint), "{label}"),
            }
        }
    }
}
