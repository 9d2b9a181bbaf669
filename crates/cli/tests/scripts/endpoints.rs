//! Endpoints, each asked by itself.

use super::{address, command, served};

/// Runs a command to its end.
async fn run(endpoints: &str, words: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = command(endpoints, folder.path(), words).output().await.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn endpoints_of_several_clusters_are_all_healthy() {
    let ((one, _one), (other, _other)) = (served("one").await, served("other").await);
    let (one, other) = (address(&one), address(&other));
    let both = format!("{one},{other}");
    for words in
        [&["endpoint", "health"][..], &["endpoint", "status"], &["endpoint", "hashkv"], &["defrag"]]
    {
        let (code, out, err) = run(&both, words).await;
        assert_eq!((code, err.as_str()), (Some(0), ""), "{words:?}");
        assert!(out.contains(&one) && out.contains(&other), "{words:?}: {out}");
    }
}

/// Go dials this machine.
#[tokio::test]
async fn an_endpoint_without_a_host_is_on_this_machine() {
    let (server, client) = served("a").await;
    client.put("k", "v").await.expect("it takes it");
    let address = address(&server);
    let (_, port) = address.rsplit_once(':').expect("it has a port");
    for endpoint in [format!(":{port}"), format!("http://:{port}"), format!(" :{port}")] {
        let (code, out, err) = run(&endpoint, &["get", "k"]).await;
        assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "k\nv\n", ""), "{endpoint:?}");
        let (code, out, _) = run(&endpoint, &["endpoint", "health"]).await;
        assert!(code == Some(0) && out.starts_with(&format!("{endpoint} is healthy")), "{out}");
    }
    let (code, _, err) = run(":", &["get", "k"]).await;
    assert!(code == Some(2) && err.contains("a port is a number"), "{code:?} {err}");
}
