//! Ways to a member other than TCP straight to it: proxies and unix-domain sockets.

use std::process::Stdio;

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
use etcdkit_testkit::certs::{ClientAuth, Identity};
use etcdkit_v2::{Cause, Client, Proxy};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::server::{REFUSING, Reply, SOON, Server, patient};

/// A name that nobody could look up.
const MEMBER: &str = "http://etcd.invalid:2379";

fn through(url: &str) -> Client {
    let proxy = Proxy::new(url).unwrap();
    patient().endpoints([MEMBER]).user("root", "secret").proxy(proxy).build().unwrap()
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
    for (url, text) in [(demanding.url(), "407"), (REFUSING, "refused")] {
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
        let client = patient()
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
    let (tunnels, _tunnels) = tunnels().await;
    let (terminated, _terminated) = with_tls(&server, &tunnels).await;
    let (socks, _socks) = socks(None).await;
    for url in
        [format!("http://{tunnels}"), format!("https://{terminated}"), format!("socks5://{socks}")]
    {
        let client = patient()
            .endpoints([etcd.client_url()])
            .tls(Tls::new().ca_file(ca.cert_path()))
            .proxy(Proxy::new(&url).unwrap())
            .build()
            .unwrap();
        client.keys().set("/k", url.as_str()).await.unwrap();
        let answer = client.keys().get("/k").await.unwrap();
        assert_eq!(answer.node().and_then(|node| node.value()), Some(&*url));
    }
    // A proxy with a certificate that nobody vouches for is not told where to go.
    let strangers = patient()
        .endpoints([etcd.client_url()])
        .proxy(Proxy::new(&format!("https://{terminated}")).unwrap())
        .build()
        .unwrap();
    let error = strangers.keys().set("/k", "v").await.unwrap_err();
    let Cause::Tls(why) = error.attempts()[0].cause() else { panic!("{error:?}") };
    assert!(why.contains(&format!("the proxy https://{terminated}")), "{why}");
    assert!(!error.maybe_applied());
}

/// The member's name is looked up by the proxy, which passes bytes on and sees the password of its own alone.
#[tokio::test]
async fn a_socks_proxy_passes_everything_on() {
    let server = Server::always(Reply::key("v", 7)).await;
    let member = server.url().trim_start_matches("http://");
    for user in [None, Some(("me", "p@ss"))] {
        let (socks, _socks) = socks(user).await;
        let credentials = if user.is_some() { "me:p%40ss@" } else { "" };
        let proxy = Proxy::new(&format!("socks5://{credentials}{socks}")).unwrap();
        let builder = patient().endpoints([format!("http://{member}")]).proxy(proxy);
        builder.build().unwrap().keys().set("/k", "v").await.unwrap();
    }
    for received in server.received() {
        assert_eq!(received.line(), "PUT /v2/keys/k");
        assert_eq!(received.header("host"), Some(member));
        assert_eq!(received.header("proxy-authorization"), None);
    }
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn a_socks_proxy_that_fails_says_why() {
    let (guarded, _guarded) = socks(Some(("me", "right"))).await;
    let (open, _open) = socks(None).await;
    let (other, _other) = listening(async |mut stream| {
        stream.write_all(b"SSH-2.0-test\r\n").await.unwrap();
        // Until the client has heard enough.
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
    .await;
    for (url, text) in [
        (format!("socks5://{guarded}"), "demands a user name and a password"),
        (format!("socks5://me:wrong@{guarded}"), "does not accept the user name"),
        (format!("socks5://{open}"), "no connection to etcd.invalid:2379: the host is unreachable"),
        (format!("socks5://{other}"), "does not speak SOCKS 5"),
        (REFUSING.replace("http:", "socks5:"), "refused"),
    ] {
        let error = through(&url).keys().set("/k", "v").await.unwrap_err();
        let Cause::Connect(why) = error.attempts()[0].cause() else { panic!("{error:?}") };
        assert!(why.contains(text) && why.contains("the proxy socks5://"), "{why}");
        assert!(!why.contains("wrong") && !error.maybe_applied());
    }
}

#[tokio::test]
async fn the_environment_names_the_proxy() {
    const CHILD: &str = "ETCDKIT_TEST_PROXY_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let client = patient().endpoints([MEMBER]).build().unwrap();
        client.keys().set("/k", "v").await.unwrap();
        let direct = patient().endpoints([MEMBER]).proxy(Proxy::none()).build().unwrap();
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
    let client = patient()
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

    let missing =
        patient().endpoints([format!("unix://{}/none", folder.path().display())]).build().unwrap();
    let error = missing.keys().set("/k", "v").await.unwrap_err();
    assert!(matches!(error.attempts()[0].cause(), Cause::Connect(_)), "{error:?}");
}

/// Has `serve` deal with each connection to an address of its own, for as long as the tasks are held.
async fn listening<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (String, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            open.spawn(serve(stream));
        }
    });
    (address, tasks)
}

/// A proxy that makes tunnels.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
async fn tunnels() -> (String, JoinSet<()>) {
    listening(async |mut stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let to = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nVia: test\r\n\r\n").await.unwrap();
        join(stream, to).await;
    })
    .await
}

/// The same as `to`, with TLS.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
async fn with_tls(identity: &Identity, to: &str) -> (String, JoinSet<()>) {
    let config = identity.server_config_with_alpn(ClientAuth::None, &["http/1.1"]);
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let to = to.to_owned();
    listening(move |stream| {
        let (acceptor, to) = (acceptor.clone(), to.clone());
        async move {
            // Who does not trust it goes away.
            if let Ok(stream) = acceptor.accept(stream).await {
                join(stream, &to).await;
            }
        }
    })
    .await
}

/// A SOCKS proxy that knows addresses and no names.
async fn socks(user: Option<(&'static str, &'static str)>) -> (String, JoinSet<()>) {
    listening(move |mut stream| async move {
        let text = async |stream: &mut TcpStream| {
            let mut text = vec![0; stream.read_u8().await.unwrap().into()];
            stream.read_exact(&mut text).await.unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(stream.read_u8().await.unwrap(), 5);
        let methods = text(&mut stream).await;
        let method = if user.is_some() { 2 } else { 0 };
        if !methods.as_bytes().contains(&method) {
            return stream.write_all(&[5, 0xff]).await.unwrap();
        }
        stream.write_all(&[5, method]).await.unwrap();
        if let Some((name, password)) = user {
            assert_eq!(stream.read_u8().await.unwrap(), 1);
            let told = (text(&mut stream).await, text(&mut stream).await);
            let wrong = u8::from(told != (name.to_owned(), password.to_owned()));
            stream.write_all(&[1, wrong]).await.unwrap();
            if wrong == 1 {
                return;
            }
        }
        let mut request = [0; 4];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(request[..3], [5, 1, 0]);
        if request[3] != 1 {
            return stream.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
        }
        let address = std::net::Ipv4Addr::from(stream.read_u32().await.unwrap());
        let port = stream.read_u16().await.unwrap();
        // Where it connects from is told as a name, which is as good as any.
        stream.write_all(b"\x05\x00\x00\x03\x04here\x00\x01").await.unwrap();
        join(stream, &format!("{address}:{port}")).await;
    })
    .await
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
