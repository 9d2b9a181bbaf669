//! A server as a process of its own, started as `etcd`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A command that calls the binary by the name `etcd`, in a folder of its own.
pub(crate) fn etcd(folder: &Path) -> Command {
    let link = folder.join("etcd");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_etcdkit"), &link).expect("a link");
    }
    let mut command = Command::new(link);
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ETCD_") {
            command.env_remove(name);
        }
    }
    command
}

/// A server that serves. It is killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    /// Where it serves clients, `host:port`.
    pub(crate) address: String,
    /// What it has logged so far.
    pub(crate) lines: Vec<serde_json::Value>,
}

impl Running {
    /// Starts one and waits until it says that it serves.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = etcd(folder);
        command.args(arguments).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut running = Self { child, log, address: String::new(), lines: Vec::new() };
        while running.address.is_empty() {
            assert!(running.read_line(), "it ended: {:#?}", running.lines);
            let line = running.lines.last().expect("one was read");
            let serves =
                line["msg"].as_str().is_some_and(|text| text.starts_with("serving client traffic"));
            if serves {
                running.address = line["address"].as_str().expect("it has one").to_owned();
            }
        }
        running
    }

    pub(crate) fn messages(&self) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line["msg"].as_str()).collect()
    }

    fn read_line(&mut self) -> bool {
        let mut line = String::new();
        let read = self.log.read_line(&mut line).expect("it is text");
        if read > 0 {
            self.lines.push(serde_json::from_str(&line).expect("each line is an object"));
        }
        read > 0
    }

    /// Sends a signal, and waits for the end.
    pub(crate) fn end(mut self, signal: Signal) -> (ExitStatus, Self) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
        while self.read_line() {}
        (self.child.wait().expect("it is ours"), self)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
