//! Where the examples find etcd: at the endpoints of the command line, or in a server that they start themselves.
//!
//! That is the embedded one, in the example's own process. What it does not have, such as a process to stop, takes an
//! etcd out of the cache that `cargo xtask etcd` fills. Either ends with the example.

pub mod greeter;

use std::env;
use std::error::Error;
use std::process::{Command, Stdio};

use etcdkit_server::Server;
use etcdkit_testkit::etcd::{Builder, Etcd, Version};

/// What the `main` of every example returns.
pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Versions that need neither Go nor root, and no tool but pip or apt.
const FETCHED: [&str; 2] = ["3.5.1", "3.4.23"];

/// The etcd that an example talks to.
#[derive(Debug)]
pub struct Target {
    endpoints: Vec<String>,
    started: Option<Etcd>,
    embedded: Option<Server>,
}

impl Target {
    /// The endpoints after `--endpoints`, separated by commas; without that flag, a server in this process.
    ///
    /// # Errors
    ///
    /// It cannot listen.
    pub async fn find() -> Result<Self> {
        if let Some(list) = flag("--endpoints") {
            return Ok(Self::running(&list));
        }
        let server = Server::builder().listen("127.0.0.1:0").start().await?;
        let endpoints = server.client_urls().to_vec();
        Ok(Self { endpoints, started: None, embedded: Some(server) })
    }

    /// As [`find`](Self::find), but without the flag it starts an etcd in a process of its own.
    ///
    /// # Errors
    ///
    /// No etcd could be fetched.
    pub async fn find_process() -> Result<Self> {
        match flag("--endpoints") {
            Some(list) => Ok(Self::running(&list)),
            None => Self::start(|etcd| etcd).await,
        }
    }

    fn running(list: &str) -> Self {
        let endpoints = list.split(',').map(|endpoint| endpoint.trim().to_owned()).collect();
        Self { endpoints, started: None, embedded: None }
    }

    /// An etcd started for the example, with settings of its own.
    ///
    /// # Errors
    ///
    /// No etcd could be fetched.
    pub async fn start(settings: impl FnOnce(Builder<Etcd>) -> Builder<Etcd>) -> Result<Self> {
        let etcd = settings(Etcd::builder(version()?)).start().await;
        Ok(Self { endpoints: vec![etcd.client_url()], started: Some(etcd), embedded: None })
    }

    /// Where it serves clients.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// Whether this example started it.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.started.is_some() || self.embedded.is_some()
    }

    /// The process, if this example started it.
    #[must_use]
    pub const fn started(&self) -> Option<&Etcd> {
        self.started.as_ref()
    }

    /// Ends what was started.
    pub async fn stop(self) {
        if let Some(etcd) = self.started {
            etcd.stop().await;
        }
        if let Some(server) = self.embedded {
            server.shutdown().await;
        }
    }
}

/// The value of a flag of the command line: `--name value` or `--name=value`.
#[must_use]
pub fn flag(name: &str) -> Option<String> {
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == name {
            return arguments.next();
        }
        if let Some(value) = argument.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
            return Some(value.to_owned());
        }
    }
    None
}

/// The newest version in the cache; fetches one if the cache is empty.
fn version() -> Result<Version> {
    let cached = || Version::all().iter().any(|version| version.etcd().is_file());
    for wanted in FETCHED {
        if cached() {
            break;
        }
        // What it prints is a path, which nobody here needs; what goes wrong it says on stderr.
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut fetch = Command::new(cargo);
        fetch.args(["xtask", "etcd", wanted]).current_dir(env!("CARGO_MANIFEST_DIR"));
        fetch.stdout(Stdio::null()).status()?;
    }
    if cached() {
        return Ok(Version::newest());
    }
    Err("no etcd could be fetched; name a running one with --endpoints 127.0.0.1:2379".into())
}
