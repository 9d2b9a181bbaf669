//! Ways to a member other than TCP straight to it: HTTP proxies and unix-domain sockets.

use std::process::Stdio;

use etcdkit_v2::{Cause, Client, Proxy};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::server::{Reply, SOON, Server, refusing};

/// A name that nobody could look up.
const MEMBER: &str = "http://etcd.invalid:2379";

fn through(url: &str) -> Client {
    let proxy = Proxy::new(url).unwrap();
    Client::builder().endpoints([MEMBER]).user("root", "secret").proxy(proxy).build().unwrap()
}

#[tokio::test]
async fn requests_without_tls_are_handed_to_the_proxy() {
    let server = Server::always(Reply::key("v", 7)).await;
    let client = through(&server.url().replace("http://", "http://me:p%40ss@"));
    client.keys().set("/k", "v").await.unwrap();
    client.keys().set("/k", "v").await.unwrap();
    let received = server.received();
    assert_eq!(received[0].line(), format!("PUT {MEMBER}/v2/keys/k"));
    assert_eq!(received[0].header("host"), Some("etcd.invalid:2379"));
    assert_eq!(received[0].header("authorization"), Some("Basic cm9vdDpzZWNyZXQ="));
    assert_eq!(received[0].header("proxy-authorization"), Some("Basic bWU6cEBzcw=="));
    assert_eq!((received.len(), server.connections()), (2, 1));
}

#[tokio::test]
async fn a_proxy_that_fails_is_named_and_nothing_was_written() {
    let demanding = Server::always(Reply::status(407, "")).await;
    let refused = refusing().await;
    for (url, text) in [(demanding.url(), "407"), (refused.as_str(), "refused")] {
        let error = through(url).keys().set("/k", "v").await.unwrap_err();
        let Cause::Connect(why) = error.attempts()[0].cause() else { panic!("{error:?}") };
        assert!(why.contains(url) && why.contains(text), "{why}");
        assert!(!error.maybe_applied());
    }
}

#[tokio::test]
async fn a_proxy_that_makes_no_tunnel_is_told_and_shown_no_credentials() {
    for (reply, text) in [
        (Reply::status(403, ""), "makes no tunnel to etcd.invalid:2379: HTTP/1.1 403"),
        (Reply::Raw("SSH-2.0\r\n\r\n".to_owned()), "does not speak HTTP"),
        (Reply::Raw("x".repeat(64 << 10)), "makes no tunnel"),
        (Reply::Close, "closed the connection"),
    ] {
        let server = Server::always(reply).await;
        let client = Client::builder()
            .endpoints([MEMBER.replace("http:", "https:")])
            .user("root", "secret")
            .proxy(Proxy::new(server.url()).unwrap())
            .build()
            .unwrap();
        let error = client.keys().set("/k", "v").await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.maybe_applied());
        assert_eq!(server.lines(), ["CONNECT etcd.invalid:2379"]);
        assert_eq!(server.received()[0].header("authorization"), None);
    }
}

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#[tokio::test]
async fn tls_is_spoken_with_the_member_through_a_tunnel() {
    use etcdkit_testkit::certs::TestCa;
    use etcdkit_testkit::etcd::{self, Etcd, Version};
    use etcdkit_v2::Tls;

    let ca = TestCa::new();
    let server = ca.server("127.0.0.1");
    let tls = etcd::Tls::new(server.cert_path(), server.key_path(), ca.cert_path());
    let etcd = Etcd::builder(Version::V3_4).enable_v2().tls(tls).start().await;
    let (url, _proxy) = tunnels().await;
    let client = Client::builder()
        .endpoints([etcd.client_url()])
        .tls(Tls::new().ca_file(ca.cert_path()))
        .proxy(Proxy::new(&url).unwrap())
        .build()
        .unwrap();
    client.keys().set("/k", "v").await.unwrap();
    let answer = client.keys().get("/k").await.unwrap();
    assert_eq!(answer.node().and_then(|node| node.value()), Some("v"));
}

#[tokio::test]
async fn the_environment_names_the_proxy() {
    const CHILD: &str = "ETCDKIT_TEST_PROXY_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let client = Client::new([MEMBER]).unwrap();
        client.keys().set("/k", "v").await.unwrap();
        let direct = Client::builder().endpoints([MEMBER]).proxy(Proxy::none()).build().unwrap();
        assert!(direct.keys().set("/k", "v").await.is_err());
        return;
    }
    let server = Server::always(Reply::key("v", 7)).await;
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "proxy::the_environment_names_the_proxy"])
        .envs([(CHILD, "1"), ("HTTP_PROXY", server.url()), ("NO_PROXY", "other.invalid")])
        .env_remove("REQUEST_METHOD")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(SOON, child).await.expect("it ends").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(server.lines(), [format!("PUT {MEMBER}/v2/keys/k")]);
}

#[cfg(unix)]
#[tokio::test]
async fn sockets_are_endpoints() {
    let server = Server::replies([
        Reply::key("v", 7),
        Reply::key("v", 7),
        // Others' sockets are no way to them from here.
        Reply::ok(
            r#"{"members":[{"id":"1","clientURLs":["unix:///other","http://127.0.0.1:1"]}]}"#,
        ),
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("etcd.sock");
    let _forwarding = forward(&path, server.url().trim_start_matches("http://"));
    let url = format!("unix://{}", path.display());
    let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = lines.clone();
    let client = Client::builder()
        .endpoints([url.as_str()])
        .debug_curl(move |line| sink.lock().unwrap().push(line.to_owned()))
        .build()
        .unwrap();
    client.keys().set("/k", "v").await.unwrap();
    assert_eq!(server.received()[0].header("host"), Some("etcd.sock"));
    let shown = format!("--unix-socket '{}' 'http://etcd.sock/v2/keys/k'", path.display());
    assert!(lines.lock().unwrap()[0].contains(&shown), "{lines:?}");
    client.keys().set("/k", "v").await.unwrap();
    assert_eq!(server.connections(), 1);
    client.sync().await.unwrap();
    assert_eq!(client.endpoints().len(), 2, "one in use: others count");
    client.set_endpoints([server.url()]).unwrap();
    client.sync().await.unwrap();
    assert_eq!(client.endpoints(), ["http://127.0.0.1:1".parse().unwrap()]);

    let missing = Client::new([format!("unix://{}/none", folder.path().display())]).unwrap();
    let error = missing.keys().set("/k", "v").await.unwrap_err();
    assert!(matches!(error.attempts()[0].cause(), Cause::Connect(_)), "{error:?}");
}

/// A proxy that makes tunnels, for as long as the tasks are held.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
async fn tunnels() -> (String, JoinSet<()>) {
    use tokio::io::AsyncReadExt;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            open.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let to = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nVia: test\r\n\r\n").await.unwrap();
                join(stream, to).await;
            });
        }
    });
    (url, tasks)
}

/// Passes what comes to a socket on to `to`.
#[cfg(unix)]
fn forward(path: &std::path::Path, to: &str) -> JoinSet<()> {
    let listener = tokio::net::UnixListener::bind(path).unwrap();
    let to = to.to_owned();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let to = to.clone();
            open.spawn(async move { join(stream, &to).await });
        }
    });
    tasks
}

async fn join(mut stream: impl AsyncRead + AsyncWrite + Unpin, to: &str) {
    let mut member = TcpStream::connect(to).await.unwrap();
    copy_bidirectional(&mut stream, &mut member).await.ok();
    member.shutdown().await.ok();
}
