//! The one answer of a unary call.

use std::future::{Future, poll_fn};

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;

use super::failure::failure_of;
use super::message::Assembler;
use super::status::{self, Opening};
use crate::error::Cause;
use crate::transport::traits::Failure;

/// Answers up to this size are left for h2 to account for when the stream is dropped, which saves a lock each.
const RELEASED_ON_DROP: usize = 64 << 10;

/// Sends, at once, the message of a call that was begun; then waits for the answer.
pub(super) fn exchange(
    response: ResponseFuture,
    mut sending: SendStream<Bytes>,
    message: Bytes,
    limit: usize,
) -> impl Future<Output = Result<Bytes, Failure>> {
    let sent = sending.send_data(message, true).is_ok();
    async move {
        match read_answer(response, sending, limit).await {
            // Without its message the request can't have been processed. That it was turned away, the server may have
            // said before.
            Err(Failure::Unknown(cause)) if !sent => Err(Failure::NotProcessed(cause)),
            answer => answer,
        }
    }
}

/// Waits for the answer and reads it. The sending half stays alive until it is there: without it, h2 resets the stream.
async fn read_answer(
    response: ResponseFuture,
    _sending: SendStream<Bytes>,
    limit: usize,
) -> Result<Bytes, Failure> {
    let mut body = {
        // Its headers are not kept while the rest comes in.
        let response = response.await.map_err(|error| failure_of(&error, None))?;
        if status::check_response(response.status(), response.headers())? == Opening::Status {
            status::of_trailers(response.headers())?;
            return Err(unary_answers(0));
        }
        response.into_body()
    };

    let mut assembler = Assembler::new(limit);
    let mut answer: Option<Bytes> = None;
    let mut unreleased = 0;
    while let Some(payload) = poll_fn(|cx| body.poll_data(cx)).await {
        let payload = payload.map_err(|error| failure_of(&error, None))?;
        unreleased += payload.len();
        if unreleased > RELEASED_ON_DROP {
            body.flow_control()
                .release_capacity(unreleased)
                .map_err(|error| failure_of(&error, None))?;
            unreleased = 0;
        }
        assembler.push(payload);
        while let Some(message) = assembler.next().map_err(Failure::Unknown)? {
            if answer.replace(message).is_some() {
                return Err(unary_answers(2));
            }
        }
    }
    match poll_fn(|cx| body.poll_trailers(cx)).await {
        Ok(Some(trailers)) => status::of_trailers(&trailers)?,
        Ok(None) => return Err(status::missing()),
        Err(error) => return Err(failure_of(&error, None)),
    }
    match answer {
        Some(answer) if assembler.held() == 0 => Ok(answer),
        Some(_) => Err(truncated()),
        None if assembler.held() > 0 => Err(truncated()),
        None => Err(unary_answers(0)),
    }
}

/// The server promised one message and sent another number of them.
fn unary_answers(number: usize) -> Failure {
    let what = if number == 0 { "no message" } else { "more than one message" };
    Failure::Unknown(Cause::Protocol(format!("the server answered a unary call with {what}")))
}

pub(super) fn truncated() -> Failure {
    Failure::Unknown(Cause::Protocol("the answer ends in the middle of a message".into()))
}
