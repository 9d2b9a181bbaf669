//! Interactive watches and the commands that they run.

use std::process;

use super::{address, served, start};

#[tokio::test]
async fn a_slow_command_of_one_watch_holds_up_no_other() {
    let (server, client) = served("a").await;
    client.put("a", "1").await.expect("it takes it");
    client.put("b", "1").await.expect("it takes it");
    let folder = tempfile::tempdir().expect("a folder");
    let made = process::Command::new("mkfifo").arg(folder.path().join("pipe")).status();
    assert!(made.expect("it runs").success());
    let mut live = start(&address(&server), folder.path(), &["watch", "-i"]);
    live.feed("watch a --rev 1 -- sh -c 'echo begun; cat pipe'\n").await;
    assert_eq!(live.lines(4).await, ["PUT", "a", "1", "begun"]);
    // It waits for the pipe. Lines are read, and events come.
    live.feed("watch b --rev 1\n").await;
    assert_eq!(live.lines(3).await, ["PUT", "b", "1"]);
    client.put("a", "2").await.expect("it takes it");
    client.put("b", "2").await.expect("it takes it");
    assert_eq!(live.lines(3).await, ["PUT", "b", "2"]);
    // Its own next event comes when it is done.
    let pipe = folder.path().join("pipe");
    let written = tokio::task::spawn_blocking(move || std::fs::write(pipe, "done\n"));
    assert_eq!(live.lines(5).await, ["done", "PUT", "a", "2", "begun"]);
    written.await.expect("nothing panics").expect("it is read");
}

#[tokio::test]
async fn a_command_of_a_watch_does_not_read_the_lines_that_are_ours() {
    let (server, client) = served("a").await;
    client.put("a", "1").await.expect("it takes it");
    client.put("b", "1").await.expect("it takes it");
    let folder = tempfile::tempdir().expect("a folder");
    let mut live = start(&address(&server), folder.path(), &["watch", "-i"]);
    live.feed("watch a --rev 1 -- cat\n").await;
    assert_eq!(live.lines(3).await, ["PUT", "a", "1"]);
    client.put("a", "2").await.expect("it takes it");
    // The first command has ended.
    assert_eq!(live.lines(3).await, ["PUT", "a", "2"]);
    live.feed("watch b --rev 1\n").await;
    assert_eq!(live.lines(3).await, ["PUT", "b", "1"]);
}
