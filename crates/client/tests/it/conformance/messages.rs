//! How answers are cut into frames, and answers that hold something else than one message.

use etcdkit::ErrorKind::{Internal, ResourceExhausted, Unavailable};
use etcdkit_testkit::peer::frame::{Frame, flag};
use etcdkit_testkit::peer::grpc_message;
use tonic::Code;

use super::case::{Case, Expect, Stage, Then, answer, check, fails, tonic, unknown};
use super::subject::{Kind, Ours, Reference, Rpc, Subject};
use super::support::{LIMIT, PATIENCE, assert_says, put_answer, soon};

/// Any split of a good answer is a good answer. The answer to a put and the beginning of one to a get are the same.
#[tokio::test]
async fn an_answer_may_be_split_in_any_way() {
    check(&[
        Case::new(
            "headers and trailers in CONTINUATION frames",
            |conn, id| {
                Box::pin(async move {
                    // h2 allows five of them for one header block.
                    conn.split_headers(16);
                    conn.respond(id, &put_answer()).await?;
                    Ok(Then::Serve)
                })
            },
            [answer(1); 3],
        ),
        Case::new(
            "every byte written by itself",
            |conn, id| {
                Box::pin(async move {
                    conn.split_writes(1);
                    conn.respond(id, &put_answer()).await?;
                    Ok(Then::Serve)
                })
            },
            [answer(1); 3],
        ),
        Case::new(
            "a DATA frame for every byte",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    for byte in grpc_message(&put_answer()) {
                        conn.send_data(id, vec![byte]).await?;
                    }
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [answer(1); 3],
        ),
        Case::new(
            "a message's prefix in two DATA frames",
            |conn, id| {
                Box::pin(async move {
                    let mut message = grpc_message(&put_answer());
                    conn.start_response(id).await?;
                    conn.send_data(id, message.split_to(3)).await?;
                    conn.send_data(id, message).await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [answer(1); 3],
        ),
        Case::new(
            "empty DATA frames before, within and after a message",
            |conn, id| {
                Box::pin(async move {
                    let mut message = grpc_message(&put_answer());
                    let empty = Frame::data(id, 0, "");
                    conn.start_response(id).await?;
                    conn.send_frame(&empty).await?;
                    conn.send_data(id, message.split_to(7)).await?;
                    conn.send_frame(&empty).await?;
                    conn.send_data(id, message).await?;
                    conn.send_frame(&empty).await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [answer(1); 3],
        ),
        Case::new(
            "padded DATA",
            |conn, id| {
                Box::pin(async move {
                    let mut payload = vec![9];
                    payload.extend(grpc_message(&put_answer()));
                    payload.extend([0; 9]);
                    conn.start_response(id).await?;
                    conn.send_frame(&Frame::data(id, flag::PADDED, payload)).await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [answer(1); 3],
        ),
    ])
    .await;
}

/// Reads are repeated, and get a good answer then.
#[tokio::test]
async fn an_answer_that_is_not_one_message_is_no_answer() {
    check(&[
        Case::new(
            "no message",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [
                unknown(Unavailable, "answered a unary call with no message"),
                answer(2),
                tonic(Code::Internal, "Missing response message"),
            ],
        ),
        Case::new(
            "success in trailers alone",
            |conn, id| {
                Box::pin(async move {
                    conn.respond_status(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [
                unknown(Unavailable, "answered a unary call with no message"),
                answer(2),
                tonic(Code::Internal, "Missing response message"),
            ],
        ),
        Case::new(
            "two messages in one DATA frame",
            |conn, id| {
                Box::pin(async move {
                    let message = grpc_message(&put_answer());
                    conn.start_response(id).await?;
                    conn.send_data(id, [&message[..], &message[..]].concat()).await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [
                unknown(Unavailable, "answered a unary call with more than one message"),
                answer(2),
                // It takes the first message and drops what follows unseen.
                answer(1),
            ],
        ),
        Case::new(
            "two messages in two DATA frames",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    conn.send_message(id, &put_answer()).await?;
                    conn.send_message(id, &put_answer()).await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [
                unknown(Unavailable, "answered a unary call with more than one message"),
                answer(2),
                answer(1),
            ],
        ),
        Case::new(
            "half a message",
            |conn, id| {
                Box::pin(async move {
                    let message = grpc_message(&put_answer());
                    conn.start_response(id).await?;
                    conn.send_data(id, message.slice(..message.len() - 1)).await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [
                unknown(Unavailable, "ends in the middle of a message"),
                answer(2),
                tonic(Code::Internal, "Missing response message"),
            ],
        ),
        Case::new(
            "half a prefix",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    conn.send_data(id, vec![0, 0]).await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [
                unknown(Unavailable, "ends in the middle of a message"),
                answer(2),
                tonic(Code::Internal, "Missing response message"),
            ],
        ),
        Case::new(
            "a message, and half of another",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    conn.send_message(id, &put_answer()).await?;
                    conn.send_data(id, vec![0, 0]).await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [unknown(Unavailable, "ends in the middle of a message"), answer(2), answer(1)],
        ),
        Case::new(
            "a compressed message, though none was asked for",
            |conn, id| {
                Box::pin(async move {
                    let mut message = grpc_message(&put_answer()).to_vec();
                    message[0] = 1;
                    conn.start_response(id).await?;
                    conn.send_data(id, message).await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [
                unknown(Unavailable, "compressed or no gRPC message (flag 1)"),
                answer(2),
                tonic(Code::Internal, "message with compressed-flag"),
            ],
        ),
        Case::new(
            "a prefix that no gRPC message has",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    conn.send_data(id, "<html>").await?;
                    conn.finish_response(id, 0, "").await?;
                    Ok(Then::Serve)
                })
            },
            [
                unknown(Unavailable, "compressed or no gRPC message (flag 60)"),
                answer(2),
                tonic(Code::Internal, "invalid compression flag: 60"),
            ],
        ),
        Case::new(
            "a message that is none of etcd's",
            |conn, id| {
                Box::pin(async move {
                    conn.respond(id, &[0xff; 9]).await?;
                    Ok(Then::Serve)
                })
            },
            [
                unknown(Internal, "can't be decoded: is this an etcd server?"),
                fails(Internal, "can't be decoded: is this an etcd server?"),
                tonic(Code::Internal, "not decoded"),
            ],
        ),
    ])
    .await;
}

/// The error names what came and what is allowed; no repetition would make it smaller.
#[tokio::test]
async fn an_answer_above_the_limit_names_both_numbers() {
    check(&[
        Case::new(
            "a message above the limit",
            |conn, id| {
                Box::pin(async move {
                    conn.respond(id, &vec![0; LIMIT + 1]).await?;
                    Ok(Then::Serve)
                })
            },
            [
                unknown(ResourceExhausted, "65537 bytes, and this client receives at most 65536"),
                fails(ResourceExhausted, "65537 bytes, and this client receives at most 65536"),
                tonic(Code::OutOfRange, "found 65537 bytes, the limit is: 65536 bytes"),
            ],
        ),
        Case::new(
            "a message announced to have 4 GiB",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    conn.send_data(id, vec![0, 0xff, 0xff, 0xff, 0xff, 1]).await?;
                    Ok(Then::Serve)
                })
            },
            [
                unknown(ResourceExhausted, "4294967295 bytes, and this client receives at most"),
                fails(ResourceExhausted, "4294967295 bytes, and this client receives at most"),
                tonic(Code::OutOfRange, "found 4294967295 bytes"),
            ],
        ),
    ])
    .await;
}

async fn refuses_to_send_what_is_too_large<S: Subject>(kind: Kind, says: &[&str]) {
    let stage = Stage::start(|_, _| Box::pin(async { Ok(Then::Serve) })).await;
    let mut subject = S::new(&stage.peer.endpoint());
    let value = vec![0; LIMIT];
    let call = subject.call(Rpc::Put, &value, PATIENCE);
    let failed = soon("the refusal", call).await.unwrap_err();
    assert_eq!(failed.kind, kind, "{}: {}", S::NAME, failed.text);
    assert_ne!(failed.applied, Some(true), "{}", S::NAME);
    for part in says {
        assert_says(&failed.text, part);
    }
    assert_eq!(stage.calls(), 0, "{}", S::NAME);
}

#[tokio::test]
async fn a_request_above_the_limit_is_never_sent() {
    // A key of one byte and a value of 64 KiB take seven bytes more than the value.
    let kind = Kind::Ours(ResourceExhausted);
    refuses_to_send_what_is_too_large::<Ours>(kind, &["65543 bytes", "at most 65536"]).await;
    // It begins the call and resets the stream; what it then reports is the reset.
    let kind = Kind::Reference(Code::Unknown);
    refuses_to_send_what_is_too_large::<Reference>(kind, &["stream error sent by user"]).await;
}

/// What tonic says of a stream that ends without a status.
const fn cut() -> Expect {
    tonic(Code::Unknown, "terminated without a final status")
}

/// Only trailers say how a call ended; a stream that merely ends was cut, or never was gRPC.
#[tokio::test]
async fn an_answer_without_trailers_has_no_status() {
    check(&[
        Case::new(
            "END_STREAM on the DATA frame",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    let message = grpc_message(&put_answer());
                    conn.send_frame(&Frame::data(id, flag::END_STREAM, message)).await?;
                    Ok(Then::Serve)
                })
            },
            [unknown(Unavailable, "without a status"), answer(2), cut()],
        ),
        Case::new(
            "END_STREAM on an empty DATA frame",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    conn.send_message(id, &put_answer()).await?;
                    conn.end_stream(id).await?;
                    Ok(Then::Serve)
                })
            },
            [unknown(Unavailable, "without a status"), answer(2), cut()],
        ),
        Case::new(
            "END_STREAM on the headers",
            |conn, id| {
                Box::pin(async move {
                    let headers = [(":status", "200"), ("content-type", "application/grpc")];
                    conn.send_trailers(id, &headers).await?;
                    Ok(Then::Serve)
                })
            },
            [unknown(Unavailable, "without a status"), answer(2), cut()],
        ),
        Case::new(
            "headers, and END_STREAM on an empty DATA frame",
            |conn, id| {
                Box::pin(async move {
                    conn.start_response(id).await?;
                    conn.end_stream(id).await?;
                    Ok(Then::Serve)
                })
            },
            [unknown(Unavailable, "without a status"), answer(2), cut()],
        ),
    ])
    .await;
}
