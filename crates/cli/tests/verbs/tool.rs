//! `etcdkit` as a process of its own.

#[path = "../common/live.rs"]
mod live;

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

pub(crate) use self::live::{Live, Ran};

/// The binary, a member to talk to, and a folder to work in.
pub(crate) struct Tool {
    pub(crate) endpoint: String,
    folder: TempDir,
}

impl Tool {
    pub(crate) fn new(endpoint: String) -> Self {
        Self { endpoint, folder: TempDir::new().expect("a folder can be made") }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcdkit"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("ETCDCTL_ENDPOINTS", &self.endpoint).current_dir(self.folder.path());
        // The limit of 5 s is not for busy machines.
        command.env("ETCDCTL_COMMAND_TIMEOUT", "50s");
        command.args(words);
        command
    }

    /// Runs a command line.
    pub(crate) async fn run(&self, words: &[&str]) -> Ran {
        self.run_on(words, "").await
    }

    /// The same with something to read on stdin.
    pub(crate) async fn run_on(&self, words: &[&str], input: &str) -> Ran {
        let mut live = self.start(words);
        live.feed(input).await;
        live.ended().await
    }

    /// What a command prints that does what it is told, and has nothing to complain about.
    pub(crate) async fn says(&self, words: &[&str]) -> String {
        let ran = self.run(words).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}: {ran:?}");
        ran.out
    }

    /// The same, printed with `-w json`.
    pub(crate) async fn json(&self, words: &[&str]) -> Value {
        let out = self.says(&[words, &["-w", "json"]].concat()).await;
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?}: {error}: {out}"))
    }

    /// The revision of whatever is written next, for watches that are not to depend on when they begin.
    pub(crate) async fn next_revision(&self) -> String {
        let found = self.json(&["get", "x"]).await;
        (found["header"]["revision"].as_i64().expect("it has one") + 1).to_string()
    }

    /// What a command complains about that fails with exit code `code`.
    pub(crate) async fn fails(&self, code: i32, words: &[&str]) -> String {
        let ran = self.run(words).await;
        assert_eq!(ran.code, Some(code), "{words:?}: {ran:?}");
        ran.err
    }

    /// Starts a command that goes on until it is told to end.
    pub(crate) fn start(&self, words: &[&str]) -> Live {
        Live::start(self.command(words))
    }
}
