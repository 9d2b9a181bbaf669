//! How a call's end is told: codes, etcd's own errors in every version, and trailers that are damaged.

use etcdkit::ErrorKind::{self, InvalidArgument, Unavailable};
use etcdkit::config::RetryPolicy;
use etcdkit::proto::{Applied, VersionLine};
use etcdkit::{Code, ServerError};
use etcdkit_testkit::peer::frame::code;
use etcdkit_testkit::peer::{Answer, EtcdLike, Peer};

use super::case::{Case, Expect, Then, answer, check, fails, panics, tonic, unknown};
use super::subject::{Kind, Reference, Rpc, Subject};
use super::support::{self, PATIENCE, PUT, RANGE, assert_says, soon};

/// A number on the wire; our kind; whether a put that fails with it may have been applied.
const CODES: [(u32, ErrorKind, bool); 17] = [
    (1, ErrorKind::Cancelled, true),
    (2, ErrorKind::Internal, true),
    (3, InvalidArgument, false),
    (4, ErrorKind::Timeout, true),
    (5, ErrorKind::NotFound, true),
    (6, ErrorKind::Conflict, true),
    (7, ErrorKind::PermissionDenied, false),
    (8, ErrorKind::ResourceExhausted, true),
    (9, ErrorKind::Conflict, true),
    (10, ErrorKind::Conflict, true),
    (11, InvalidArgument, true),
    (12, ErrorKind::Unsupported, false),
    (13, ErrorKind::Internal, true),
    (14, Unavailable, true),
    (15, ErrorKind::Corrupt, true),
    (16, ErrorKind::Unauthenticated, false),
    // gRPC does not define it.
    (17, ErrorKind::Internal, true),
];

/// Trailers alone, as servers answer errors, and trailers after headers, as some proxies make of them.
#[tokio::test]
async fn every_code_is_told_with_its_text() {
    for (number, kind, applied) in CODES {
        for late in [false, true] {
            let answer = |text: String| match late {
                false => Answer::Status(number, text),
                true => Answer::StatusAfterHeaders(number, text),
            };
            let etcd = support::etcd().await;
            let client = support::builder([etcd.endpoint()]).build().unwrap();
            etcd.queue(PUT, answer(format!("number {number}")));
            let error = soon("the put", client.put("k", "v")).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            let code = i32::try_from(number).unwrap();
            assert_eq!(error.code(), Some(Code::from_i32(code)), "{error}");
            assert_says(&error.to_string(), &format!("number {number}"));
            assert_eq!(error.maybe_applied(), applied, "{error}");
            assert_eq!(error.server_error(), None);
            assert_eq!(error.endpoint(), Some(&*etcd.endpoint()));
            assert_eq!(etcd.calls(PUT), 1);
            soon("the next put", client.put("k", "v")).await.unwrap();

            etcd.queue(PUT, answer(format!("number {number}")));
            let mut reference = Reference::new(&etcd.endpoint());
            let failed = soon("tonic", reference.call(Rpc::Put, b"v", PATIENCE)).await.unwrap_err();
            let code = Kind::Reference(tonic::Code::from_i32(code));
            assert_eq!(failed.kind, code, "{}", failed.text);
            assert_says(&failed.text, &format!("number {number}"));
        }
    }
}

/// One error of etcd's as a server of one line sends it, to a client that does not repeat.
async fn told(error: ServerError, code: Code) -> etcdkit::Error {
    let etcd = support::etcd().await;
    let client = support::builder([etcd.endpoint()]).retry(RetryPolicy::off()).build().unwrap();
    etcd.queue(PUT, Answer::status(code as u32, error.message()));
    let told = soon("the put", client.put("k", "v")).await.unwrap_err();
    assert_eq!(etcd.calls(PUT), 1, "{told}");
    told
}

#[tokio::test]
async fn an_error_of_etcds_is_the_same_whatever_code_a_version_gives_it() {
    use VersionLine::{V3_4, V3_5, V3_6, V3_7};
    for &error in ServerError::ALL {
        let mut kinds = Vec::new();
        for line in [V3_4, V3_5, V3_6, V3_7] {
            let code = error.code_in(line);
            if kinds.iter().any(|(seen, _)| *seen == code) {
                continue;
            }
            let told = told(error, code).await;
            assert_eq!(told.server_error(), Some(error), "{line:?}: {told}");
            assert_eq!(told.code(), Some(code), "{line:?}: {told}");
            let unknown = error.applied() == Applied::Unknown;
            assert_eq!(told.maybe_applied(), unknown, "{line:?}: {told}");
            assert_says(&told.to_string(), error.message());
            kinds.push((code, told.kind()));
        }
        let own = kinds.last().unwrap().1;
        for (code, kind) in &kinds {
            assert_eq!(*kind, own, "{error:?} with {code:?}");
        }
    }
}

/// A get that is answered with `answers` first.
async fn get_after(answers: Vec<Answer>) -> (EtcdLike, Result<(), etcdkit::Error>) {
    let etcd = support::etcd().await;
    for answer in answers {
        etcd.queue(RANGE, answer);
    }
    let client = support::builder([etcd.endpoint()]).build().unwrap();
    let outcome = soon("the get", client.get("k")).await.map(drop);
    (etcd, outcome)
}

#[tokio::test]
async fn texts_are_percent_decoded() {
    for (wire, text) in [
        ("no%20escape%20is%20lost", "no escape is lost"),
        ("%E2%82%AC", "\u{20ac}"),
        ("100%", "100%"),
        ("%zz", "%zz"),
        ("%ff", "\u{fffd}"),
        ("", ""),
    ] {
        let headers = [
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", "3"),
            ("grpc-message", wire),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (_etcd, outcome) = get_after(vec![Answer::Headers(headers.to_vec())]).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), InvalidArgument);
        assert_says(&error.to_string(), text);
    }
}

#[tokio::test]
async fn a_long_text_is_cut() {
    let (_etcd, outcome) = get_after(vec![Answer::Status(3, "x".repeat(50_000))]).await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), InvalidArgument);
    assert!(error.to_string().len() < 10_000, "{} bytes", error.to_string().len());
}

/// Sends these trailers after a good message.
macro_rules! trailers {
    ($($name:literal: $value:expr),*) => {
        |conn, id| {
            Box::pin(async move {
                conn.start_response(id).await?;
                conn.send_message(id, &support::put_answer()).await?;
                conn.send_trailers(id, &[$(($name, $value)),*]).await?;
                Ok(Then::Serve)
            })
        }
    };
}

#[tokio::test]
async fn damaged_trailers_are_no_success() {
    check(&[
        Case::new(
            "a status that is no number",
            trailers!["grpc-status": "ok"],
            [
                unknown(Unavailable, "the status \"ok\", which is none of gRPC's"),
                answer(2),
                tonic(tonic::Code::Unknown, ""),
            ],
        ),
        Case::new(
            "an empty status",
            trailers!["grpc-status": ""],
            [
                unknown(Unavailable, "the status \"\", which is none of gRPC's"),
                answer(2),
                tonic(tonic::Code::Unknown, ""),
            ],
        ),
        Case::new(
            "a status beyond all numbers",
            trailers!["grpc-status": "99999999999999999999"],
            [
                unknown(Unavailable, "which is none of gRPC's"),
                answer(2),
                tonic(tonic::Code::Unknown, ""),
            ],
        ),
        Case::new(
            "trailers without a status",
            trailers!["x-served-by": "a proxy"],
            [
                unknown(Unavailable, "without a status"),
                answer(2),
                tonic(tonic::Code::Unknown, "terminated without a final status"),
            ],
        ),
        Case::new(
            "a status in the headers already, which trailers-only answers alone have",
            |conn, id| {
                Box::pin(async move {
                    let headers = [
                        (":status", "200"),
                        ("content-type", "application/grpc"),
                        ("grpc-status", "0"),
                    ];
                    conn.send_headers(id, &headers).await?;
                    conn.send_message(id, &support::put_answer()).await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [unknown(Unavailable, "with no message"), answer(2), answer(1)],
        ),
        Case::new(
            "two statuses, the first of which counts",
            trailers!["grpc-status": "0", "grpc-status": "13"],
            [answer(1), answer(1), answer(1)],
        ),
        Case::new(
            "details that are no base64",
            trailers!["grpc-status": "3", "grpc-message": "no", "grpc-status-details-bin": "!!"],
            [
                unknown_is_certain(),
                fails(InvalidArgument, "no"),
                panics("Invalid status header, expected base64 encoded value"),
            ],
        ),
        Case::new(
            "details that are no base64, and success",
            trailers!["grpc-status": "0", "grpc-status-details-bin": "%%%", "x-bin": "?"],
            [answer(1), answer(1), panics("Invalid status header, expected base64 encoded value")],
        ),
        Case::new(
            "a connection's header, which HTTP/2 forbids",
            trailers!["grpc-status": "0", "connection": "close"],
            [
                unknown(Unavailable, "HTTP/2"),
                answer(2),
                tonic(tonic::Code::Unknown, "unspecific protocol error"),
            ],
        ),
        Case::new(
            "a header name in upper case",
            trailers!["grpc-status": "0", "X-Upper": "1"],
            [
                unknown(Unavailable, "HTTP/2"),
                answer(2),
                tonic(tonic::Code::Unknown, "unspecific protocol error"),
            ],
        ),
        Case::new(
            "a pseudo-header in trailers",
            trailers!["grpc-status": "0", ":status": "200"],
            [
                unknown(Unavailable, "HTTP/2"),
                answer(2),
                tonic(tonic::Code::Unknown, "unspecific protocol error"),
            ],
        ),
        Case::new(
            "trailers beyond our limit, after the status",
            trailers!["grpc-status": "0", "x-huge": &"x".repeat(100_000)],
            // h2 leaves out what goes beyond.
            [answer(1), answer(1), too_large()],
        ),
    ])
    .await;
}

/// tonic takes 16 KiB of headers, and ends the connection of a server that sends many times as much.
const fn too_large() -> Expect {
    tonic(tonic::Code::Unknown, "header_list_way_too_large")
}

/// InvalidArgument is found before anything changes.
const fn unknown_is_certain() -> Expect {
    fails(InvalidArgument, "no")
}

#[tokio::test]
async fn headers_beyond_our_limit_are_named() {
    check(&[Case::new(
        "headers of 100 KB",
        |conn, id| {
            Box::pin(async move {
                let huge = "x".repeat(100_000);
                let headers =
                    [(":status", "200"), ("content-type", "application/grpc"), ("x-huge", &*huge)];
                conn.send_headers(id, &headers).await?;
                Ok(Then::Serve)
            })
        },
        [unknown(Unavailable, "its headers have more than 65536 bytes"), answer(2), too_large()],
    )])
    .await;
}

/// Go's gRPC server refuses a message by its length, without waiting for the rest of it.
#[tokio::test]
async fn an_answer_may_come_before_the_request_has_left() {
    let text = "grpc: received message larger than max (200009 vs. 2097152)";
    let mut peer = Peer::bind().await;
    peer.run(move |mut conn| async move {
        conn.handshake(&[]).await?;
        conn.hold_windows();
        loop {
            let call = conn.next_headers().await?;
            match support::healthy(&call.path) {
                Some(Answer::Message(message)) if call.path != PUT => {
                    conn.wait_end(call.stream_id).await?;
                    conn.respond(call.stream_id, &message).await?;
                }
                _ => {
                    conn.respond_status(call.stream_id, 8, text).await?;
                    conn.rst(call.stream_id, code::NO_ERROR).await?;
                }
            }
        }
    });
    let client = support::builder([peer.endpoint()]).build().unwrap();
    let error = soon("the put", client.put("k", vec![0; 200_000])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert!(!error.maybe_applied(), "{error}");
    assert_says(&error.to_string(), text);
}
