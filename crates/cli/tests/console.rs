//! What ours does that the official tools don't, with everything in memory.

use std::io::Cursor;
use std::sync::{Arc, Mutex};

use etcdkit_cli::Console;
use etcdkit_testkit::etcd::{Etcd, Version};

/// What was written, for whoever looks later.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panicked").clone()).expect("text")
    }
}

/// Runs a command line on a thread of its own, since commands have a runtime of their own.
async fn run(endpoint: &str, words: &[&str], input: &str) -> (u8, String, String) {
    let (out, err) = (Written::default(), Written::default());
    let variables = [("ETCDCTL_ENDPOINTS".into(), endpoint.into())];
    let mut console =
        Console::new(variables, Cursor::new(input.to_owned()), out.clone(), err.clone());
    let words: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
    let code = tokio::task::spawn_blocking(move || {
        etcdkit_cli::run("etcdkit".as_ref(), words, &mut console)
    });
    (code.await.expect("the command does not panic"), out.text(), err.text())
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_deleted_and_deletes_nothing() {
    if Version::available().is_empty() {
        return;
    }
    let etcd = Etcd::start_newest().await;
    let endpoint = etcd.client_url();
    for key in ["a/1", "a/2", "b"] {
        assert_eq!(run(&endpoint, &["put", key], "x").await.0, 0);
    }
    let (code, out, err) = run(&endpoint, &["del", "a/", "b", "--dry-run"], "").await;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "2 would be deleted\na/1\na/2\n", ""));
    let (_, out, _) = run(&endpoint, &["get", "--prefix", "", "--keys-only"], "").await;
    assert_eq!(out, "a/1\n\na/2\n\nb\n\n");
    let (_, out, _) = run(&endpoint, &["del", "--prefix", "a/"], "").await;
    assert_eq!(out, "2\n");
}

#[tokio::test]
async fn a_transaction_compares_the_lease_of_a_key() {
    if Version::available().is_empty() {
        return;
    }
    let etcd = Etcd::start_newest().await;
    let endpoint = etcd.client_url();
    let (_, granted, _) = run(&endpoint, &["lease", "grant", "100"], "").await;
    let id = granted.split(' ').nth(1).unwrap();
    run(&endpoint, &["put", "k", "v", "--lease", id], "").await;
    for (id, outcome) in [(id, "SUCCESS\n"), ("1", "FAILURE\n")] {
        let input = format!("lease(\"k\") = \"{id}\"\n\n\n\n");
        assert_eq!(run(&endpoint, &["txn"], &input).await, (0, outcome.to_owned(), String::new()));
    }
}

#[tokio::test]
async fn a_snapshot_takes_the_place_of_an_older_one() {
    if Version::available().is_empty() {
        return;
    }
    let etcd = Etcd::start_newest().await;
    let endpoint = etcd.client_url();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    std::fs::write(&path, "old").unwrap();
    let (code, out, _) = run(&endpoint, &["snapshot", "save", path.to_str().unwrap()], "").await;
    assert_eq!(code, 0);
    assert!(out.starts_with(&format!("Snapshot saved at {}\n", path.display())), "{out}");
    assert!(std::fs::metadata(&path).unwrap().len() > 10_000);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}
