//! The same command lines through etcdutl 3.7.1 and through ours, on the same files: stdout, stderr and exit code must be the
//! same, and what is left on disk must come to the same.
//!
//! The command lines stand in `lines.txt`, written as those of the comparison with etcdctl. Each has a folder of its own,
//! with the files that [`files`] made: the official tool changes some of those that it reads.
#![cfg(unix)]

mod files;
#[path = "../parity/table.rs"]
mod table;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use etcdkit_testkit::etcd::Version;

use files::Files;
use table::Line;

/// How a command line went.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

#[tokio::test]
async fn etcdutl_and_ours_say_the_same_of_the_same_files() {
    if !Version::available().contains(&Version::V3_7) {
        println!("skipped: no etcd 3.7.1");
        return;
    }
    let files = Files::make().await;
    let lines = table::read(include_str!("lines.txt"));
    assert!(lines.len() >= 80, "{}", lines.len());
    let mut differences = Vec::new();
    for line in &lines {
        let (official, ours) = (run(line, &files, false), run(line, &files, true));
        for (official, ours) in official.iter().zip(&ours) {
            if official != ours {
                differences.push(format!(
                    "line {}: {}\n  official {official:#?}\n  ours {ours:#?}\n",
                    line.number, line.text
                ));
            }
        }
    }
    let count = differences.len();
    assert!(count == 0, "{count} of {} lines differ:\n{}", lines.len(), differences.join("\n"));
}

/// Runs a line on a fresh copy of the files. What stands behind `&&` looks at what the first command left, and is run by
/// the official tool.
fn run(line: &Line, files: &Files, is_ours: bool) -> Vec<Ran> {
    let folder = files.copy();
    let official = Version::V3_7.etcdutl().expect("etcd 3.7 has it");
    let mut ran = Vec::new();
    for (index, words) in line.words.split(|word| word == b"&&").enumerate() {
        let mut command = Command::new(&official);
        if is_ours && index == 0 {
            command = Command::new(env!("CARGO_BIN_EXE_etcdkit"));
            command.arg0("etcdutl");
        }
        let text = |word: &Vec<u8>| String::from_utf8(word.clone()).expect("lines are text");
        command.args(words.iter().map(text)).env_clear().current_dir(folder.path());
        let output = command.output().expect("the tool can be run");
        ran.push(Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: without_log(&String::from_utf8_lossy(&output.stderr)),
        });
    }
    ran
}

/// What a person reads on stderr: the official tool logs there, with the stack below what it takes for an error.
fn without_log(stderr: &str) -> String {
    let is_log = |line: &&str| {
        let time = line.get(..20).is_some_and(|time| time.ends_with('Z') && time.contains('T'));
        let stack =
            ["go.etcd.io/", "github.com/spf13/", "main.", "runtime.", "\t/", "\tgo.etcd.io/"];
        let stack = stack.iter().any(|start| line.starts_with(start))
            || (line.starts_with('\t') && line.contains(".go:"));
        !(stack || time && line.contains('\t'))
    };
    stderr.lines().filter(is_log).map(|line| format!("{line}\n")).collect()
}

/// The official tool panics here.
#[tokio::test]
async fn a_database_that_etcd_has_open_is_waited_for_and_left_alone() {
    let etcd = etcdkit_testkit::etcd::Etcd::builder(Version::newest()).start().await;
    etcd.etcdctl(["put", "a", "1"]).await;
    let data = etcd.data_dir().display().to_string();
    let file = format!("{data}/member/snap/db");
    for arguments in [
        &["defrag", "--data-dir", &data][..],
        &["migrate", "--target-version", "3.6", "--data-dir", &data],
        &["snapshot", "status", &file],
        &["hashkv", &file],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcdkit"));
        command.arg0("etcdutl").args(arguments).args(["--timeout", "1ms"]);
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8(output.stderr).expect("text");
        assert!(text.contains("another process, probably etcd, holds it open"), "{text}");
    }
    etcd.etcdctl(["put", "a", "2"]).await;
    etcd.restart().await;
    assert_eq!(etcd.etcdctl(["get", "a", "--print-value-only"]).await.trim(), "2");
}

/// `etcdkit` has the commands too, where they don't stand in the way of those for a cluster.
#[tokio::test]
async fn etcdkit_and_etcdctl_have_the_commands_that_3_6_took_from_etcdctl() {
    let files = Files::make().await;
    let folder = files.copy();
    let status = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcdkit"));
        command.arg0(name).current_dir(folder.path()).args(["snapshot", "status", "v3.7.db"]);
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{name}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(status("etcdkit"), status("etcdutl"));
    assert_eq!(status("etcdctl"), status("etcdutl"));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcdkit"));
        let output = command.arg0("etcdctl").current_dir(folder.path()).args(arguments).output();
        output.expect("it runs").status.success()
    };
    assert!(run(&["snapshot", "restore", "v3.7.db", "--data-dir", "restored"]));
    assert!(run(&["defrag", "--data-dir", "restored"]));
    assert!(Path::new(&folder.path().join("restored/member/snap/db")).exists());
}
