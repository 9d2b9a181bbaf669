//! What may listen at an endpoint and is no etcd: each has an error that says so, and no call waits for it in vain.

use std::time::Duration;

use etcdkit::ErrorKind::{Unavailable, Unsupported};
use etcdkit::config::Tls;
use etcdkit::{Client, ClientBuilder};
use etcdkit_testkit::certs::{ClientAuth, TestCa};
use etcdkit_testkit::peer::{Answer, EtcdLike, Frame, Peer};
use tonic::Code;

use super::subject::{Kind, Reference, Rpc, Subject};
use super::support::{self, PUT, assert_says, soon, within};

/// For calls that wait until their deadline.
const DEADLINE: Duration = Duration::from_millis(800);

/// Whether a call that finds no member can be told to wait no longer.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    /// Only what listens there, or the configuration, can change it.
    InVain,
    /// It may be on its way up.
    UntilTheDeadline,
}

/// Connecting fails with `says`, calls do too, and the reference says `reference` of the same.
async fn check(
    what: &str,
    builder: ClientBuilder,
    endpoint: String,
    (wait, says): (Wait, &str),
    reference: Option<(Code, &str)>,
) {
    let (deadline, calls) = match wait {
        Wait::InVain => (support::PATIENCE, 2),
        Wait::UntilTheDeadline => (DEADLINE, 1),
    };
    let builder = builder.endpoints([&*endpoint]).timeout(deadline);
    let error = soon(what, builder.clone().connect()).await.unwrap_err();
    assert_eq!(error.kind(), Unavailable, "{what}: {error}");
    assert_says(&error.to_string(), says);
    assert_eq!(error.endpoint(), Some(&*endpoint), "{what}");

    let client = builder.build().unwrap();
    for _ in 0..calls {
        let put = within(deadline + Duration::from_secs(1), what, client.put("k", "v"));
        let error = put.await.unwrap_err();
        assert_eq!(error.kind(), Unavailable, "{what}: {error}");
        assert!(!error.maybe_applied(), "{what}: {error}");
        assert_says(&error.to_string(), says);
        let first = match wait {
            Wait::InVain => "no endpoint can be used",
            Wait::UntilTheDeadline => "no member was ready before the deadline",
        };
        assert_says(&error.to_string(), first);
    }
    if let Some((code, says)) = reference {
        let mut reference = Reference::new(&endpoint);
        let put = reference.call(Rpc::Put, b"v", deadline);
        let failed = soon(what, put).await.unwrap_err();
        assert_eq!(failed.kind, Kind::Reference(code), "{what}: {}", failed.text);
        assert_says(&failed.text, says);
    }
}

fn plain() -> ClientBuilder {
    support::builder::<[&str; 0]>([])
}

#[tokio::test]
async fn what_is_no_http2_server_is_named() {
    use Wait::{InVain, UntilTheDeadline};
    let lost = (Code::Unknown, "transport error");
    let peer = Peer::http1().await;
    let says = "the server answers in HTTP/1: it expects TLS (https://), or is no etcd client port";
    check("HTTP/1", plain(), peer.endpoint(), (InVain, says), Some(lost)).await;

    let peer = Peer::closes().await;
    let says = "closed it before it said anything: does it expect TLS";
    check("closes", plain(), peer.endpoint(), (UntilTheDeadline, says), Some(lost)).await;

    let peer = Peer::resets().await;
    check("resets", plain(), peer.endpoint(), (UntilTheDeadline, "connection lost"), Some(lost))
        .await;

    let peer = Peer::silent().await;
    let reference = Some((Code::Cancelled, "Timeout"));
    let says = "not connected in time";
    let builder = plain().connect_timeout(support::CONNECT);
    check("silent", builder, peer.endpoint(), (UntilTheDeadline, says), reference).await;
    assert!(peer.connections() > 0);

    let peer = Peer::garbage(b"220 mail.example.com ESMTP\r\n".as_slice()).await;
    check("SMTP", plain(), peer.endpoint(), (InVain, "the server broke HTTP/2"), Some(lost)).await;

    let peer = Peer::garbage(vec![0; 100]).await;
    check("zeros", plain(), peer.endpoint(), (InVain, "the server broke HTTP/2"), Some(lost)).await;

    let reference = Some((Code::Unavailable, "tcp connect error"));
    check(
        "nobody",
        plain(),
        support::NOBODY.to_owned(),
        (UntilTheDeadline, "not connected"),
        reference,
    )
    .await;
}

/// tonic is built without TLS here.
#[tokio::test]
async fn tls_on_one_side_alone_is_named() {
    let ca = TestCa::new();
    let server = ca.server("etcd");
    let secured = || Tls::new().ca_file(ca.cert_path());

    let tls = EtcdLike::on(Peer::bind().await.with_tls(server.server_config(ClientAuth::None)));
    let endpoint = tls.endpoint().replace("https", "http");
    let says = "the server expects TLS where plain text was sent: use https://";
    let reference = Some((Code::Unknown, "transport error"));
    check("TLS", plain(), endpoint, (Wait::InVain, says), reference).await;

    let settings = Frame::settings(&[]).encode();
    for (what, peer) in [
        ("HTTP/2 in plain text", Peer::garbage(settings).await),
        ("HTTP/1 in plain text", Peer::http1().await),
    ] {
        let endpoint = peer.endpoint().replace("http", "https");
        let says = "the server speaks plain text where TLS was expected: use http://";
        check(what, plain().tls(secured()), endpoint, (Wait::InVain, says), None).await;
    }
    // It may as well be restarting.
    let peer = Peer::closes().await;
    let endpoint = peer.endpoint().replace("http", "https");
    let says = "during the TLS handshake: does it expect plain text (http://)?";
    check("closes", plain().tls(secured()), endpoint, (Wait::UntilTheDeadline, says), None).await;

    let peer = Peer::bind().await.with_tls(server.server_config_with_alpn(ClientAuth::None, &[]));
    let other = EtcdLike::on(peer);
    let says = "the server did not agree on HTTP/2 (ALPN `h2`)";
    let endpoint = other.endpoint();
    check("no ALPN", plain().tls(secured()), endpoint, (Wait::InVain, says), None).await;

    let stranger = TestCa::new().server("etcd");
    let peer = Peer::bind().await.with_tls(stranger.server_config(ClientAuth::None));
    let other = EtcdLike::on(peer);
    let says = "not signed by the configured CA";
    let endpoint = other.endpoint();
    check("another CA", plain().tls(secured()), endpoint, (Wait::InVain, says), None).await;

    let tls = EtcdLike::on(Peer::bind().await.with_tls(server.server_config(ClientAuth::None)));
    tls.answer_with(|call| support::healthy(&call.path));
    let client = plain().tls(secured()).endpoints([tls.endpoint()]).build().unwrap();
    soon("the put", client.put("k", "v")).await.unwrap();
}

/// A server or gateway that answers every call with these headers.
async fn http(status: &'static str, content_type: Option<&'static str>) -> EtcdLike {
    let etcd = EtcdLike::start().await;
    etcd.answer_with(move |_| {
        let mut headers = vec![(":status".to_owned(), status.to_owned())];
        headers.extend(content_type.map(|value| ("content-type".to_owned(), value.to_owned())));
        Some(Answer::Headers(headers))
    });
    etcd
}

#[tokio::test]
async fn http2_without_grpc_is_named() {
    use Wait::{InVain, UntilTheDeadline};
    let lasting = [
        (
            "404",
            Some("text/html"),
            "HTTP 404 with content type text/html, not gRPC",
            Code::Unimplemented,
        ),
        ("404", None, "HTTP 404, not gRPC: is this etcd's client URL?", Code::Unimplemented),
        ("200", Some("text/html"), "HTTP 200 with content type text/html", Code::Unknown),
        ("200", None, "HTTP 200, not gRPC", Code::Unknown),
        ("301", Some("text/html"), "HTTP 301 with content type text/html", Code::Unknown),
        (
            "403",
            Some("text/plain"),
            "HTTP 403 with content type text/plain",
            Code::PermissionDenied,
        ),
        ("415", Some("application/grpc"), "HTTP 415, not gRPC", Code::Unknown),
    ];
    for (status, content_type, says, code) in lasting {
        let peer = http(status, content_type).await;
        let reference = Some((code, ""));
        check(says, plain(), peer.endpoint(), (InVain, says), reference).await;
    }
    for status in ["429", "502", "503", "504"] {
        let peer = http(status, Some("text/html")).await;
        let says = format!("HTTP {status} with content type text/html: a gateway that does not");
        let reference = Some((Code::Unavailable, ""));
        check(&says, plain(), peer.endpoint(), (UntilTheDeadline, &says), reference).await;
    }
}

/// The gateway stands, and what is behind it restarts.
#[tokio::test]
async fn a_gateway_that_fails_for_one_call_is_asked_again() {
    let gateway = |status: &str| {
        let headers = [(":status", status), ("content-type", "text/html")];
        Answer::Headers(headers.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec())
    };
    let etcd = support::etcd().await;
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    etcd.queue(support::RANGE, gateway("502"));
    soon("the get", client.get("k")).await.unwrap();
    assert_eq!(etcd.calls(support::RANGE), 2);

    etcd.queue(PUT, gateway("502"));
    let error = soon("the put", client.put("k", "v")).await.unwrap_err();
    assert_eq!(error.kind(), Unavailable);
    assert!(error.maybe_applied(), "who knows what the gateway passed on: {error}");
    // This one says that it passed nothing on.
    etcd.queue(PUT, gateway("404"));
    soon("the put", client.put("k", "v")).await.unwrap();
    assert_eq!(etcd.calls(PUT), 3);
}

#[tokio::test]
async fn a_grpc_server_that_is_no_etcd_is_named() {
    let other = EtcdLike::start().await;
    other.answer_with(|call| {
        let service = call.path.split('/').nth(1).unwrap_or_default();
        Some(Answer::status(12, &format!("unknown service {service}")))
    });
    let client: Client = support::builder([other.endpoint()]).build().unwrap();
    let error = soon("the put", client.put("k", "v")).await.unwrap_err();
    assert_eq!(error.kind(), Unsupported, "{error}");
    assert!(!error.maybe_applied());
    let says = "unknown service etcdserverpb.KV: a gRPC server listens there, but no etcd";
    assert_says(&error.to_string(), says);
    assert_eq!(other.calls(PUT), 1);
    let error = soon("the get", client.get("k")).await.unwrap_err();
    assert_eq!(error.kind(), Unsupported, "{error}");

    let mut reference = Reference::new(&other.endpoint());
    let failed =
        soon("tonic", reference.call(Rpc::Put, b"v", support::PATIENCE)).await.unwrap_err();
    assert_eq!(failed.kind, Kind::Reference(Code::Unimplemented));
}
