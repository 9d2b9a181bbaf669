//! The task of a connection.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use etcdkit_proto::Code;
use etcdkit_proto::method::Shape;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::counts::{Place, Tally};
use super::head;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::pings::{Rule, keep_alive};
use super::wire::{Seen, Wire};
use crate::budget::Budget;
use crate::caller::Caller;
use crate::clock::{Pause, stopwatch};
use crate::front::PATIENCE;
use crate::node::Node;
use crate::service;
use crate::status::{Result, Status};

/// How much of one request may be on its way unread: the largest, so that no request waits for room.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same of all requests of a connection: what calls have that wait for room.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// h2 ends a connection on which too many small frames wait to be read. Requests are small frames, and all are read.
const SMALL_FRAME_BUDGET: usize = 64 << 20;
/// A frame is held until it is whole, and only the connection's patience limits for how long.
const FRAME: u32 = 64 << 10;
/// Headers of a request. Tokens can be long.
const HEADERS: u32 = 64 << 10;
/// Payload that h2 holds for one stream before it asks to wait.
const SEND_BUFFER: usize = 1 << 20;

/// Calls that a connection may have open at once, whatever the settings say: each costs a kilobyte before it says anything.
const CALLS: u32 = 100_000;

/// Serves a connection until it ends. All of its calls are polled by this one task: what a call waits for wakes it, and
/// whatever is ready to be written goes out together.
pub(crate) async fn serve<T>(io: T, node: Arc<Node>, common_name: Option<Arc<str>>)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let seen = Seen::new(&node.counts);
    let mut wire = Wire::new(io, &seen);
    if let End::TooManyPings = serve_calls(&mut wire, &seen, &node, common_name).await {
        wire.refuse_pings().await;
    }
}

/// Why a connection ends.
enum End {
    /// The client went, broke the protocol, or is not heard of any more.
    Gone,
    TooManyPings,
}

async fn serve_calls<T>(
    io: T,
    seen: &Seen<'_>,
    node: &Arc<Node>,
    common_name: Option<Arc<str>>,
) -> End
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .data_frame_budget(SMALL_FRAME_BUDGET)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADERS)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(node.config.max_concurrent_streams.min(CALLS))
        // Calls that clients give up are no attack.
        .max_pending_accept_reset_streams(10_000)
        .max_local_error_reset_streams(None)
        .handshake::<_, Bytes>(io);
    let Ok(Ok(mut connection)) = timeout(PATIENCE, handshake).await else { return End::Gone };
    let mut calls = FuturesUnordered::new();
    let budget = Budget::new(&node.held);
    let now = stopwatch();
    let mut rule = Rule::new(node.config.keepalive.min_time);
    let pings = connection.ping_pong();
    let mut lost = pin!(async {
        let keepalive = node.config.keepalive;
        match pings {
            Some(pings) if keepalive.is_on() => keep_alive(pings, seen, keepalive).await,
            _ => pending().await,
        }
    });
    // The frame that is not whole, and how long it may still take.
    let mut unfinished: Option<(u64, Pause)> = None;
    poll_fn(|context| {
        loop {
            let mut moved = false;
            loop {
                match connection.poll_accept(context) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        let (node, budget) = (Arc::clone(node), Arc::clone(&budget));
                        calls.push(call(node, budget, request, respond, common_name.clone()));
                        moved = true;
                    }
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(End::Gone),
                    Poll::Pending => break,
                }
            }
            while let Some(answered) = seen.ping() {
                if rule.breaks(now(), answered, calls.len()) {
                    return Poll::Ready(End::TooManyPings);
                }
            }
            while let Poll::Ready(Some(())) = calls.poll_next_unpin(context) {
                moved = true;
            }
            // What was answered is written by the next turn.
            if moved {
                continue;
            }
            let frame = seen.unfinished();
            if unfinished.as_ref().map(|(frame, _)| *frame) != frame {
                unfinished = frame.map(|frame| (frame, Pause::new(PATIENCE)));
            }
            if let Some((_, late)) = &mut unfinished
                && late.poll(context).is_ready()
            {
                return Poll::Ready(End::Gone);
            }
            return lost.as_mut().poll(context).map(|()| End::Gone);
        }
    })
    .await
}

/// Serves one call.
async fn call(
    node: Arc<Node>,
    budget: Arc<Budget>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    common_name: Option<Arc<str>>,
) {
    let place = Place::of(request.uri().path());
    let tally = Tally::new(Arc::clone(&node), place);
    let outbound = Outbound::new(respond, tally.clone(), Arc::clone(&budget));
    if let Err(response) = head::check(&request) {
        return outbound.refuse(response);
    }
    let (head, body) = request.into_parts();
    let caller = match head::caller(&head.headers, common_name.as_ref()) {
        Ok(caller) => caller,
        Err(status) => return outbound.end(Err(status)),
    };
    let timeout = head::timeout(&head.headers);
    let inbound = Inbound::new(body, node.config.receive_limit(), budget.request(), tally);
    let path = head.uri.path();
    node.counts.started(place);
    let time = stopwatch();
    let streams = place.and_then(Place::info).is_some_and(|info| info.shape != Shape::Unary);
    let code = if streams {
        budget.room_for_calls().await;
        stream(&node, path, &caller, inbound, outbound, timeout).await
    } else {
        unary(&node, &budget, path, &caller, inbound, outbound, timeout).await
    };
    node.counts.handled(place, code, time());
}

async fn unary(
    node: &Arc<Node>,
    budget: &Arc<Budget>,
    path: &str,
    caller: &Caller,
    mut inbound: Inbound,
    mut outbound: Outbound,
    timeout: Option<Duration>,
) -> Code {
    let mut hold = budget.answer();
    let served = async {
        budget.room_for_calls().await;
        let message = inbound.only().await?;
        node.faults.meet(path).await?;
        service::unary(node, path, caller, message, &mut hold).await
    };
    match within(served, &mut outbound, timeout).await {
        Some(Ok(answer)) => outbound.answer(answer, hold).await,
        Some(Err(status)) => end(outbound, Err(status)),
        None => Code::Canceled,
    }
}

/// Ends a call, and tells how.
fn end(outbound: Outbound, outcome: Result<()>) -> Code {
    let code = outcome.as_ref().map_or_else(|status| status.code, |()| Code::Ok);
    outbound.end(outcome);
    code
}

async fn stream(
    node: &Arc<Node>,
    path: &str,
    caller: &Caller,
    mut inbound: Inbound,
    mut outbound: Outbound,
    timeout: Option<Duration>,
) -> Code {
    let served = async {
        node.faults.meet(path).await?;
        service::stream(node, path, caller, &mut inbound, &mut outbound).await
    };
    let outcome = match timeout {
        Some(timeout) => {
            tokio::time::timeout(timeout, served).await.unwrap_or_else(|_| Err(late()))
        }
        None => served.await,
    };
    end(outbound, outcome)
}

/// The output of a call's work; `None` if the client gives the call up before.
async fn within<T>(
    work: impl Future<Output = Result<T>>,
    outbound: &mut Outbound,
    timeout: Option<Duration>,
) -> Option<Result<T>> {
    let mut work = pin!(work);
    // Most calls are done at the first attempt, and need no timer.
    let mut deadline: Option<Pause> = None;
    poll_fn(|context| {
        if let Poll::Ready(output) = work.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        if outbound.poll_reset(context).is_ready() {
            return Poll::Ready(None);
        }
        if let Some(timeout) = timeout {
            let deadline = deadline.get_or_insert_with(|| Pause::new(timeout));
            if deadline.poll(context).is_ready() {
                return Poll::Ready(Some(Err(late())));
            }
        }
        Poll::Pending
    })
    .await
}

fn late() -> Status {
    Status::new(Code::DeadlineExceeded, "context deadline exceeded")
}
