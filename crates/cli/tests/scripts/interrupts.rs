//! Locks and elections of clusters that do not answer any more: what an interrupt still does.

use std::time::Duration;

use etcdkit::Client;
use etcdkit::concurrency::{Election, Mutex, SessionOptions};
use etcdkit_server::Server;
use etcdkit_testkit::wait::eventually;
use rustix::process::Signal;
use tempfile::TempDir;

use super::live::Live;
use super::{address, served};

/// What never comes.
const NEVER: Duration = Duration::from_secs(3600);
const READ: &str = "/etcdserverpb.KV/Range";

/// A server with a client, and a folder for commands.
struct Stage {
    server: Server,
    client: Client,
    folder: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let (server, client) = served("a").await;
        Self { server, client, folder: tempfile::tempdir().expect("a folder") }
    }

    fn start(&self, words: &[&str]) -> Live {
        super::start(&address(&self.server), self.folder.path(), words)
    }

    /// Waits until so much was written.
    async fn written(&self, revision: i64) {
        eventually("a write", Duration::from_secs(60), async || {
            (self.server.revision() >= revision).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_interrupt_ends_who_cannot_read_what_it_got() {
    for words in [&["lock", "l"][..], &["elect", "l", "me"]] {
        let stage = Stage::new().await;
        stage.server.faults().delay(READ, NEVER);
        let live = stage.start(words);
        stage.written(2).await;
        let ran = live.interrupt().await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(1), "Error: context canceled\n"));
        // It was given back.
        assert_eq!(stage.server.revision(), 3);
    }
}

#[tokio::test]
async fn who_cannot_read_what_it_got_notices_that_it_is_lost() {
    let stage = Stage::new().await;
    stage.server.faults().delay(READ, NEVER);
    let live = stage.start(&["lock", "l"]);
    stage.written(2).await;
    let leases = stage.client.leases().await.expect("it answers");
    stage.client.revoke(leases.ids()[0]).await.expect("it is there");
    let ran = live.ended().await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), "Error: session expired\n"));
}

#[tokio::test]
async fn a_second_interrupt_ends_who_cannot_give_its_place_back() {
    let stage = Stage::new().await;
    let session = stage.client.session(SessionOptions::new()).await.expect("it grants a lease");
    let lock = Mutex::new(&session, "l").lock().await.expect("it is free");
    let leads = Election::new(&session, "e").campaign("me").await.expect("nobody leads");
    stage.server.faults().delay("/etcdserverpb.Lease/LeaseRevoke", NEVER);
    for (words, revision) in [(&["lock", "l", "--ttl=600"][..], 4), (&["elect", "e", "me too"], 6)]
    {
        let live = stage.start(words);
        stage.written(revision).await;
        live.send(Signal::INT);
        // Its place in line is free. The lease behind it is not gone.
        stage.written(revision + 1).await;
        let ran = live.interrupt().await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(1), "Error: context canceled\n"));
    }
    drop((lock, leads));
}

#[tokio::test]
async fn an_observer_shows_what_was_said_and_not_what_is_there_by_now() {
    let stage = Stage::new().await;
    let session = stage.client.session(SessionOptions::new()).await.expect("it grants a lease");
    let leads = Election::new(&session, "e").campaign("0").await.expect("nobody leads");
    let key = String::from_utf8(leads.key().to_vec()).expect("it is text");
    let mut observer = stage.start(&["elect", "-l", "e"]);
    assert_eq!(observer.lines(2).await, [key.as_str(), "0"]);
    // Of what is there by now it would hear nothing.
    stage.server.faults().delay(READ, NEVER);
    for value in ["1", "2"] {
        leads.proclaim(value).await.expect("it leads");
    }
    leads.resign().await.expect("it leads");
    assert_eq!(observer.lines(4).await, [&key, "1", &key, "2"]);
    assert_eq!(observer.interrupt().await.code, Some(0));
}
