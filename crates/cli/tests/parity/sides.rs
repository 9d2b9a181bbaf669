//! The two sides of a comparison: a member, the tools, and what of their words is masked.
//!
//! Both members have one name and one advertised address, from which ids follow, so that ids, revisions and hashes are
//! equal as long as both sides have run the same commands. What can't be equal is masked: addresses, durations, leases,
//! sizes of databases, folders, the id of an added member, in which the second is in which it was added, and the log lines
//! that Go's client writes to stderr.

use std::path::PathBuf;
use std::time::Duration;

use etcdkit_testkit::etcd::{Etcd, Version};
use etcdkit_testkit::wait::eventually;
use tempfile::TempDir;
use tokio::process::Command;

use super::live::Live;
use super::table::Line;

/// What both members say where they are.
const ADVERTISED: &str = "http://10.0.0.1";

/// What the id of an added member is masked by.
const ADDED: &str = "ADDED";

/// How a command line went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// One side.
pub(crate) struct Side {
    version: Version,
    member: Etcd,
    tmp: TempDir,
    lease: String,
    /// The id of the member that was added last.
    added: Option<u64>,
    is_ours: bool,
}

impl Side {
    /// The official tools of `version`, and a member of it.
    pub(crate) async fn official(version: Version) -> Self {
        Self::new(version, false).await
    }

    /// Our tools, and a member of `version`.
    pub(crate) async fn ours(version: Version) -> Self {
        Self::new(version, true).await
    }

    async fn new(version: Version, is_ours: bool) -> Self {
        let member = Etcd::builder(version)
            .argument("--bcrypt-cost=4")
            .argument("--name=m")
            .argument(format!("--initial-advertise-peer-urls={ADVERTISED}:2380"))
            .argument(format!("--initial-cluster=m={ADVERTISED}:2380"))
            .argument(format!("--advertise-client-urls={ADVERTISED}:2379"))
            .start()
            .await;
        let tmp = TempDir::new().expect("a folder can be made");
        Self { version, member, tmp, lease: "0".to_owned(), added: None, is_ours }
    }

    /// Runs a command line and masks what it said.
    pub(crate) async fn run(&mut self, line: &Line) -> Ran {
        let mut live = Live::start(self.command(line));
        live.feed(&line.input).await;
        let ended = live.ended_in_bytes().await;
        let stdout = shown(&ended.out);
        self.note_lease(&stdout);
        self.note_added(&stdout);
        Ran {
            code: ended.code,
            stdout: without_time_left(line, self.mask(&stdout)),
            stderr: self.mask(&without_logs(&shown(&ended.err))),
        }
    }

    /// The command that a line is.
    pub(crate) fn command(&self, line: &Line) -> Command {
        let mut command = Command::new(self.program(&line.tool));
        if self.is_ours {
            command.arg0(&line.tool);
        }
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.tmp.path()).current_dir(self.tmp.path());
        let names_member = line.text.contains("{endpoint}") || line.text.contains("{port}");
        if !names_member && line.tool == "etcdctl" {
            command.env("ETCDCTL_ENDPOINTS", self.endpoint());
        }
        // Their own limit is 5 s, which a busy machine can need for a single password.
        if line.tool == "etcdctl" && !line.text.contains("command-timeout") {
            command.env("ETCDCTL_COMMAND_TIMEOUT", "50s");
        }
        for (name, value) in &line.variables {
            command.env(name, self.fill(value.as_bytes()));
        }
        command.args(line.words.iter().map(|word| self.fill(word)));
        command
    }

    fn program(&self, tool: &str) -> PathBuf {
        if self.is_ours {
            return env!("CARGO_BIN_EXE_etcdkit").into();
        }
        match tool {
            "etcdutl" => self.version.etcdutl().expect("since etcd 3.5 there is one"),
            _ => self.version.etcdctl(),
        }
    }

    /// Waits until its member has so many watches.
    pub(crate) async fn watched(&self, count: f64) {
        eventually("the watches", Duration::from_secs(60), async || {
            let watches = self.member.metric("etcd_debugging_mvcc_watcher_total").await;
            watches.is_some_and(|watches| watches >= count).then_some(())
        })
        .await;
    }

    pub(crate) fn endpoint(&self) -> String {
        self.member.client_addr().to_string()
    }

    fn port(&self) -> String {
        self.member.client_addr().port().to_string()
    }

    /// The word with its placeholders filled in.
    fn fill(&self, word: &[u8]) -> std::ffi::OsString {
        let Ok(word) = std::str::from_utf8(word) else {
            return std::os::unix::ffi::OsStringExt::from_vec(word.to_vec());
        };
        word.replace("{endpoint}", &self.endpoint())
            .replace("{port}", &self.port())
            .replace("{tool}", &self.program("etcdctl").to_string_lossy())
            .replace("{tmp}", &self.tmp.path().to_string_lossy())
            .replace("{lease}", &self.lease)
            .into()
    }

    /// The lease that was granted last.
    pub(crate) fn lease(&self) -> &str {
        &self.lease
    }

    /// Remembers the lease of `lease 1234567890abcdef granted with TTL(5s)`.
    fn note_lease(&mut self, stdout: &str) {
        let words: Vec<&str> = stdout.split_whitespace().collect();
        if let ["lease", id, "granted", ..] = words.as_slice() {
            self.lease = (*id).to_owned();
        }
    }

    /// Remembers the id of the answer to `member add -w json`.
    fn note_added(&mut self, stdout: &str) {
        if let Some((_, behind)) = stdout.split_once("\"member\":{\"ID\":") {
            let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
            self.added = behind[..digits].parse().ok();
        }
    }

    fn mask(&self, text: &str) -> String {
        let mut text = mask_port(&text.replace(&self.endpoint(), "ENDPOINT"), &self.port())
            .replace(&*self.tmp.path().to_string_lossy(), "TMP");
        if let Ok(id) = u64::from_str_radix(&self.lease, 16)
            && id > 0xffff
        {
            text = text.replace(&self.lease, "LEASE").replace(&id.to_string(), "LEASE");
        }
        if let Some(id) = self.added {
            text = text.replace(&id.to_string(), ADDED).replace(&format!("{id:x}"), ADDED);
            text = added_last(&text);
        }
        for before in ["took = ", "took ", "\"took\":\"", "\"Took\" : "] {
            text = mask_behind(&text, before);
        }
        for before in ["\"dbSize\":", "\"dbSizeInUse\":", "\"DBSize\" : ", "\"DBSizeInUse\" : "] {
            text = mask_behind(&text, before);
        }
        if text.contains("HEALTH │") || text.contains("STORAGE VERSION │") {
            text = squeeze(&text);
        }
        text.lines().map(mask_sizes).collect()
    }
}

/// Masks a port, and no longer number that begins alike.
fn mask_port(text: &str, port: &str) -> String {
    let port = format!(":{port}");
    let mut parts = text.split(&port);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_longer = part.starts_with(|c: char| c.is_ascii_digit());
        masked.push_str(if is_longer { &port } else { ":PORT" });
        masked.push_str(part);
    }
    masked
}

#[test]
fn a_number_that_begins_like_the_port_is_not_masked() {
    let masked = mask_port("\"dbSizeQuota\":2147483648, 127.0.0.1:21474", "21474");
    assert_eq!(masked, "\"dbSizeQuota\":2147483648, 127.0.0.1:PORT");
}

/// Lists of members are ordered by id: the one that was added goes to the end.
fn added_last(text: &str) -> String {
    let last = |entries: &mut Vec<&str>| entries.sort_by_key(|entry| entry.contains(ADDED));
    if let Some((before, members)) = text.split_once("\"members\":[{")
        && let Some((members, behind)) = members.rsplit_once("}]")
    {
        let mut members: Vec<&str> = members.split("},{").collect();
        last(&mut members);
        return format!("{before}\"members\":[{{{}}}]{behind}", members.join("},{"));
    }
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    last(&mut lines);
    lines.concat()
}

/// Text, with each byte that is none as an escape.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// What a person reads on stderr. Go's client logs there, and asks the terminal for passwords by a program of its own.
pub(crate) fn without_logs(stderr: &str) -> String {
    stderr
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("{\"level\"") && !line.starts_with("stty:"))
        .collect()
}

/// Masks, in the row of a status, how large the database is and how much of it is in use: that changes when a batch is
/// written, a moment after the answer.
fn mask_sizes(line: &str) -> String {
    let separator = if line.contains('│') { "│" } else { ", " };
    let mut cells: Vec<&str> = line.split(separator).collect();
    if cells.len() >= 16 {
        let first = cells.iter().position(|cell| cell.ends_with('B')).unwrap_or(0);
        for cell in &mut cells[first..first + 3] {
            *cell = "SIZE";
        }
    }
    format!("{}\n", cells.join(separator))
}

/// Masks how long a lease has left, which a busy machine makes a second less.
fn without_time_left(line: &Line, text: String) -> String {
    if !line.text.contains("timetolive") {
        return text;
    }
    ["remaining(", "\"ttl\":", "\"TTL\" : "]
        .into_iter()
        .fold(text, |text, before| mask_behind(&text, before))
}

/// Masks the word behind each `before`, with the `=` that end Base64: how many depends on how long the id in it is.
pub(crate) fn mask_behind(text: &str, before: &str) -> String {
    let mut parts = text.split(before);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let in_word = |c: char| c.is_alphanumeric() || ['.', '='].contains(&c);
        let end = part.find(|c: char| !in_word(c)).unwrap_or(part.len());
        masked.push_str(before);
        masked.push_str("MASKED");
        // A full stop may follow the duration.
        masked.push_str(if part[..end].ends_with('.') { "." } else { "" });
        masked.push_str(&part[end..]);
    }
    masked
}

/// A table whose columns have another width on each side since durations are in it.
fn squeeze(text: &str) -> String {
    let mut squeezed = String::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('│').map(str::trim).collect();
        let cells: Vec<String> = cells
            .into_iter()
            .map(|cell| {
                if cell.ends_with('s') && cell.starts_with(|c: char| c.is_ascii_digit()) {
                    "MASKED".to_owned()
                } else {
                    cell.replace('─', "")
                }
            })
            .collect();
        squeezed.push_str(&cells.join("│"));
        squeezed.push('\n');
    }
    squeezed
}
