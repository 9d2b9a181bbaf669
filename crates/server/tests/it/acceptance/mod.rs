//! Old versions of etcdctl against this server: they print what they print against the etcd that they came with, to which the
//! same sequence is shown for that reason.
#![cfg(test)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use etcdkit_server::Server;
use etcdkit_testkit::etcd::{Etcd, Version};
use tokio::task::spawn_blocking;

const DEADLINE: Duration = Duration::from_secs(60);

const SEQUENCE: &str = include_str!("sequence.txt");

/// Words that stand for themselves from their first appearance on.
type Names = HashMap<String, String>;

/// A command of the sequence.
#[derive(Clone, Debug, Default)]
struct Step {
    since_3_5: bool,
    command: String,
    input: String,
    expected: Vec<String>,
    /// Exit code and the end of what is on stderr.
    failure: Option<(i32, String)>,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((before, command)) =
            line.split_once("$ ").filter(|it| ["", "3.5 "].contains(&it.0))
        {
            let since_3_5 = !before.is_empty();
            steps.push(Step { since_3_5, command: command.to_owned(), ..Step::default() });
            continue;
        }
        let Some(step) = steps.last_mut() else { continue };
        if let Some(input) = line.strip_prefix('<') {
            step.input.push_str(input.trim_start());
            step.input.push('\n');
        } else if let Some(failure) = line.strip_prefix("! ") {
            let (code, error) = failure.split_once(' ').unwrap();
            step.failure = Some((code.parse().unwrap(), error.to_owned()));
        } else {
            step.expected.push(line.to_owned());
        }
    }
    for step in &mut steps {
        // What is between two parts of the sequence.
        while step.expected.last().is_some_and(String::is_empty) {
            step.expected.pop();
        }
    }
    steps
}

/// Fills in the names that are known.
fn named(text: &str, names: &Names) -> String {
    names
        .iter()
        .fold(text.to_owned(), |text, (name, word)| text.replace(&format!("{{{name}}}"), word))
}

/// Whether a line is as it should be. It may give words to names.
fn fits(pattern: &str, line: &str, names: &mut Names) -> bool {
    let pattern = named(pattern, names);
    let Some(begin) = first_unknown(&pattern) else { return pattern == line };
    if !line.is_char_boundary(begin) || line.get(..begin) != Some(&pattern[..begin]) {
        return false;
    }
    let (rest, line) = (&pattern[begin..], &line[begin..]);
    if let Some(rest) = rest.strip_prefix('*') {
        return (0..=line.len())
            .rev()
            .any(|end| line.is_char_boundary(end) && fits(rest, &line[end..], names));
    }
    let Some(name) = name_at(rest) else { return false };
    let end = line.find([' ', ',', '}', ']']).unwrap_or(line.len());
    names.insert(name.to_owned(), line[..end].to_owned());
    fits(&rest[name.len() + 2..], &line[end..], names)
}

/// The name in braces that a text begins with.
fn name_at(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    name.chars().all(|c| c.is_ascii_lowercase()).then_some(name).filter(|name| !name.is_empty())
}

/// Where the first star or name is. Other braces are braces.
fn first_unknown(pattern: &str) -> Option<usize> {
    let mut places = pattern.match_indices(['*', '{']).map(|(at, _)| at);
    places.find(|at| pattern[*at..].starts_with('*') || name_at(&pattern[*at..]).is_some())
}

fn words(command: &str) -> Vec<String> {
    command.split(' ').map(|word| word.trim_matches('"').to_owned()).collect()
}

/// Runs the sequence; the first command that does something else ends it.
fn run(etcdctl: &Path, version: Version, endpoint: &str, folder: &Path) {
    let mut names = Names::from([
        ("endpoint".to_owned(), endpoint.to_owned()),
        ("folder".to_owned(), folder.display().to_string()),
    ]);
    for step in steps(SEQUENCE) {
        if step.since_3_5 && version < Version::V3_5 {
            continue;
        }
        let command = named(&step.command, &names);
        let mut child = etcdctl_command(etcdctl, endpoint)
            .args(words(&command))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(step.input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let what = format!("etcdctl {} {command}\n{stdout}{stderr}", version.number());
        let code = output.status.code();
        if let Some((expected, error)) = &step.failure {
            assert_eq!(code, Some(*expected), "{what}");
            assert!(stderr.lines().any(|line| line == error), "{what}");
            continue;
        }
        assert_eq!(code, Some(0), "{what}");
        let mut lines: Vec<&str> = stdout.lines().collect();
        if lines.is_empty() {
            // Some commands of 3.4 tell what they have to tell there.
            lines = stderr.lines().filter(|line| !line.starts_with('{')).collect();
        }
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        assert_eq!(lines.len(), step.expected.len(), "{what}");
        for (pattern, line) in step.expected.iter().zip(lines) {
            assert!(fits(pattern, line, &mut names), "{pattern}\n{what}");
        }
    }
    watched(etcdctl, endpoint);
}

/// A watch from a revision on, which goes on with what happens from then on.
fn watched(etcdctl: &Path, endpoint: &str) {
    let put = |key: &str, value: &str| {
        let status = etcdctl_command(etcdctl, endpoint)
            .args(["put", key, value])
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    };
    put("w1", "a");
    let mut watch = Watching::start(etcdctl, endpoint, &["w", "--prefix", "--rev=7"]);
    let mut next = |count: usize| watch.next(count);
    assert_eq!(next(3), ["PUT", "w1", "a"]);
    put("w2", "b");
    assert_eq!(next(3), ["PUT", "w2", "b"]);
    let delete =
        etcdctl_command(etcdctl, endpoint).args(["del", "w", "--prefix"]).output().unwrap();
    assert_eq!(delete.stdout, b"2\n");
    assert_eq!(next(6), ["DELETE", "w1", "", "DELETE", "w2", ""]);
    drop(watch);

    let compacted =
        etcdctl_command(etcdctl, endpoint).args(["watch", "w", "--rev=2"]).output().unwrap();
    assert_eq!(compacted.status.code(), Some(5));
    let error = String::from_utf8_lossy(&compacted.stderr).into_owned();
    for line in [
        "watch was canceled (etcdserver: mvcc: required revision has been compacted)",
        "Error: watch is canceled by the server",
    ] {
        assert!(error.lines().any(|told| told == line), "{error}");
    }
}

/// A watch of etcdctl. Dropping it ends it.
struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn start(etcdctl: &Path, endpoint: &str, arguments: &[&str]) -> Self {
        let mut child = etcdctl_command(etcdctl, endpoint)
            .arg("watch")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::sync_channel(100);
        // It ends with the output, which ends with the process.
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    fn next(&mut self, count: usize) -> Vec<String> {
        let line = || self.lines.recv_timeout(DEADLINE).expect("a watch tells what happens");
        (0..count).map(|_| line()).collect()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn etcdctl_command(etcdctl: &Path, endpoint: &str) -> Command {
    let mut command = Command::new(etcdctl);
    // A password's hash takes its time on a machine that has other things to do.
    let patience = ["--dial-timeout=60s", "--command-timeout=60s"];
    command.env("ETCDCTL_API", "3").args(["--endpoints", endpoint]).args(patience);
    command
}

async fn check(version: Version, endpoint: &str) {
    let (etcdctl, endpoint): (PathBuf, String) = (version.etcdctl(), endpoint.to_owned());
    let folder = tempfile::tempdir().unwrap();
    spawn_blocking(move || run(&etcdctl, version, &endpoint, folder.path())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_of_etcdctl_print_what_they_print_with_etcd() {
    for version in [Version::V3_4, Version::V3_5] {
        if !Version::available().contains(&version) {
            continue;
        }
        let etcd = Etcd::builder(version).argument("--bcrypt-cost=4").start().await;
        check(version, &etcd.client_addr().to_string()).await;
        let server = Server::builder().listen("127.0.0.1:0").bcrypt_cost(4).start().await.unwrap();
        check(version, server.client_urls()[0].trim_start_matches("http://")).await;
    }
}

#[test]
fn patterns_take_words_for_names_and_anything_for_a_star() {
    for (pattern, line, fit) in [
        ("a", "a", true),
        ("a", "b", false),
        ("lease {l} granted", "lease 12ab granted", true),
        ("lease {l} granted", "lease 12ab revoked", false),
        ("{l} {l}", "1 1", true),
        ("{l} {l}", "1 2", false),
        (r#"{"id":{id},"x":{"y":1}}"#, r#"{"id":7,"x":{"y":1}}"#, true),
        (r#"{"id":{id}}"#, r#"{"no":7}"#, false),
        ("a *, c", "a b, c", true),
        ("a *, c", "a b, d", false),
    ] {
        assert_eq!(fits(pattern, line, &mut Names::new()), fit, "{pattern} {line}");
    }
}
