//! Streams of watches.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use etcdkit_proto::ServerError;
use etcdkit_proto::etcdserverpb::watch_request::RequestUnion;
use etcdkit_proto::etcdserverpb::{WatchCreateRequest, WatchRequest};
use tokio::task::yield_now;

use crate::auth::Access;
use crate::caller::Caller;
use crate::clock::random_below;
use crate::grpc::{Inbound, Outbound, PREFIX, seal};
use crate::mvcc::KeyRange;
use crate::node::Node;
use crate::state::State;
use crate::status::{Result, Status};
use crate::watch::{Message, NewWatch, Outbox, StreamId, Work, encode};

/// Bytes that go out together, if there are so many; a response may be larger.
const TOGETHER: usize = 256 * 1024;

/// A stream of the hub, which ends with it.
pub(super) struct Opened {
    node: Arc<Node>,
    pub(super) id: StreamId,
    pub(super) outbox: Arc<Outbox>,
}

impl Opened {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        let (id, outbox) = node.state_mut().hub.open();
        Self { node: Arc::clone(node), id, outbox }
    }

    /// Reads on for the watchers that lag, for a while: between two of these others are to go on.
    pub(super) fn catch_up(&self) {
        let mut state = self.node.state_mut();
        let State { hub, store, .. } = &mut *state;
        hub.catch_up(store, self.id);
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.node.state_mut().hub.close(self.id);
    }
}

pub(super) async fn watch(
    node: &Arc<Node>,
    caller: &Caller,
    inbound: &mut Inbound,
    outbound: &mut Outbound,
) -> Result<()> {
    outbound.open()?;
    let opened = Opened::new(node);
    let mut reading = pin!(read(node, caller, inbound, &opened));
    let mut writing = pin!(write(node, outbound, &opened));
    let mut ticking = pin!(tick(node, opened.id));
    let mut leaderless = pin!(async {
        if caller.needs_leader {
            node.faults.leader_lost().await;
        } else {
            std::future::pending().await
        }
    });
    poll_fn(|context| {
        // Requests first: what they ask for goes out with the rest.
        if let Poll::Ready(outcome) = reading.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        if let Poll::Ready(outcome) = writing.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        if leaderless.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(ServerError::NoLeader.into()));
        }
        ticking.as_mut().poll(context)
    })
    .await
}

async fn read(node: &Node, caller: &Caller, inbound: &mut Inbound, opened: &Opened) -> Result<()> {
    let stream = opened.id;
    loop {
        // A client that takes no answers is not asked for what it wants more.
        opened.outbox.room_for_an_answer().await;
        let Some(request) = inbound.next::<WatchRequest>().await? else { return Ok(()) };
        match request.request_union {
            Some(RequestUnion::Create(request)) => create(node, caller, stream, request),
            Some(RequestUnion::Cancel(request)) => {
                node.state_mut().hub.cancel(stream, request.watch_id);
            }
            Some(RequestUnion::Progress(_)) => node.state_mut().hub.progress(stream),
            None => {}
        }
    }
}

fn create(node: &Node, caller: &Caller, stream: StreamId, request: WatchCreateRequest) {
    // No key is the first one that there could be.
    let key = if request.key.is_empty() { vec![0].into() } else { request.key.clone() };
    let range = KeyRange::new(key, request.range_end.clone());
    let mut state = node.state_mut();
    let allowed = state
        .who(caller, node.now())
        .and_then(|who| state.auth.check(who.as_ref(), Access::Read, &range));
    match allowed {
        Ok(()) => state.hub.create(stream, NewWatch { range, request }),
        Err(error) => state.hub.refuse(stream, Status::from(error).in_go()),
    }
}

async fn write(node: &Node, outbound: &mut Outbound, opened: &Opened) -> Result<()> {
    let header = node.state().header(0);
    loop {
        opened.outbox.filled().await;
        // A client that takes nothing leaves it in the queue, where it is bounded and watchers lag.
        outbound.room().await;
        match opened.outbox.take() {
            Some(Work::Send(messages)) => {
                let _taken = outbound.hold(messages.iter().map(Message::bytes).sum());
                node.faults.running().await;
                let mut out = Vec::new();
                for message in messages {
                    node.observed.events.add(message.events() as u64);
                    add(&message, &header, &mut out);
                    if out.len() >= TOGETHER {
                        outbound.send_framed(std::mem::take(&mut out)).await?;
                    }
                }
                outbound.send_framed(out).await?;
            }
            Some(Work::CatchUp) => {
                yield_now().await;
                // What others have made meanwhile takes room too, and what this makes is taken at once.
                outbound.room().await;
                opened.catch_up();
            }
            Some(Work::Closed) => return Err(ServerError::WatchCanceled.into()),
            None => {}
        }
    }
}

fn add(message: &Message, header: &etcdkit_proto::etcdserverpb::ResponseHeader, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + PREFIX, 0);
    encode(message, header, out);
    seal(out, start);
}

/// Reports progress now and then, up to a tenth later than the interval so that streams don't do it all at once.
async fn tick(node: &Node, stream: StreamId) -> Result<()> {
    loop {
        let interval = node.config.progress_interval;
        let jitter = interval / 10 * u32::from(random_below(100)) / 100;
        node.clock.until(node.now() + interval + jitter).await;
        node.state_mut().hub.tick(stream);
    }
}
