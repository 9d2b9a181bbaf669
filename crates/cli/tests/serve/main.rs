//! `serve` as those see it who start an etcd: flags, log, exit codes, and what real etcd says to the same.
#![cfg(unix)]

mod process;

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use etcdkit::Client;
use etcdkit::config::Tls;
use etcdkit_testkit::etcd::{Etcd, Version};
use rustix::process::Signal;

use process::{Running, etcd};

const ANYWHERE: &str = "--listen-client-urls=http://127.0.0.1:0";

async fn value(address: &str, key: &str) -> Option<String> {
    let client = Client::connect([address]).await.expect("it serves");
    let found = client.get(key).await.expect("it answers");
    found.first().map(|kv| kv.value_str().expect("text").to_owned())
}

async fn put(address: &str, key: &str, value: &str) {
    let client = Client::connect([address]).await.expect("it serves");
    client.put(key, value).await.expect("it takes it");
}

#[tokio::test]
async fn what_was_put_is_there_after_a_signal_and_a_start() {
    for (signal, number, name) in [(Signal::TERM, 15, "terminated"), (Signal::INT, 2, "interrupt")]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments = ["--name", "m0", ANYWHERE, "--snapshot-count=5", "-pre-vote=false"];
        let server = Running::start(folder.path(), &arguments);
        assert!(
            server.messages().contains(&"ready to serve client requests"),
            "{:?}",
            server.lines
        );
        put(&server.address, "a", "1").await;
        let (status, server) = server.end(signal);
        // As etcd ends: by the signal, after it stopped.
        assert_eq!((status.code(), status.signal()), (None, Some(number)));
        assert!(server.messages().contains(&"closed etcd server"), "{:?}", server.lines);
        assert!(server.lines.iter().any(|line| line["signal"] == name), "{:?}", server.lines);
        for line in &server.lines {
            for field in ["level", "ts", "caller", "msg"] {
                assert!(line[field].is_string(), "{line}");
            }
        }

        assert!(folder.path().join("m0.etcd").is_dir());
        let server = Running::start(
            folder.path(),
            &["--name=m0", ANYWHERE, "--initial-cluster-state=existing"],
        );
        assert_eq!(value(&server.address, "a").await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn a_server_in_memory_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Running::start(folder.path(), &["--in-memory", ANYWHERE]);
    put(&server.address, "a", "1").await;
    server.end(Signal::TERM);
    let left: Vec<_> = fs::read_dir(folder.path()).expect("it is there").collect();
    assert_eq!(left.len(), 1, "the link alone: {left:?}");
}

#[tokio::test]
async fn a_certificate_of_its_own_is_trusted_by_who_has_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--auto-tls", "--listen-client-urls=https://127.0.0.1:0", "--data-dir=d"];
    let connect = async |address: &str| {
        let trusting = Tls::new().ca_file(folder.path().join("d/fixtures/client/cert.pem"));
        let endpoint = format!("https://{address}");
        Client::builder().endpoints([endpoint.as_str()]).tls(trusting).connect().await
    };
    let server = Running::start(folder.path(), &arguments);
    connect(&server.address).await.expect("it is trusted").put("a", "1").await.expect("it serves");
    let untrusted = format!("https://{}", server.address);
    assert!(Client::connect([untrusted.as_str()]).await.is_err());
    // The flag alone speaks TLS, to whoever answers.
    for endpoint in [untrusted.as_str(), &server.address] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcdkit"));
        command.args(["get", "a", "--insecure-skip-tls-verify", "--endpoints", endpoint]);
        let ran = command.output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "a\n1\n", "{ran:?}");
    }
    server.end(Signal::TERM);
    let server = Running::start(folder.path(), &arguments);
    connect(&server.address).await.expect("the certificate is the same");
}

/// It said that it was closed, and then waited for the thread, whatever signals came.
#[test]
fn a_server_ends_though_one_of_its_threads_hangs() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--auto-tls", "--listen-client-urls=https://127.0.0.1:0", "--data-dir=d"];
    let server = Running::start(folder.path(), &arguments);
    // Certificates are read for each handshake: this one never comes.
    let certificate = folder.path().join("d/fixtures/client/cert.pem");
    fs::remove_file(&certificate).expect("it is there");
    let made = Command::new("mkfifo").arg(&certificate).status().expect("it runs");
    assert!(made.success());
    let _connection = TcpStream::connect(&server.address).expect("it listens");
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(fs::File::options().write(true).open(&certificate)));
    let minute = Duration::from_secs(60);
    let _hangs = told.recv_timeout(minute).expect("it is read").expect("it can be written");
    let (tell, ended) = mpsc::channel();
    thread::spawn(move || tell.send(server.end(Signal::TERM).0));
    let status = ended.recv_timeout(minute).expect("it ends");
    assert_eq!(status.signal(), Some(15));
}

/// A folder's files with their content.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("it is there").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.display().to_string(), fs::read(&path).expect("it is there")));
            }
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn the_data_of_a_real_etcd_is_left_alone_and_its_snapshot_is_served() {
    let real = Etcd::builder(Version::newest()).start().await;
    put(&real.client_url(), "a", "1").await;
    let folder = tempfile::tempdir().expect("a folder");
    let snapshot = folder.path().join("backup.db");
    let client = Client::connect([real.client_url()]).await.expect("it serves");
    client.save_snapshot(snapshot.as_path()).await.expect("it is saved");
    client.close().await;

    let arguments = ["--data-dir=new", "--from-snapshot=backup.db", ANYWHERE];
    let server = Running::start(folder.path(), &arguments);
    assert_eq!(value(&server.address, "a").await.as_deref(), Some("1"));
    server.end(Signal::TERM);

    let data = folder.path().join("real.etcd");
    fs::create_dir_all(data.join("member/snap")).expect("a folder");
    fs::copy(&snapshot, data.join("member/snap/db")).expect("it is copied");
    let before = content(&data);
    let refused = etcd(folder.path()).arg("--data-dir=real.etcd").output().expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).expect("text");
    for part in
        ["real.etcd is the data directory of a real etcd", "snapshot save", "--from-snapshot"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(content(&data), before);
}

#[test]
fn a_member_that_is_not_there_is_not_made_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--initial-cluster-state=existing", ANYWHERE];
    let refused = etcd(folder.path()).args(arguments).output().expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).expect("text");
    assert!(text.contains("there is no member in default.etcd"), "{text}");
    assert!(!folder.path().join("default.etcd").exists());
}

/// The exit code, and what was wrong: the first line, or the error that was logged.
fn complaint(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stderr);
    let logged = text.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(line["error"].as_str()?.to_owned())
    });
    let first = text.lines().next().unwrap_or_default().to_owned();
    (output.status.code(), logged.unwrap_or(first))
}

/// Command lines that etcd refuses; ours refuses them with the same exit code, and says at least what etcd says.
const REFUSED: &[&[&str]] = &[
    &["--foo"],
    &["-foo=1"],
    &["--name"],
    &["---x"],
    &["--=x"],
    &["extra"],
    &["--name=a", "extra", "--foo"],
    &["-pre-vote=maybe"],
    &["--version=maybe"],
    &["--snapshot-count=x"],
    &["--snapshot-count=-1"],
    &["--max-concurrent-streams=4294967296"],
    &["--quota-backend-bytes=9223372036854775808"],
    &["--watch-progress-notify-interval=5"],
    &["--listen-client-urls=foo"],
    &["--listen-client-urls=http://127.0.0.1"],
    &["--listen-client-urls=http://127.0.0.1:1/path"],
    &["--advertise-client-urls=ftp://127.0.0.1:1"],
    &["--listen-client-urls=http://foo.bar:1", "--advertise-client-urls=http://a:1"],
    &["--listen-client-urls=http://0.0.0.0:1"],
    &["--heartbeat-interval=0"],
    &["--election-timeout=0"],
    &["--heartbeat-interval=300"],
    &["--election-timeout=60000"],
    &["--auto-compaction-mode=z"],
    &["--log-format=bad"],
    &["--logger=bad"],
    &["--tls-min-version=x"],
    &["--feature-gates=Nothing=true"],
    &["--feature-gates=AllBeta"],
    &["--config-file=/nowhere/etcd.yaml"],
];

#[test]
fn what_etcd_refuses_is_refused_with_its_exit_code_and_its_words() {
    let real = Version::newest();
    if real != Version::V3_7 {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut differences = Vec::new();
    for arguments in REFUSED {
        let theirs = Command::new(real.etcd())
            .args(*arguments)
            .current_dir(folder.path())
            .output()
            .expect("it runs");
        let ours = etcd(folder.path()).args(*arguments).output().expect("it runs");
        let (ours, theirs) = (complaint(&ours), complaint(&theirs));
        if ours.0 != theirs.0 || !ours.1.contains(&theirs.1) {
            differences.push(format!("{arguments:?}\n  ours:   {ours:?}\n  theirs: {theirs:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
