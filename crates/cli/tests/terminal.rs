//! What a person sees on a terminal, and a program does not: hints, colour, and how far long work is.
#![cfg(unix)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use etcdkit_server::storage::{Batch, Load, Source, Storage, StorageError};
use etcdkit_server::{Server, ServerBuilder};
use etcdkit_testkit::wait::eventually;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// A terminal: the end of who looks at it and types, and that of who runs on it.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("it is ours");
    let path = ptsname(&ours, Vec::new()).expect("it has a name");
    let path = path.to_str().expect("text");
    let theirs = File::options().read(true).write(true).open(path).expect("it can be opened");
    (File::from(ours), theirs)
}

/// A command whose stderr is a terminal.
struct Shown {
    child: Child,
    screen: File,
    seen: String,
}

impl Shown {
    fn start(endpoint: &str, words: &[&str], variables: &[(&str, &str)]) -> Self {
        let (ours, theirs) = terminal();
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcdkit"));
        command.env_clear().env("ETCDCTL_ENDPOINTS", endpoint).args(words);
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(OwnedFd::from(theirs));
        let child = command.spawn().expect("it runs");
        Self { child, screen: ours, seen: String::new() }
    }

    /// Waits until `text` has been on the screen.
    fn wait(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.read(), "it ended without {text:?}: {:?}", self.seen);
        }
    }

    /// Everything that was on the screen until the command ended.
    fn end(mut self) -> (Option<i32>, String) {
        while self.read() {}
        (self.child.wait().expect("it is ours").code(), std::mem::take(&mut self.seen))
    }

    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // Who has no more writers is broken, by the way of terminals.
        let read = self.screen.read(&mut bytes).unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        read > 0
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was on the screen while something ran, on a thread of its own.
async fn shown(
    endpoint: &str,
    words: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String) {
    let running = Shown::start(endpoint, words, variables);
    spawn_blocking(|| running.end()).await.expect("nothing panics")
}

async fn served() -> (Server, String) {
    filled(Server::builder()).await
}

async fn filled(server: ServerBuilder) -> (Server, String) {
    let server = server.listen("127.0.0.1:0").start().await.expect("it starts");
    let client = etcdkit::Client::connect(server.client_urls()).await.expect("it serves");
    for key in ["k/1", "k/2", "k/3"] {
        client.put(key, "v").await.expect("it takes it");
    }
    let endpoint = server.client_urls()[0].clone();
    (server, endpoint)
}

#[tokio::test]
async fn errors_come_in_colour_and_with_a_hint() {
    let words = ["get", "a", "--command-timeout=1s"];
    let (code, seen) = shown("127.0.0.1:1", &words, &[]).await;
    assert_eq!(code, Some(1));
    assert!(
        seen.starts_with("\x1b[31mError:\x1b[0m context deadline exceeded\r\nHint: "),
        "{seen}"
    );
    assert!(seen.contains("127.0.0.1:1"), "{seen}");
    assert!(seen.ends_with("Is etcd running there? --endpoints names others\r\n"), "{seen}");
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (_, seen) = shown("127.0.0.1:1", &words, &[plain]).await;
        assert!(seen.starts_with("Error: context deadline exceeded\r\nHint: "), "{seen}");
    }
}

#[tokio::test]
async fn snapshots_and_restores_show_how_far_they_are() {
    let (_server, endpoint) = served().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (code, seen) = shown(&endpoint, &["snapshot", "save", &path("a.db")], &[]).await;
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("saving [") && seen.ends_with("MB\r\x1b[K"), "{seen:?}");
    let restore = ["snapshot", "restore", &path("a.db"), "--data-dir", &path("d")];
    let (code, seen) = shown(&endpoint, &restore, &[]).await;
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("restoring [") && seen.ends_with("MB\r\x1b[K"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_shows_how_many_keys_it_has_copied_and_then_nothing() {
    let (_server, endpoint) = served().await;
    let there = Server::builder().listen("127.0.0.1:0").start().await.expect("it starts");
    let to = there.client_urls()[0].clone();
    let mut mirror = Shown::start(&endpoint, &["make-mirror", &to, "--prefix", "k/"], &[]);
    spawn_blocking(move || {
        mirror.wait("copying [==============================] 3 of 3 keys");
        mirror.wait("keys\r\x1b[K");
    })
    .await
    .expect("it is shown");
}

/// A disk that is as slow as who holds it wants.
#[derive(Debug)]
struct Slow(Arc<Mutex<()>>);

impl Storage for Slow {
    fn load(&mut self, _: &mut Load<'_>) -> Result<(), StorageError> {
        Ok(())
    }

    fn commit(&mut self, _: &Batch) -> Result<(), StorageError> {
        drop(self.0.blocking_lock());
        Ok(())
    }

    fn fill(&mut self, _: &mut Source<'_>) -> Result<(), StorageError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_large_deletion_shows_that_it_goes_on() {
    let disk = Arc::new(Mutex::new(()));
    let (_server, endpoint) = filled(Server::builder().storage(Slow(Arc::clone(&disk)))).await;
    let held = disk.lock().await;
    let mut deleting =
        Shown::start(&endpoint, &["del", "--prefix", "k/", "--command-timeout=60s"], &[]);
    let deleting = spawn_blocking(move || {
        deleting.wait("deleting 3 keys: ");
        deleting
    });
    let deleting = deleting.await.expect("it is shown");
    drop(held);
    let (code, seen) = spawn_blocking(|| deleting.end()).await.expect("nothing panics");
    assert_eq!(code, Some(0), "{seen}");
    let lines: Vec<&str> = seen.split("\r\x1b[K").collect();
    let ["", told @ .., ""] = lines.as_slice() else { panic!("{seen:?}") };
    assert!(!told.is_empty(), "{seen:?}");
    for line in told {
        let seconds =
            line.strip_prefix("deleting 3 keys: ").and_then(|line| line.strip_suffix(" s"));
        assert!(seconds.is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{seen:?}");
    }
}

#[tokio::test]
async fn a_change_that_may_have_been_made_is_said_to_be_so() {
    let (server, endpoint) = served().await;
    server.faults().delay("/etcdserverpb.KV/Put", Duration::from_secs(60));
    let (code, seen) = shown(&endpoint, &["put", "a", "1", "--command-timeout=1s"], &[]).await;
    assert_eq!(code, Some(1));
    assert!(seen.ends_with("It may have been done all the same\r\n"), "{seen}");
}

#[tokio::test]
async fn a_frozen_member_is_said_to_be_one() {
    let (server, endpoint) = served().await;
    server.faults().pause();
    for words in [&["get", "a"][..], &["endpoint", "health"], &["endpoint", "status"], &["defrag"]]
    {
        let words = [words, &["--command-timeout=1s"]].concat();
        let (code, seen) = shown(&endpoint, &words, &[]).await;
        assert_eq!(code, Some(1), "{seen}");
        assert!(seen.contains("Hint: ") && seen.contains("frozen"), "{words:?}: {seen}");
    }
}

/// A command that asks for a password on a terminal.
struct Asking {
    child: Child,
    /// The end of who types.
    keyboard: File,
    terminal: File,
}

impl Asking {
    async fn start(endpoint: &str, words: &[&str]) -> Self {
        let (keyboard, terminal) = terminal();
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcdkit"));
        command.env_clear().env("ETCDCTL_ENDPOINTS", endpoint).args(words).arg("--user=root");
        command.stdin(terminal.try_clone().expect("it can be shared"));
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().expect("it runs");
        let asking = Self { child, keyboard, terminal };
        asking.shows(false).await;
        asking
    }

    /// Waits until what is typed shows, or does not.
    async fn shows(&self, expected: bool) {
        eventually("the terminal", Duration::from_secs(60), async || {
            let modes = tcgetattr(&self.terminal).expect("it is a terminal").local_modes;
            (modes.contains(LocalModes::ECHO) == expected).then_some(())
        })
        .await;
    }

    fn send(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().try_into().expect("it is small"));
        kill_process(id.expect("it runs"), signal).expect("it runs");
    }

    /// By which signal it ends, or with which code.
    fn end(&mut self) -> (Option<i32>, Option<i32>) {
        let status = self.child.wait().expect("it is ours");
        (status.signal(), status.code())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_signal_at_the_password_prompt_leaves_a_terminal_that_shows_what_is_typed() {
    let (_server, endpoint) = served().await;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let mut asking = Asking::start(&endpoint, &["get", "a"]).await;
        asking.send(signal);
        assert_eq!(asking.end(), (Some(signal.as_raw()), None));
        asking.shows(true).await;
    }
}

/// What is done about signals at the prompt stops when it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_after_the_password_prompt_do_what_they_do_without_it() {
    let (server, endpoint) = served().await;
    let run = async |words: &[&str]| shown(&endpoint, words, &[]).await.0;
    for words in [
        &["user", "add", "root:pw"][..],
        &["user", "grant-role", "root", "root"],
        &["auth", "enable"],
    ] {
        assert_eq!(run(words).await, Some(0), "{words:?}");
    }
    // A lock is released by an interrupt.
    let mut asking = Asking::start(&endpoint, &["lock", "l"]).await;
    asking.keyboard.write_all(b"pw\n").expect("it is read");
    let mut out = asking.child.stdout.take().expect("it is piped");
    let mut held = String::new();
    while !held.contains("l/") {
        let mut bytes = [0; 256];
        let read = out.read(&mut bytes).expect("it can be read");
        assert!(read > 0, "it ended: {held}");
        held.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    asking.shows(true).await;
    asking.send(Signal::INT);
    assert_eq!(asking.end(), (None, Some(0)));

    // What waits for nothing is ended.
    server.faults().delay("/etcdserverpb.KV/Range", Duration::from_secs(600));
    let mut asking = Asking::start(&endpoint, &["get", "a", "--command-timeout=500s"]).await;
    asking.keyboard.write_all(b"pw\n").expect("it is read");
    asking.shows(true).await;
    asking.send(Signal::INT);
    assert_eq!(asking.end(), (Some(Signal::INT.as_raw()), None));
}
